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
      : source_(source.sorted()), all_copies_(all_copies && source.has_duplicates()), writer_(writer) {}

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
      writer_.add_row(tap, static_cast<int32_t>(at - first), slot, source_.order[static_cast<size_t>(at)]);
    }
  }

 private:
  const SortedRows& source_;
  bool all_copies_;
  TileWriter& writer_;
};

/// Consecutive outputs in sorted order within one block.
struct OutputGroup {
  int64_t z;            // the block's, in the column of blocks at hand
  int64_t first, last;  // positions
};

/// Calls visit(x, columns) for the columns of the box of a column of output blocks, side by side along y: empty ones
/// where the source has none, and further ones up to kMostBlocks.
template <typename Visit>
void for_columns_of_box(const Stencil& stencil, const BlockLookup& source, const BlockColumn& outputs,
                        const Visit& visit) {
  static_assert(BlockLookup::kMostColumnsBeside == Stencil::kMostBlocks);
  const int64_t x = stencil.first_block(0, outputs.x), y = stencil.first_block(1, outputs.y);
  for (int i = 0; i < stencil.blocks()[0]; ++i) visit(i, source.columns_beside(outputs.batch, x + i, y));
}

/// The lowest height of the box of blocks at z. Blocks lie within 2^29, so that a box beyond twice that is empty
/// wherever it lies.
inline int32_t first_height_of_box(const Stencil& stencil, int64_t z) {
  constexpr int64_t kBeyond = int64_t{1} << 30;
  return static_cast<int32_t>(std::clamp(stencil.first_block(2, z), -kBeyond, kBeyond));
}

}  // namespace lattice::cpu
