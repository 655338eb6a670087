#pragma once

#include <array>
#include <string>
#include <vector>

#include "lattice/tensor.h"

namespace lattice {

/// The points of a scan.
///
/// `values` is (N, C) float32, row-major; `columns` names its C columns, lower case; the first three are x, y, z in
/// metres. The others keep their file's units: intensity, ring, time, r, g, b (0..255), ...
/// `origin` was subtracted from x, y, z in double precision when the file was read, so that map coordinates (LAS) keep
/// their precision: a point's true position is origin + (x, y, z). It is zero for sensors' own formats.
struct PointCloud {
  Tensor values = Tensor::empty(DType::f32, {0, 3});
  std::vector<std::string> columns = {"x", "y", "z"};
  std::array<double, 3> origin = {0, 0, 0};

  int64_t rows() const { return values.size(0); }
  /// Index of a column by name, or -1.
  int64_t column(std::string_view name) const;
};

}  // namespace lattice
