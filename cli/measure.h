#pragma once

#include <chrono>
#include <cstdint>
#include <vector>

#include "lattice/tensor.h"

namespace lattice::cli {

/// The time that work() takes, in milliseconds.
template <typename Work>
double time_ms(Work&& work) {
  const auto start = std::chrono::steady_clock::now();
  work();
  return std::chrono::duration<double, std::milli>(std::chrono::steady_clock::now() - start).count();
}

/// The middle value, or the mean of the two middle ones. At least one value.
double median(std::vector<double> values);

/// ||values - expected|| / ||expected|| over all elements, in double precision; 0 where both are zero everywhere.
double relative_l2(const Tensor& values, const Tensor& expected);

/// The first channel of a row that no other exceeds; `scores` is (N, C) f32 with C > 0.
int32_t largest_channel(const Tensor& scores, int64_t row);

inline double mebibytes(int64_t bytes) {
  return static_cast<double>(bytes) / (1024 * 1024);
}

/// Largest amount of memory that the process has had resident so far.
int64_t peak_rss_bytes();

/// A number of repeats below 1 is invalid_argument.
void check_repeat(int64_t repeat);

}  // namespace lattice::cli
