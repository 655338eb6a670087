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
    for (int block = 0; block < stencil.blocks()[0]; ++block) {
      used_x_[static_cast<size_t>(block)] = stencil.used_cells(0, block);
    }
  }

  void search(const OutputGroup& group, int64_t tile_first, EdgeSink& sink) {
    if (group.x != column_x_ || group.y != column_y_ || group.batch != column_batch_) enter_column(group);
    gather(group.z);
    const Stencil::Pattern* const patterns = stencil_.patterns(group.x, group.y, group.z);
    const Stencil::Word* const words = stencil_.words();
    const Stencil::Load* const loads = stencil_.loads();
    const PieceWriter::Lists lists = sink.lists();
    const bool all_copies = sink.all_copies();
    for (int64_t position = group.first; position < group.last; ++position) {
      const auto slot = static_cast<uint16_t>(position - tile_first);
      const Stencil::Pattern& pattern = patterns[cells_[static_cast<size_t>(position)]];
      for (const Stencil::Word *word = words + pattern.first_word, *end = words + pattern.last_word; word < end; ++word) {
        uint64_t found = 0;
        for (const Stencil::Load *load = loads + word->first_load, *last = loads + word->last_load; load < last; ++load) {
          found |= (four_rows(load->row) >> pattern.shift & load->mask) << load->up;
        }
        for (; found != 0; found &= found - 1) {
          const Stencil::Reach reach = word->reach[static_cast<size_t>(std::countr_zero(found))];
          const int32_t rank = box_[reach.block]->rank(reach.cell);
          lists.add(reach.tap, slot, rank);
          if (all_copies) sink.add_copies(reach.tap, slot, rank);
        }
      }
    }
  }

 private:
  /// A column of source blocks within the box, from the block to look at next.
  struct Reached {
    int32_t next, end;
    int x, y;  // of the box
  };

  void enter_column(const OutputGroup& group) {
    column_batch_ = group.batch;
    column_x_ = group.x;
    column_y_ = group.y;
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
    std::fill_n(rows_.data(), kBoxCells * Block::kSide * stencil_.blocks()[0], uint16_t{0});
    const Block* const blocks = source_.blocks().data();
    for (Reached& column : reached_) {
      while (column.next < column.end && blocks[column.next].z < first) ++column.next;
      for (int32_t at = column.next; at < column.end && blocks[at].z < end; ++at) {
        const auto z = static_cast<int>(blocks[at].z - first);
        box_[static_cast<size_t>((column.x * Stencil::kMostBlocks + column.y) * Stencil::kMostBlocks + z)] = &blocks[at];
        add_rows(blocks[at].cells, column, z * Block::kSide);
      }
    }
  }

  void add_rows(uint64_t cells, const Reached& column, int shift) {
    const auto [first_x, last_x] = used_x_[static_cast<size_t>(column.x)];
    for (int x = first_x; x <= last_x; ++x) {
      // The four rows of an x, 4 bits each, spread to 16 bits each.
      uint64_t spread = cells >> x * 16 & 0xFFFF;
      spread = (spread | spread << 24) & 0x000000FF000000FF;
      spread = (spread | spread << 12) & 0x000F000F000F000F;
      const int row = (column.x * Block::kSide + x) * kBoxCells + column.y * Block::kSide;
      const uint64_t rows = four_rows(row) | spread << shift;
      std::memcpy(&rows_[static_cast<size_t>(row)], &rows, sizeof(rows));
    }
  }

  /// Row r at the low bits, row r + 1 above it, and so on.
  uint64_t four_rows(int row) const noexcept {
    static_assert(std::endian::native == std::endian::little);
    uint64_t rows = 0;
    std::memcpy(&rows, &rows_[static_cast<size_t>(row)], sizeof(rows));
    return rows;
  }

  static constexpr int kBoxCells = Stencil::kBoxCells;

  const Stencil& stencil_;
  const CoordIndex& source_;
  std::span<const uint8_t> cells_;
  std::array<std::array<int, 2>, Stencil::kMostBlocks> used_x_ = {};

  // The column of output blocks at hand.
  int64_t column_batch_ = -1, column_x_ = 0, column_y_ = 0;
  std::vector<Reached> reached_;
  // And the box of the block at hand: rows of cells along z, and the blocks, set where some row has a bit.
  std::array<uint16_t, kBoxCells * kBoxCells> rows_;
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
    PieceWriter writer(taps, source.first_rows());
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
