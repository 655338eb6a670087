#pragma once

#include <algorithm>
#include <cstdint>

#include "coord_index.h"
#include "cpu/relation_stencil.h"
#include "cpu/relation_writer.h"

// What the searches of edges share.

namespace lattice::cpu {

/// Where a search leaves what it finds: edges from places of the source, each of which may stand for several rows.
class EdgeSink {
 public:
  EdgeSink(const CoordIndex& source, bool all_copies, TileWriter& writer)
      : source_(source), all_copies_(all_copies && source.has_duplicates()), writer_(writer) {}

  TileWriter::Lists lists() noexcept { return writer_.lists(); }
  /// Whether add_copies() must follow what is added to the lists.
  bool all_copies() const noexcept { return all_copies_; }

  void add(int32_t tap, int64_t slot, int32_t rank) {
    if (writer_.has_lists()) {
      lists().add(static_cast<uint32_t>(tap), static_cast<uint16_t>(slot), rank);
    } else {
      writer_.add_row(tap, 0, slot, source_.first_rows()[static_cast<size_t>(rank)]);
    }
    if (all_copies_) add_copies(tap, slot, rank);
  }
  /// The rows of a place after the first.
  void add_copies(int32_t tap, int64_t slot, int32_t rank) {
    const int64_t first = source_.position(rank), last = source_.position(rank + 1);
    for (int64_t at = first + 1; at < last; ++at) {
      writer_.add_row(tap, static_cast<int32_t>(at - first), slot, source_.order()[static_cast<size_t>(at)]);
    }
  }

 private:
  const CoordIndex& source_;
  bool all_copies_;
  TileWriter& writer_;
};

/// Consecutive outputs in sorted order within one block.
struct OutputGroup {
  int64_t batch, x, y, z;  // the block
  int64_t first, last;     // positions
};

/// Calls visit(place in the box, heights) for the columns of the box of a block: empty ones where the source has none.
template <typename Visit>
void for_columns_of_box(const Stencil& stencil, const BlockLookup& source, int64_t batch, int64_t block_x,
                        int64_t block_y, const Visit& visit) {
  const auto [x, y, z] = stencil.blocks();
  source.for_columns(
      batch, stencil.first_block(0, block_x), x, stencil.first_block(1, block_y), y,
      [&](int i, int j, int32_t column) { visit(i * Stencil::kMostBlocks + j, source.heights(column)); });
}

/// The lowest height of the box of a group. Blocks lie within 2^29, so that a box beyond twice that is empty wherever
/// it lies.
inline int32_t first_height_of_box(const Stencil& stencil, const OutputGroup& group) {
  constexpr int64_t kBeyond = int64_t{1} << 30;
  return static_cast<int32_t>(std::clamp(stencil.first_block(2, group.z), -kBeyond, kBeyond));
}

}  // namespace lattice::cpu
