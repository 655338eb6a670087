#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "lattice/model.h"
#include "lattice/sparse_tensor.h"

// A network in C++ beside the artifact that it was exported as.

namespace lattice {

/// The inputs of a sparse value `x`.
inline NamedTensors inputs_of(const SparseTensor& x) {
  return {{"x_coords", x.support()->tensor()},
          {"x_features", x.features()},
          {"x_active", Tensor::from(std::vector<int32_t>{static_cast<int32_t>(x.rows())}, {1})}};
}

inline bool same_bits(const Tensor& a, const Tensor& b) {
  return a.shape() == b.shape() && (a.nbytes() == 0 || std::memcmp(a.raw(), b.raw(), a.nbytes()) == 0);
}

/// The sparse output `name` has the rows of `expected`, in their order, at physical coordinates.
inline void expect_same_bits(const NamedTensors& results, const std::string& name, const SparseTensor& expected) {
  ASSERT_TRUE(same_bits(results.at(name + ".features"), expected.features())) << name;
  const Support physical = CoordSet::make(results.at(name + ".coords"));
  ASSERT_EQ(physical->rows(), expected.rows()) << name;
  for (int64_t row = 0; row < expected.rows(); ++row) {
    const Coord& c = expected.support()->coords()[static_cast<size_t>(row)];
    const auto at = [](int32_t step, int64_t stride) { return static_cast<int32_t>(step * stride); };
    const Triple& stride = expected.stride();
    ASSERT_EQ(physical->coords()[static_cast<size_t>(row)],
              (Coord{c.batch, at(c.x, stride.x), at(c.y, stride.y), at(c.z, stride.z)}))
        << name << ", row " << row;
  }
}

}  // namespace lattice
