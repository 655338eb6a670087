#pragma once

#include <cstdint>
#include <string_view>

#include "lattice/conv_geometry.h"
#include "lattice/coords.h"

namespace lattice::artifact {

// What this machine cannot hold is refused before anything is allocated: a system that grants memory it does not have
// would end the process later.

/// Bytes of one value of a global pool: its sum in double precision and its result.
inline constexpr int64_t kPooledBytes = 12;

/// out_of_range where count * bytes exceeds the machine's memory; `what` and `value` are what the message calls it.
void check_memory(int64_t count, int64_t bytes, std::string_view what, int64_t value);

/// The sites that a derived transposed support visits, one for each row and tap.
void check_sites(const CoordSet& source, const ConvGeometry& geometry);

/// What one row of a source alone leads to on a regular support of an unbounded grid.
void check_reached_sites(const CoordSet& source, const ConvGeometry& geometry);

}  // namespace lattice::artifact
