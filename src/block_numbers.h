#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lattice/coords.h"

namespace lattice {

/// The blocks that a coordinate set touches (see Block), each once, sorted by (batch, x, y, z); and which of them each
/// row lies in.
struct BlockNumbers {
  std::vector<Coord> blocks;     // batch, and blocks of x, y, z
  std::vector<uint32_t> of_row;  // a number in `blocks`

  static BlockNumbers of(std::span<const Coord> coords);
};

}  // namespace lattice
