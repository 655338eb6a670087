#include "measure.h"

#include <fmt/core.h>
#include <sys/resource.h>

#include <algorithm>
#include <cmath>

#include "lattice/error.h"

namespace lattice::cli {

double median(std::vector<double> values) {
  std::sort(values.begin(), values.end());
  const size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

double relative_l2(const Tensor& values, const Tensor& expected) {
  const Tensor found_values = values.to(DType::f64), expected_values = expected.to(DType::f64);
  const auto found = found_values.values<double>(), truth = expected_values.values<double>();
  double difference = 0, norm = 0;
  for (size_t i = 0; i < truth.size(); ++i) {
    difference += (found[i] - truth[i]) * (found[i] - truth[i]);
    norm += truth[i] * truth[i];
  }
  return difference == 0 ? 0 : std::sqrt(difference / norm);
}

int32_t largest_channel(const Tensor& scores, int64_t row) {
  const float* first = scores.data<float>() + row * scores.size(1);
  return static_cast<int32_t>(std::max_element(first, first + scores.size(1)) - first);
}

int64_t peak_rss_bytes() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
#ifdef __APPLE__
  return usage.ru_maxrss;
#else
  return static_cast<int64_t>(usage.ru_maxrss) * 1024;  // Linux counts in KiB
#endif
}

void check_repeat(int64_t repeat) {
  if (repeat < 1) throw Error(ErrorCode::invalid_argument, fmt::format("--repeat {} must be at least 1", repeat));
}

}  // namespace lattice::cli
