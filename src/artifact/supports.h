#pragma once

#include <optional>

#include "lattice/coords.h"
#include "lattice/tensor.h"

namespace lattice::artifact {

// Coordinates cross the border of a network in physical steps, multiples of the value's stride; within it they are
// logical.

/// The support of the first `active` rows of `coords` (N, 4) i32. Throws invalid_argument, naming the row: a coordinate
/// that the stride does not divide, a negative batch, a coordinate that an earlier row holds or that lies outside the
/// extent; and where active lies outside 0..N.
Support logical_support(const Tensor& coords, int64_t active, const Triple& stride,
                        const std::optional<Triple>& extent = std::nullopt);

/// (n, 4) i32. Throws out_of_range as check_physical.
Tensor physical_coords(const CoordSet& support);

/// The number of rows, (1) i32.
Tensor count_of(const CoordSet& support);

/// Throws out_of_range, naming the row, where a coordinate times the stride leaves int32.
void check_physical(const CoordSet& support);

/// The value of a (1) i32 tensor, which must lie in 0..rows; else invalid_argument.
int64_t active_rows(const Tensor& active, int64_t rows);

/// The first rows of a tensor, shared with it.
Tensor first_rows(const Tensor& tensor, int64_t rows);

}  // namespace lattice::artifact
