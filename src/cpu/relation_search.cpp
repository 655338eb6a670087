#include "cpu/relation_search.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "cpu/relation_writer.h"

// How edges are found. A set is kept as blocks of 4x4x4 cells, one bit a cell, and tells in a few loads which blocks
// stand around a place (see coord_index.h). The outputs of a block read inputs from a box of few blocks. That box is
// gathered once a block of outputs, as rows of bits along z, without a branch; then an output's taps are found by
// shifting rows, four kernel columns at once, and a set bit leads by counting to the input's rank. What a scan holds
// mostly stands in groups, so that the cost of a box is shared by two to eight outputs. Kernels that reach further than
// the box are searched place by place instead.

namespace lattice::cpu {
namespace {

using Piece = TiledRelation::Piece;

/// Where a search leaves what it finds: edges from places of the source, each of which may stand for several rows.
class EdgeSink {
 public:
  EdgeSink(const CoordIndex& source, bool all_copies, PieceWriter& writer)
      : source_(source), all_copies_(all_copies && source.has_duplicates()), writer_(writer) {}

  PieceWriter::Lists lists() noexcept { return writer_.lists(); }
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
  PieceWriter& writer_;
};

/// Consecutive outputs in sorted order within one block.
struct OutputGroup {
  int64_t batch, x, y, z;  // the block
  int64_t first, last;     // positions
};

/// Walks the groups of the positions first .. last-1, a tile at a time.
template <typename Search>
void for_groups(const CoordIndex& target, int64_t first, int64_t last, const Search& search) {
  const std::span<const Block> blocks = target.blocks();
  const std::span<const BlockColumn> columns = target.columns();
  const auto begins_after = [&](int64_t position, const Block& block) {
    return position < target.position(block.first);
  };
  auto block =
      static_cast<size_t>(std::upper_bound(blocks.begin(), blocks.end(), first, begins_after) - blocks.begin()) - 1;
  const auto starts_after = [](size_t at, const BlockColumn& column) {
    return at < static_cast<size_t>(column.first_block);
  };
  auto column =
      static_cast<size_t>(std::upper_bound(columns.begin(), columns.end(), block, starts_after) - columns.begin()) - 1;
  for (; first < last; ++block) {
    if (block == static_cast<size_t>(columns[column + 1].first_block)) ++column;
    const int64_t end = std::min(last, target.position(blocks[block + 1].first));
    const BlockColumn& at = columns[column];
    search(OutputGroup{at.batch, at.x, at.y, blocks[block].z, first, end});
    first = end;
  }
}

using BoxBlocks = std::array<const Block*, Stencil::kMostBlocks * Stencil::kMostBlocks * Stencil::kMostBlocks>;
using BoxColumns = std::array<BlockColumn::Heights, Stencil::kMostBlocks * Stencil::kMostBlocks>;

/// A box as slices of rows of 8 bits (see Stencil): kSide blocks on each axis, of which the taps read the cells from
/// kLowest on.
template <int kSide, int kLowest>
class NarrowBox {
 public:
  explicit NarrowBox(const Stencil&) {}
  static bool fits(const Stencil& stencil) { return stencil.row_bits() == 8 && stencil.lowest_cell() == kLowest; }

  void gather(const CoordIndex& source, const BoxColumns& columns, int32_t first_z, BoxBlocks& box) noexcept {
    constexpr int kMost = Stencil::kMostBlocks;
    for (int x = 0; x < kSide; ++x) {
      std::array<std::array<uint32_t, Block::kSide>, 3> rows = {};  // by y, then x within the block: four rows
      for (int y = 0; y < kSide; ++y) {
        const int column = x * kMost + y;
        const Block** const blocks = &box[static_cast<size_t>(column * kMost)];
        source.blocks_above<kSide>(columns[static_cast<size_t>(column)], first_z, blocks);
        const Block::Rows high = kSide > 2 ? blocks[kSide - 1]->rows : Block::Rows{};
        // The rows of blocks above one another, from the lowest cell on.
        constexpr int kHighShift = kSide > 2 ? 8 - kLowest : 0;
        const Block::Rows all = blocks[0]->rows >> kLowest | blocks[1]->rows << (4 - kLowest) | high << kHighShift;
        std::memcpy(&rows[static_cast<size_t>(y)], &all, sizeof(all));
      }
      // Of the first blocks only what lies from kLowest on is read, of the third ones as much less.
      for (int i = x == 0 ? kLowest : 0; i < (x == 2 ? kLowest : Block::kSide); ++i) {
        const auto at = static_cast<size_t>(i);
        const uint64_t low = rows[0][at] | static_cast<uint64_t>(rows[1][at]) << 32;
        const uint64_t high = static_cast<uint64_t>(rows[2][at]) << 1 << (63 - kLowest * 8);
        slices_[static_cast<size_t>(x) * Block::kSide + at] = low >> (kLowest * 8) | high;
      }
    }
  }
  uint64_t slice(const Stencil::Word& word, int i) const noexcept {
    return slices_[static_cast<size_t>(word.first_x + i * word.x_step)] >> (word.row_shift + word.z);
  }

 private:
  static constexpr size_t kSlices = static_cast<size_t>(kSide) * Block::kSide;
  std::array<uint64_t, kSlices> slices_ = {};
};

/// A box as slices of rows of 16 bits (see Stencil): up to four blocks on each axis.
class WideBox {
 public:
  explicit WideBox(const Stencil& stencil) : blocks_(stencil.blocks()) {}

  void gather(const CoordIndex& source, const BoxColumns& columns, int32_t first_z, BoxBlocks& box) noexcept {
    for (int x = 0; x < blocks_[0]; ++x) {
      for (int y = 0; y < blocks_[1]; ++y) {
        const int column = x * Stencil::kMostBlocks + y;
        const Block** const blocks = &box[static_cast<size_t>(column * Stencil::kMostBlocks)];
        source.blocks_above<Stencil::kMostBlocks>(columns[static_cast<size_t>(column)], first_z, blocks);
        const std::array<uint64_t, Block::kSide> quads = quads_of(blocks);
        for (int i = 0; i < Block::kSide; ++i) {
          quads_[static_cast<size_t>((x * Block::kSide + i) * Stencil::kMostBlocks + y)] =
              quads[static_cast<size_t>(i)];
        }
      }
    }
  }
  uint64_t slice(const Stencil::Word& word, int i) const noexcept {
    const uint64_t* const quad =
        &quads_[static_cast<size_t>((word.first_x + i * word.x_step) * Stencil::kMostBlocks + word.quad)];
    return (quad[0] >> word.row_shift | quad[1] << 1 << (63 - word.row_shift)) >> word.z;
  }

 private:
  /// Four blocks above one another as rows of 16 bits, four rows for each x.
  static std::array<uint64_t, Block::kSide> quads_of(const Block* const* blocks) noexcept {
    const Block::Rows low = blocks[0]->rows | blocks[1]->rows << 4, high = blocks[2]->rows | blocks[3]->rows << 4;
    const std::array<Block::Rows, 2> rows = {
        __builtin_shufflevector(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
        __builtin_shufflevector(low, high, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)};
    return std::bit_cast<std::array<uint64_t, Block::kSide>>(rows);
  }

  // Four rows a quad, four quads a slice. A quad is read together with the one after it.
  static constexpr size_t kQuads = static_cast<size_t>(Stencil::kBoxCells) * Stencil::kMostBlocks + 1;
  std::array<uint64_t, kQuads> quads_ = {};
  std::array<int, 3> blocks_;
};

/// Edges of kernels that keep to a box of blocks.
template <typename Box>
class BoxSearch {
 public:
  BoxSearch(const Stencil& stencil, const CoordIndex& source, const CoordIndex& target)
      : stencil_(stencil), source_(source), cells_(target.cells()), rows_(stencil) {
    columns_.fill(source.columns().back().heights);
  }

  void search(const OutputGroup& group, int64_t tile_first, EdgeSink& sink) {
    if (group.x != column_x_ || group.y != column_y_ || group.batch != column_batch_) enter_column(group);
    // Blocks lie within 2^29, so that a box beyond twice that is empty wherever it lies.
    constexpr int64_t kBeyond = int64_t{1} << 30;
    const int64_t first_z = std::clamp(stencil_.first_block(2, group.z), -kBeyond, kBeyond);
    rows_.gather(source_, columns_, static_cast<int32_t>(first_z), box_);
    const Stencil::Pattern* const patterns = stencil_.patterns(group.x, group.y, group.z);
    const PieceWriter::Lists lists = sink.lists();
    const bool all_copies = sink.all_copies();
    if (stencil_.own_tap() >= 0) {
      for (int64_t position = group.first; position < group.last; ++position) {
        lists.add(static_cast<uint32_t>(stencil_.own_tap()), static_cast<uint16_t>(position - tile_first),
                  static_cast<int32_t>(position));
      }
    }
    for (int64_t position = group.first; position < group.last; ++position) {
      const auto slot = static_cast<uint16_t>(position - tile_first);
      const Stencil::Pattern& pattern = patterns[cells_[static_cast<size_t>(position)]];
      for (uint32_t at = pattern.first_word; at < pattern.last_word; ++at) {
        const Stencil::Word& word = stencil_.words()[at];
        uint64_t found = word.slices == 3 ? taps_of<3>(word) : word.slices == 2 ? taps_of<2>(word) : taps_of(word);
        for (found &= ~word.itself; found != 0; found &= found - 1) {
          const Stencil::Reach reach = word.reach[static_cast<size_t>(std::countr_zero(found))];
          const int32_t rank = box_[reach.block]->rank(reach.cell);
          lists.add(reach.tap, slot, rank);
          if (all_copies) sink.add_copies(reach.tap, slot, rank);
        }
      }
    }
  }

 private:
  uint64_t taps_of(const Stencil::Word& word) const noexcept {
    uint64_t found = 0;
    for (int i = 0; i < word.slices; ++i) found |= taps_of_slice(word, i);
    return found;
  }
  /// The same for the most frequent kernels, without a loop.
  template <int kSlices>
  uint64_t taps_of(const Stencil::Word& word) const noexcept {
    return [&]<int... kSlice>(std::integer_sequence<int, kSlice...>) {
      return (taps_of_slice(word, kSlice) | ...);
    }
    (std::make_integer_sequence<int, kSlices>());
  }
  uint64_t taps_of_slice(const Stencil::Word& word, int i) const noexcept {
    return (rows_.slice(word, i) & word.mask) << word.place[static_cast<size_t>(i)];
  }

  /// Finds the columns of the box.
  void enter_column(const OutputGroup& group) {
    column_batch_ = group.batch;
    column_x_ = group.x;
    column_y_ = group.y;
    const int64_t first_x = stencil_.first_block(0, group.x), first_y = stencil_.first_block(1, group.y);
    for (int x = 0; x < stencil_.blocks()[0]; ++x) {
      for (int y = 0; y < stencil_.blocks()[1]; ++y) {
        columns_[static_cast<size_t>(x * Stencil::kMostBlocks + y)] =
            source_.column_at(group.batch, first_x + x, first_y + y).heights;
      }
    }
  }

  const Stencil& stencil_;
  const CoordIndex& source_;
  std::span<const uint8_t> cells_;

  // The column of output blocks at hand, and the columns of its box: empty ones beyond it.
  int64_t column_batch_ = -1, column_x_ = 0, column_y_ = 0;
  BoxColumns columns_;
  // The box of the output block at hand.
  Box rows_;
  BoxBlocks box_ = {};
};

/// Edges of any kernel, output by output: a look-up for each kernel column, then a walk over its blocks.
class PlaceSearch {
 public:
  PlaceSearch(const TapRule& rule, const CoordIndex& source, const CoordIndex& target)
      : rule_(rule),
        source_(source),
        cells_(target.cells()),
        divide_{Divider(rule.stride.x), Divider(rule.stride.y), Divider(rule.stride.z)} {}

  void search(const OutputGroup& group, int64_t tile_first, EdgeSink& sink) const {
    for (int64_t position = group.first; position < group.last; ++position) {
      const unsigned cell = cells_[static_cast<size_t>(position)];
      const int64_t slot = position - tile_first;
      const Triple output = {group.x * Block::kSide + (cell >> 4), group.y * Block::kSide + (cell >> 2 & 3),
                             group.z * Block::kSide + (cell & 3)};
      for (int64_t ix = 0; ix < rule_.size.x; ++ix) {
        int64_t x = output.x * rule_.stride.x + rule_.shift.x + ix * rule_.dilation.x;
        if (rule_.divides && !divide_[0].divides(output.x + rule_.shift.x - ix * rule_.dilation.x, x)) continue;
        for (int64_t iy = 0; iy < rule_.size.y; ++iy) {
          int64_t y = output.y * rule_.stride.y + rule_.shift.y + iy * rule_.dilation.y;
          if (rule_.divides && !divide_[1].divides(output.y + rule_.shift.y - iy * rule_.dilation.y, y)) continue;
          const BlockColumn& column = source_.column_at(group.batch, Block::of(x), Block::of(y));
          if (&column == &source_.columns().back()) continue;
          search_column(column, x, y, output.z, (ix * rule_.size.y + iy) * rule_.size.z, slot, sink);
        }
      }
    }
  }

 private:
  void search_column(const BlockColumn& column, int64_t x, int64_t y, int64_t output_z, int64_t first_tap, int64_t slot,
                     EdgeSink& sink) const {
    const int64_t reach = (rule_.size.z - 1) * rule_.dilation.z;
    const int64_t first = rule_.divides ? output_z + rule_.shift.z - reach : output_z * rule_.stride.z + rule_.shift.z;
    const int64_t lowest = rule_.divides ? divide_[2].floor(first) : first;
    const int64_t highest = rule_.divides ? divide_[2].floor(first + reach) : first + reach;
    const auto begin = source_.blocks().begin() + column.first_block;
    const auto end = source_.blocks().begin() + (&column)[1].first_block;
    const auto below = [](const Block& block, int64_t z) { return block.z < z; };
    for (auto block = std::lower_bound(begin, end, Block::of(lowest), below);
         block != end && block->z <= Block::of(highest); ++block) {
      for (int cell = Block::cell(x, y, 0), last = cell + Block::kSide; cell < last; ++cell) {
        if (!block->holds(cell)) continue;
        const int64_t z = int64_t{block->z} * Block::kSide + cell % Block::kSide;
        // How far tap 0 is, in steps of the finer lattice.
        const int64_t distance = rule_.divides ? output_z + rule_.shift.z - z * rule_.stride.z : z - first;
        if (distance < 0 || distance > reach || distance % rule_.dilation.z != 0) continue;
        sink.add(static_cast<int32_t>(first_tap + distance / rule_.dilation.z), slot, block->rank(cell));
      }
    }
  }

  TapRule rule_;
  const CoordIndex& source_;
  std::span<const uint8_t> cells_;
  std::array<Divider, 3> divide_;
};

template <typename Search>
PooledVector<Piece> search_tiles(const Search& search, const CoordIndex& source, const CoordIndex& target, int64_t taps,
                                 bool all_copies, Workers& workers) {
  const auto rows = static_cast<int64_t>(target.order().size());
  PooledVector<Piece> pieces = pieces_for(rows);
  workers.for_each(static_cast<int64_t>(pieces.size()), [&](int64_t index) {
    Search mine = search;  // with scratch of its own
    static thread_local PieceWriter::Scratch scratch;
    PieceWriter writer(taps, source.first_rows(), scratch);
    EdgeSink sink(source, all_copies, writer);
    const int64_t end = std::min(rows, (index + 1) * kTilesAPiece * kTileRows);
    for (int64_t first = index * kTilesAPiece * kTileRows; first < end; first += kTileRows) {
      for_groups(target, first, std::min(end, first + kTileRows),
                 [&](const OutputGroup& group) { mine.search(group, first, sink); });
      writer.end_tile();
    }
    pieces[static_cast<size_t>(index)] = writer.take();
  });
  return pieces;
}

}  // namespace

PooledVector<Piece> pieces_for(int64_t rows) {
  constexpr int64_t kRows = kTilesAPiece * kTileRows;
  return PooledVector<Piece>(static_cast<size_t>((rows + kRows - 1) / kRows));
}

PooledVector<Piece> search_edges(const TapRule& rule, const CoordSet& source, const CoordSet& target, bool all_copies,
                                 Workers& workers) {
  const CoordIndex& inputs = source.index();
  const CoordIndex& outputs = target.index();
  const int64_t taps = rule.size.x * rule.size.y * rule.size.z;
  const bool on_itself = &source == &target && !inputs.has_duplicates();
  const auto with = [&](const auto& search) {
    return search_tiles(search, inputs, outputs, taps, all_copies, workers);
  };
  const std::optional<Stencil> stencil = Stencil::make(rule, on_itself);
  if (!stencil || !inputs.lists_heights()) return with(PlaceSearch(rule, inputs, outputs));
  using NearBox = NarrowBox<3, 3>;
  using CoarserBox = NarrowBox<2, 0>;
  if (NearBox::fits(*stencil)) return with(BoxSearch<NearBox>(*stencil, inputs, outputs));
  if (CoarserBox::fits(*stencil)) return with(BoxSearch<CoarserBox>(*stencil, inputs, outputs));
  return with(BoxSearch<WideBox>(*stencil, inputs, outputs));
}

}  // namespace lattice::cpu
