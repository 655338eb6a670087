#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "lattice/error.h"
#include "lattice/random.h"
#include "lattice/session.h"
#include "lattice/sparse_tensor.h"

namespace lattice {

/// Both backends, each test's parameter.
inline auto both_backends() {
  return ::testing::Values(BackendKind::cpu, BackendKind::reference);
}
inline std::string backend_name(const ::testing::TestParamInfo<BackendKind>& tested) {
  return tested.param == BackendKind::cpu ? "cpu" : "reference";
}

inline Tensor f32(const std::vector<float>& values, Shape shape) {
  return Tensor::from(values, std::move(shape));
}

/// One channel a row, or several: the number of values tells.
inline SparseTensor sparse(std::vector<Coord> coords, const std::vector<float>& values, Triple stride = 1,
                           std::optional<Triple> extent = std::nullopt) {
  const auto rows = static_cast<int64_t>(coords.size());
  const int64_t channels = rows > 0 ? static_cast<int64_t>(values.size()) / rows : 1;
  return {CoordSet::make(std::move(coords), stride, extent), f32(values, {rows, channels})};
}

/// The elements of a floating tensor, widened without loss.
inline std::vector<double> numbers(const Tensor& tensor) {
  const Tensor wide = tensor.to(DType::f64);
  return {wide.data<double>(), wide.data<double>() + wide.elements()};
}

inline std::vector<Coord> coords_of(const Support& support) {
  return {support->coords().begin(), support->coords().end()};
}

inline std::vector<Coord> random_coords(Random& random, int64_t rows, int64_t span, int32_t batches = 2) {
  const auto below = [&](int64_t end) { return static_cast<int32_t>(random.uniform() * static_cast<double>(end)); };
  std::vector<Coord> coords(static_cast<size_t>(rows));
  for (Coord& c : coords) {
    c.batch = below(batches);
    c.x = below(span) - 3;
    c.y = below(span) - 3;
    c.z = below(span) - 3;
  }
  return coords;
}

/// Distinct coordinates: duplicates of the random ones are left out.
inline std::vector<Coord> random_distinct_coords(Random& random, int64_t rows, int64_t span) {
  std::vector<Coord> coords = random_coords(random, rows, span);
  std::sort(coords.begin(), coords.end());
  coords.erase(std::unique(coords.begin(), coords.end()), coords.end());
  for (size_t i = coords.size(); i > 1; --i) std::swap(coords[i - 1], coords[random.next() % i]);
  return coords;
}

inline Tensor random_tensor(Random& random, Shape shape, DType dtype = DType::f32, double low = -2, double high = 2) {
  Tensor tensor = Tensor::empty(DType::f32, std::move(shape));
  float* const values = tensor.mutable_data<float>();
  for (int64_t i = 0; i < tensor.elements(); ++i) values[i] = static_cast<float>(random.uniform(low, high));
  return tensor.to(dtype);
}

/// The unit roundoff of a type: half the distance from 1 to the next value.
inline double roundoff(DType dtype) {
  switch (dtype) {
    case DType::f16:
      return 0x1p-11;
    case DType::bf16:
      return 0x1p-8;
    default:
      return 0x1p-24;
  }
}

/// What two results may differ by when each rounds `value`, or something within `error` of it, once to `dtype`.
inline double stored_difference(DType dtype, double value, double error) {
  const double least = dtype == DType::f16 ? 0x1p-24 : std::numeric_limits<float>::denorm_min();
  return error + 2 * roundoff(dtype) * (std::abs(value) + error) + least;
}

/// Element by element within `bound`; equal infinities and NaNs of both are equal.
inline void expect_within(const Tensor& actual, const Tensor& expected, const std::vector<double>& bound) {
  ASSERT_EQ(actual.shape(), expected.shape());
  ASSERT_EQ(actual.dtype(), expected.dtype());
  const std::vector<double> got = numbers(actual), wanted = numbers(expected);
  ASSERT_EQ(bound.size(), got.size());
  for (size_t i = 0; i < got.size(); ++i) {
    if (got[i] == wanted[i] || (std::isnan(got[i]) && std::isnan(wanted[i]))) continue;
    ASSERT_LE(std::abs(got[i] - wanted[i]), bound[i]) << "element " << i << ": " << got[i] << " for " << wanted[i];
  }
}

inline void expect_same(const Tensor& actual, const Tensor& expected) {
  expect_within(actual, expected, std::vector<double>(static_cast<size_t>(actual.elements()), 0.0));
}

/// Calls, and expects an Error of this code whose message holds every one of the parts.
template <typename Call>
void expect_error(ErrorCode code, const std::vector<std::string>& parts, Call&& call) {
  try {
    std::forward<Call>(call)();
    ADD_FAILURE() << "no error; expected one with: " << ::testing::PrintToString(parts);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    for (const std::string& part : parts) EXPECT_THAT(error.what(), ::testing::HasSubstr(part));
  }
}

}  // namespace lattice
