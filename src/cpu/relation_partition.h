#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "coord_index.h"
#include "cpu/relation.h"
#include "cpu/relation_stencil.h"

namespace lattice::cpu {

/// A kernel as large as its stride, as 2x2x2 at stride 2: it parts the inputs among the outputs. Each input is read by
/// one output, whose place is the input's own, shifted, and so each block of inputs by one block of outputs: what an
/// input is read by follows from its cell, without a search.
class Partition {
 public:
  /// Nothing unless sizes are the strides, 1, 2 or 4 on each axis, and tap 0 reads output * stride.
  static std::optional<Partition> make(const TapRule& rule);

  /// The edges between sets without duplicates. Worth it where sort_edges is; see there.
  PooledVector<TiledRelation::TileEdges> edges(const CoordIndex& source, const CoordIndex& target,
                                               Workers& workers) const;

 private:
  /// What reads a cell of a block: one of the 64 cells beside another in the block of outputs, by a tap.
  struct Reader {
    uint8_t cell;
    uint8_t tap;
  };
  /// The block of outputs that reads a block of inputs.
  struct Reading {
    uint64_t cells;  // of which it holds these; none where there is no such block
    int32_t first;   // rank of the first
    int32_t corner;  // the cell that reads the first cell of the inputs
  };

  explicit Partition(const std::array<int, 3>& shifts);
  PooledVector<Reading> readings(const CoordIndex& source, const CoordIndex& target, Workers& workers) const;

  std::array<int, 3> shifts_;  // strides are 2^shift
  std::array<Reader, Block::kCells> readers_;
};

}  // namespace lattice::cpu
