#pragma once

#include <optional>
#include <string_view>

#include "block_numbers.h"
#include "lattice/conv_geometry.h"
#include "lattice/coords.h"

namespace lattice::cpu {

/// The outputs of a kind of relation, each once, in order of the first input that leads to it, then of taps; see
/// Backend::output_coords.
NumberedCoords forward_coords(const CoordSet& source, const ConvGeometry& geometry);
NumberedCoords regular_coords(const CoordSet& source, const ConvGeometry& geometry, const std::optional<Triple>& extent,
                              std::string_view operation);
/// Unless they `merge`, every tap of every input is an output of its own.
NumberedCoords transposed_coords(const CoordSet& source, const ConvGeometry& geometry, bool merge,
                                 std::string_view operation);

}  // namespace lattice::cpu
