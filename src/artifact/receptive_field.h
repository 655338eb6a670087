#pragma once

#include <array>
#include <vector>

#include "artifact/plan.h"

namespace lattice::artifact {

/// How many places of the input lattice a row can depend on, at most, along x, y and z; infinity for a whole scan.
using ReceptiveField = std::array<double, 3>;

/// The receptive field of each tensor of a plan, by slot.
///
/// Followed through the steps as the places that a row sees relative to its own, for every position that a row can
/// have within the coarsest lattice: a transposed layer gives the rows of one cell the field of the coarse row that
/// reaches them, and a kernel behind it sees every cell that it touches. Where values meet (sums, concatenations,
/// residuals) a row sees from the lowest to the highest place that one of them does. A global pool sees the whole scan.
/// Rows of inputs, points and voxels alike, see one place. Only what features depend on counts, not what decides which
/// rows there are. Where the strides on an axis have no common multiple up to 256, the position within the lattice is
/// not told apart, and the result is an upper bound.
std::vector<ReceptiveField> receptive_fields(const Plan& plan);

}  // namespace lattice::artifact
