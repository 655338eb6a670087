#include "cpu/relation_search.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "cpu/relation_writer.h"

// How edges are found. A set is kept as blocks of 4x4x4 cells, one bit a cell, sorted and in columns of blocks with the
// same x and y (see coord_index.h). The outputs of a block read inputs from a box of few blocks. That box is gathered
// once a block of outputs, as one word of bits for each row of cells along z; then an output's taps are found by
// shifting rows, a kernel column at once, and a set bit leads by counting to the input's rank. What a scan holds mostly
// stands in groups, so that the cost of a look-up is shared by two to eight outputs. Kernels that reach further than the
// box are searched place by place instead.

namespace lattice::cpu {
namespace {

using Piece = TiledRelation::Piece;

/// Adds the edge from a place of the source to an output.
class EdgeSink {
 public:
  EdgeSink(const CoordIndex& source, bool all_copies, bool few_taps, PieceWriter& writer)
      : source_(source),
        first_rows_(source.first_rows()),
        further_copies_(all_copies && source.has_duplicates()),
        few_taps_(few_taps),
        writer_(writer) {}

  void add_to_list(int32_t tap, int64_t slot, int32_t rank) {
    writer_.add(tap, slot, first_rows_[static_cast<size_t>(rank)]);
    if (further_copies_) add_further(tap, slot, rank);
  }
  void add(int32_t tap, int64_t slot, int32_t rank) {
    if (few_taps_) return add_to_list(tap, slot, rank);
    writer_.add_sorted(tap, 0, slot, first_rows_[static_cast<size_t>(rank)]);
    if (further_copies_) add_further(tap, slot, rank);
  }

 private:
  void add_further(int32_t tap, int64_t slot, int32_t rank) {
    const int64_t first = source_.position(rank), last = source_.position(rank + 1);
    for (int64_t at = first + 1; at < last; ++at) {
      writer_.add_sorted(tap, static_cast<int32_t>(at - first), slot, source_.order()[static_cast<size_t>(at)]);
    }
  }

  const CoordIndex& source_;
  std::span<const int32_t> first_rows_;
  bool further_copies_, few_taps_;
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
  const auto begins_after = [&](int64_t position, const Block& block) { return position < target.position(block.first); };
  auto block = static_cast<size_t>(std::upper_bound(blocks.begin(), blocks.end(), first, begins_after) - blocks.begin()) - 1;
  const auto starts_after = [](size_t at, const BlockColumn& column) {
    return at < static_cast<size_t>(column.first_block);
  };
  auto column = static_cast<size_t>(std::upper_bound(columns.begin(), columns.end(), block, starts_after) - columns.begin()) - 1;
  for (; first < last; ++block) {
    if (block == static_cast<size_t>(columns[column + 1].first_block)) ++column;
    const int64_t end = std::min(last, target.position(blocks[block + 1].first));
    const BlockColumn& at = columns[column];
    search(OutputGroup{at.batch, at.x, at.y, blocks[block].z, first, end});
    first = end;
  }
}

/// Edges of kernels that keep to a box of blocks.
class BoxSearch {
 public:
  BoxSearch(const Stencil& stencil, const CoordIndex& source, const CoordIndex& target)
      : stencil_(stencil), source_(source), cells_(target.cells()) {
    for (int axis = 0; axis < 2; ++axis) {
      for (int block = 0; block < stencil.blocks()[static_cast<size_t>(axis)]; ++block) {
        used_[static_cast<size_t>(axis)][static_cast<size_t>(block)] = stencil.used_cells(axis, block);
      }
    }
    const int bits = stencil.column_bits();
    for (int bit = 0; bit < 64; ++bit) {
      split_[static_cast<size_t>(bit)] = {static_cast<uint8_t>(bit / bits), static_cast<uint8_t>(bit % bits)};
    }
  }

  void search(const OutputGroup& group, int64_t tile_first, EdgeSink& sink) {
    if (group.x != column_x_ || group.y != column_y_ || group.batch != column_batch_) enter_column(group);
    gather(group.z);
    const Stencil::Heights* const heights = stencil_.heights().data() + stencil_.heights_phase(group.z);
    const Stencil::Range* const ranges = stencil_.ranges().data() + columns_phase_;
    const Stencil::Column* const columns = stencil_.columns().data();
    const int column_bits = stencil_.column_bits();
    const uint32_t columns_a_word = stencil_.columns_a_word();
    for (int64_t position = group.first; position < group.last; ++position) {
      const unsigned cell = cells_[static_cast<size_t>(position)];
      const Stencil::Heights& height = heights[cell & 3];
      const Stencil::Range range = ranges[cell >> 2];
      for (uint32_t first = range.begin; first < range.end; first += columns_a_word) {
        const uint32_t last = std::min(range.end, first + columns_a_word);
        uint64_t found = 0;
        int shift = 0;
        for (uint32_t column = first; column < last; ++column, shift += column_bits) {
          found |= static_cast<uint64_t>(rows_[columns[column].row] >> height.shift & height.mask) << shift;
        }
        for (; found != 0; found &= found - 1) {
          const auto [of_column, bit] = split_[static_cast<size_t>(std::countr_zero(found))];
          const Stencil::Column& column = columns[first + of_column];
          const int z = height.shift + bit;
          const Block& block = *box_[static_cast<size_t>(column.block + z / Block::kSide)];
          sink.add_to_list(column.tap + height.tap[bit], position - tile_first,
                           block.rank(column.cell + z % Block::kSide));
        }
      }
    }
  }

 private:
  static constexpr int kRowStride = Stencil::kBoxCells;

  /// A column of source blocks within the box, from the block to look at next.
  struct Reached {
    int32_t next, end;
    int x, y;  // of the box
  };

  void enter_column(const OutputGroup& group) {
    column_batch_ = group.batch;
    column_x_ = group.x;
    column_y_ = group.y;
    columns_phase_ = stencil_.columns_phase(group.x, group.y);
    reached_.clear();
    const int64_t first_x = stencil_.first_block(0, group.x), first_y = stencil_.first_block(1, group.y);
    for (int x = 0; x < stencil_.blocks()[0]; ++x) {
      for (int y = 0; y < stencil_.blocks()[1]; ++y) {
        const int32_t column = source_.find_column(group.batch, first_x + x, first_y + y);
        if (column < 0) continue;
        const BlockColumn* const at = &source_.columns()[static_cast<size_t>(column)];
        reached_.push_back({at[0].first_block, at[1].first_block, x, y});
      }
    }
  }

  /// Brings the rows and blocks of the box to the outputs of the block at `block_z` of the column at hand. Blocks of a
  /// column come in rising z, so what lies below the box is left behind for good.
  void gather(int64_t block_z) {
    const int64_t first = stencil_.first_block(2, block_z);
    const int64_t end = first + stencil_.blocks()[2];
    std::memset(rows_.data(), 0, sizeof(uint16_t) * kRowStride * Block::kSide * static_cast<size_t>(stencil_.blocks()[0]));
    for (Reached& column : reached_) {
      const Block* const blocks = source_.blocks().data();
      while (column.next < column.end && blocks[column.next].z < first) ++column.next;
      for (int32_t at = column.next; at < column.end && blocks[at].z < end; ++at) {
        const auto z = static_cast<int>(blocks[at].z - first);
        box_[static_cast<size_t>((column.x * Stencil::kMostBlocks + column.y) * Stencil::kMostBlocks + z)] = &blocks[at];
        add_rows(blocks[at].cells, column, z * Block::kSide);
      }
    }
  }

  void add_rows(uint64_t cells, const Reached& column, int shift) {
    const auto [first_x, last_x] = used_[0][static_cast<size_t>(column.x)];
    for (int x = first_x; x <= last_x; ++x) {
      uint16_t* const rows = rows_.data() + (column.x * Block::kSide + x) * kRowStride + column.y * Block::kSide;
      const auto plane = static_cast<uint32_t>(cells >> x * 16 & 0xFFFF);
      for (int y = 0; y < Block::kSide; ++y) {
        rows[y] = static_cast<uint16_t>(rows[y] | (plane >> y * 4 & 15) << shift);
      }
    }
  }

  const Stencil& stencil_;
  const CoordIndex& source_;
  std::span<const uint8_t> cells_;
  std::array<std::array<std::array<int, 2>, Stencil::kMostBlocks>, 2> used_ = {};
  struct Bit {
    uint8_t column, bit;
  };
  std::array<Bit, 64> split_;  // of a found bit: which column, which bit of it

  // The column of output blocks at hand.
  int64_t column_batch_ = -1, column_x_ = 0, column_y_ = 0;
  size_t columns_phase_ = 0;
  std::vector<Reached> reached_;
  // And the box of the block at hand: rows of cells along z, and the blocks, set where some row has a bit.
  std::array<uint16_t, kRowStride * Stencil::kBoxCells> rows_;
  std::array<const Block*, Stencil::kMostBlocks * Stencil::kMostBlocks * Stencil::kMostBlocks> box_;
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
          const int32_t column = source_.find_column(group.batch, Block::of(x), Block::of(y));
          if (column < 0) continue;
          search_column(column, x, y, output.z, (ix * rule_.size.y + iy) * rule_.size.z, slot, sink);
        }
      }
    }
  }

 private:
  void search_column(int32_t column, int64_t x, int64_t y, int64_t output_z, int64_t first_tap, int64_t slot,
                     EdgeSink& sink) const {
    const int64_t reach = (rule_.size.z - 1) * rule_.dilation.z;
    const int64_t first = rule_.divides ? output_z + rule_.shift.z - reach : output_z * rule_.stride.z + rule_.shift.z;
    const int64_t lowest = rule_.divides ? divide_[2].floor(first) : first;
    const int64_t highest = rule_.divides ? divide_[2].floor(first + reach) : first + reach;
    const auto begin = source_.blocks().begin() + source_.columns()[static_cast<size_t>(column)].first_block;
    const auto end = source_.blocks().begin() + source_.columns()[static_cast<size_t>(column) + 1].first_block;
    const auto below = [](const Block& block, int64_t z) { return block.z < z; };
    for (auto block = std::lower_bound(begin, end, Block::of(lowest), below);
         block != end && block->z <= Block::of(highest); ++block) {
      for (int cell = Block::cell(x, y, 0), last = cell + Block::kSide; cell < last; ++cell) {
        if (!block->holds(cell)) continue;
        const int64_t z = int64_t{block->z} * Block::kSide + cell % Block::kSide;
        // How far tap 0 is, in steps of the finer lattice.
        const int64_t distance =
            rule_.divides ? output_z + rule_.shift.z - z * rule_.stride.z : z - first;
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
std::vector<Piece> search_tiles(const Search& search, const CoordIndex& source, const CoordIndex& target, int64_t taps,
                                bool all_copies, Workers& workers) {
  const auto rows = static_cast<int64_t>(target.order().size());
  std::vector<Piece> pieces = pieces_for(rows);
  workers.for_each(static_cast<int64_t>(pieces.size()), [&](int64_t index) {
    Search mine = search;  // with scratch of its own
    PieceWriter writer(taps);
    EdgeSink sink(source, all_copies, taps <= PieceWriter::kMostLists, writer);
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

std::vector<Piece> pieces_for(int64_t rows) {
  constexpr int64_t kRows = kTilesAPiece * kTileRows;
  return std::vector<Piece>(static_cast<size_t>((rows + kRows - 1) / kRows));
}

std::vector<Piece> search_edges(const TapRule& rule, const CoordSet& source, const CoordSet& target, bool all_copies,
                                Workers& workers) {
  const CoordIndex& inputs = source.index();
  const CoordIndex& outputs = target.index();
  const int64_t taps = rule.size.x * rule.size.y * rule.size.z;
  if (const std::optional<Stencil> stencil = Stencil::make(rule)) {
    return search_tiles(BoxSearch(*stencil, inputs, outputs), inputs, outputs, taps, all_copies, workers);
  }
  return search_tiles(PlaceSearch(rule, inputs, outputs), inputs, outputs, taps, all_copies, workers);
}

}  // namespace lattice::cpu
