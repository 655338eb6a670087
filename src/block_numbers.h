#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lattice/coords.h"

namespace lattice {

/// The blocks that a coordinate set touches (see Block), each once, sorted by (batch, x, y, z); and which of them each
/// row lies in.
struct BlockNumbers {
  PooledVector<Coord> blocks;     // batch, and blocks of x, y, z
  PooledVector<uint32_t> of_row;  // a number in `blocks`

  static BlockNumbers of(std::span<const Coord> coords);
  /// The same of what are blocks already, each maybe several times; a row is one of them.
  static BlockNumbers of_blocks(std::span<const Coord> blocks);
};

/// A set's coordinates; with their blocks, where who found them knows those as well (else there are none).
struct NumberedCoords {
  PooledVector<Coord> coords;
  BlockNumbers blocks = {};
};

}  // namespace lattice
