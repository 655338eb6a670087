#include "cpu/relation_search.h"

#include <algorithm>
#include <array>
#include <bit>
#include <limits>

#include "cpu/relation_writer.h"

// How edges are found. A set is kept as blocks of 4x4x4 cells, one bit a cell, sorted and in columns of blocks with the
// same x and y (see coord_index.h). The outputs of a block read inputs from a box of few blocks. That box is gathered
// once a block of outputs, as one word of bits for each row of cells along z; then an output's taps are found by
// shifting rows, a kernel column at once, and a set bit leads by counting to the input's rank. What a scan holds mostly
// stands in groups, so that the cost of a look-up is shared by two to eight outputs. Kernels that reach further than
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

/// Edges of kernels that keep to a box of blocks. The box is gathered for a whole column of output blocks at once, or
/// as much of it as words of 64 cells hold.
class BoxSearch {
 public:
  BoxSearch(const Stencil& stencil, const CoordIndex& source, const CoordIndex& target)
      : stencil_(stencil), source_(source), cells_(target.cells()) {}

  void search(const OutputGroup& group, int64_t tile_first, EdgeSink& sink) {
    if (group.x != column_x_ || group.y != column_y_ || group.batch != column_batch_) enter_column(group);
    const int64_t first_block = stencil_.first_block(2, group.z);
    if (first_block + stencil_.blocks()[2] > window_ + Stencil::kWindowBlocks) gather(first_block);
    const auto window_block = static_cast<int>(first_block - window_);
    const Stencil::Pattern* const patterns = stencil_.patterns(group.x, group.y, group.z);
    const Stencil::Word* const words = stencil_.words();
    const uint8_t* const rows = stencil_.rows();
    const Block* const* const box = box_.data() + window_block;
    const PieceWriter::Lists lists = sink.lists();
    const bool all_copies = sink.all_copies();
    for (int64_t position = group.first; position < group.last; ++position) {
      const auto slot = static_cast<uint16_t>(position - tile_first);
      const Stencil::Pattern& pattern = patterns[cells_[static_cast<size_t>(position)]];
      const int shift = pattern.shift + window_block * Block::kSide;
      for (uint32_t word = pattern.first_word; word < pattern.last_word; ++word) {
        const uint8_t* const first_row = rows + words[word].first_row;
        const uint32_t count = words[word].last_row - words[word].first_row;
        uint64_t found = count == 9 && pattern.bits == 3   ? taps_of<9, 3>(first_row, shift, pattern.mask)
                         : count == 4 && pattern.bits == 2 ? taps_of<4, 2>(first_row, shift, pattern.mask)
                                                           : taps_of(first_row, count, shift, pattern);
        for (; found != 0; found &= found - 1) {
          const Stencil::Reach reach = words[word].reach[static_cast<size_t>(std::countr_zero(found))];
          const int32_t rank = box[reach.block]->rank(reach.cell);
          lists.add(reach.tap, slot, rank);
          if (all_copies) sink.add_copies(reach.tap, slot, rank);
        }
      }
    }
  }

 private:
  static constexpr int kBoxCells = Stencil::kBoxCells;
  static constexpr int64_t kNoWindow = std::numeric_limits<int64_t>::min() / 2;

  /// What the given rows of the box hold, seen from `shift`, row after row.
  uint64_t taps_of(const uint8_t* rows, uint32_t count, int shift, const Stencil::Pattern& pattern) const noexcept {
    uint64_t found = 0;
    for (uint32_t i = 0; i < count; ++i) {
      found |= (rows_[rows[i]] >> shift & pattern.mask) << (i * static_cast<uint32_t>(pattern.bits));
    }
    return found;
  }
  /// The same for the most frequent kernels, without a loop.
  template <int kCount, int kBits>
  uint64_t taps_of(const uint8_t* rows, int shift, uint64_t mask) const noexcept {
    return [&]<int... kIndex>(std::integer_sequence<int, kIndex...>) {
      return ((((rows_[rows[kIndex]] >> shift) & mask) << (kIndex * kBits)) | ...);
    }
    (std::make_integer_sequence<int, kCount>());
  }

  /// A column of source blocks within the box, from the block to look at next.
  struct Reached {
    int32_t next, end;
    int x, y;  // of the box
  };
  /// The source's columns of one x of the box, from the one to look at next.
  struct Line {
    int32_t next, end;
  };

  void enter_column(const OutputGroup& group) {
    if (group.x != column_x_ || group.batch != column_batch_) enter_line(group);
    column_y_ = group.y;
    window_ = kNoWindow;
    reached_count_ = 0;
    const BlockColumn* const columns = source_.columns().data();
    const int64_t first = stencil_.first_block(1, group.y), end = first + stencil_.blocks()[1];
    for (int x = 0; x < stencil_.blocks()[0]; ++x) {
      Line& line = lines_[static_cast<size_t>(x)];
      while (line.next < line.end && columns[line.next].y < first) ++line.next;
      for (int32_t at = line.next; at < line.end && columns[at].y < end; ++at) {
        reached_[reached_count_++] = {columns[at].first_block, columns[at + 1].first_block, x,
                                      static_cast<int>(columns[at].y - first)};
      }
    }
  }

  /// Finds the source's columns of each x of the box. Within a line of output columns, y rises.
  void enter_line(const OutputGroup& group) {
    column_batch_ = group.batch;
    column_x_ = group.x;
    const int64_t first_y = stencil_.first_block(1, group.y);
    const auto columns = source_.columns().first(source_.columns().size() - 1);
    for (int x = 0; x < stencil_.blocks()[0]; ++x) {
      const int64_t line_x = stencil_.first_block(0, group.x) + x;
      const auto before = [](const BlockColumn& column, const std::array<int64_t, 3>& at) {
        return std::array<int64_t, 3>{column.batch, column.x, column.y} < at;
      };
      const auto next =
          std::lower_bound(columns.begin(), columns.end(), std::array{group.batch, line_x, first_y}, before);
      const auto end = std::lower_bound(next, columns.end(), std::array{group.batch, line_x + 1, kNoWindow}, before);
      lines_[static_cast<size_t>(x)] = {static_cast<int32_t>(next - columns.begin()),
                                        static_cast<int32_t>(end - columns.begin())};
    }
  }

  /// Brings the window of the box that starts at the block `first` of z. Blocks of a column come in rising z, so what
  /// lies below is left behind for good.
  void gather(int64_t first) {
    window_ = first;
    const int64_t end = first + Stencil::kWindowBlocks;
    std::fill_n(rows_.data(), stencil_.row_count(), uint64_t{0});
    const Block* const blocks = source_.blocks().data();
    for (size_t i = 0; i < reached_count_; ++i) {
      Reached& column = reached_[i];
      while (column.next < column.end && blocks[column.next].z < first) ++column.next;
      const std::span<const Stencil::Row> used = stencil_.used_rows(column.x, column.y);
      const Block** const box = box_.data() + (column.x * Stencil::kMostBlocks + column.y) * Stencil::kWindowBlocks;
      for (const Block *block = blocks + column.next, *last = blocks + column.end; block < last && block->z < end;
           ++block) {
        const auto z = static_cast<int>(block->z - first);
        box[z] = block;
        for (const Stencil::Row row : used) rows_[row.row] |= (block->cells >> row.cell & 15) << z * Block::kSide;
      }
    }
  }

  const Stencil& stencil_;
  const CoordIndex& source_;
  std::span<const uint8_t> cells_;

  // The column of output blocks at hand.
  int64_t column_batch_ = -1, column_x_ = 0, column_y_ = 0;
  std::array<Line, Stencil::kMostBlocks> lines_;
  std::array<Reached, Stencil::kMostBlocks * Stencil::kMostBlocks> reached_;
  size_t reached_count_ = 0;
  // The window of its box, from the block of z where it starts: rows of cells along z, and the blocks, set where some
  // row has a bit.
  int64_t window_ = kNoWindow;
  std::array<uint64_t, kBoxCells * kBoxCells> rows_;
  std::array<const Block*, Stencil::kMostBlocks * Stencil::kMostBlocks * Stencil::kWindowBlocks> box_;
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

const CoordIndex& sorted_index(const CoordSet& set, Workers& workers) {
  return set.index(workers.threads(), [&workers](int64_t count, const std::function<void(int64_t)>& task) {
    workers.for_each(count, task);
  });
}

std::vector<Piece> pieces_for(int64_t rows) {
  constexpr int64_t kRows = kTilesAPiece * kTileRows;
  return std::vector<Piece>(static_cast<size_t>((rows + kRows - 1) / kRows));
}

std::vector<Piece> search_edges(const TapRule& rule, const CoordSet& source, const CoordSet& target, bool all_copies,
                                Workers& workers) {
  const CoordIndex& inputs = sorted_index(source, workers);
  const CoordIndex& outputs = sorted_index(target, workers);
  const int64_t taps = rule.size.x * rule.size.y * rule.size.z;
  if (const std::optional<Stencil> stencil = Stencil::make(rule)) {
    return search_tiles(BoxSearch(*stencil, inputs, outputs), inputs, outputs, taps, all_copies, workers);
  }
  return search_tiles(PlaceSearch(rule, inputs, outputs), inputs, outputs, taps, all_copies, workers);
}

}  // namespace lattice::cpu
