#pragma once

#include <optional>

#include "lattice/sparse_tensor.h"

namespace lattice {

// A sparse tensor as a grid. Each function takes the extent from x unless one is given, and `batches`, or the largest
// batch + 1, which is 0 of a tensor without rows. Cells without a row are 0; of rows that share a coordinate the first
// counts. Throws invalid_argument where there is no extent, an extent is not positive, `batches` is negative, or a row
// lies outside (names the first such row), and out_of_range where the grid cannot be held.

/// (batches, C, X, Y, Z) of x's type.
Tensor to_dense(const SparseTensor& x, std::optional<Triple> extent = std::nullopt,
                std::optional<int64_t> batches = std::nullopt);

/// The bird's-eye view of detectors, (batches, C * Z, Y, X) of x's type: channel c of height z is c * Z + z. This is
/// the order in which OpenPCDet folds (batches, C, Z, Y, X).
Tensor to_birds_eye(const SparseTensor& x, std::optional<Triple> extent = std::nullopt,
                    std::optional<int64_t> batches = std::nullopt);

}  // namespace lattice
