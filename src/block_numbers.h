#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "lattice/coords.h"

namespace lattice {

/// Blocks above one another: their batch, x and y, counted in blocks, and the number of the first. Those up to the next
/// column's first belong to it.
struct BlockColumn {
  int32_t batch, x, y;
  int32_t first_block;
};

/// Each axis' lowest and highest among some coordinates, or beyond them within the same blocks.
struct CoordBounds {
  Coord low = {}, high = {};

  /// Of none: both 0.
  static CoordBounds of(std::span<const Coord> coords);
  /// Of columns' batch, x and y, counted in blocks; z means nothing.
  static CoordBounds of_columns(std::span<const BlockColumn> columns);
};

/// The blocks that a coordinate set touches (see Block), each once, sorted by (batch, x, y, z), the cells that it holds
/// of each, and which block and which of its cells each row lies in.
struct BlockNumbers {
  PooledVector<BlockColumn> columns = {};
  PooledVector<int32_t> heights = {};  // by block: its z, counted in blocks
  PooledVector<uint64_t> cells = {};   // by block, one bit a cell
  PooledVector<uint32_t> of_row = {};  // the number of its block
  PooledVector<uint8_t> cell_of_row = {};

  static BlockNumbers of(std::span<const Coord> coords, const CoordBounds& bounds);
  static BlockNumbers of(std::span<const Coord> coords) { return of(coords, CoordBounds::of(coords)); }
  /// The same of what are blocks already, each maybe several times, a row each; without cells.
  static BlockNumbers of_blocks(std::span<const Coord> blocks);

  /// Of the rows.
  CoordBounds bounds() const;
  /// The blocks themselves, by number.
  PooledVector<Coord> blocks() const;
};

/// A set's coordinates; with their blocks, where who found them knows those as well (else there are none).
struct NumberedCoords {
  PooledVector<Coord> coords;
  BlockNumbers blocks = {};
};

}  // namespace lattice
