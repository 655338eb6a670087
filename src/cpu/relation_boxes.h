#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>
#include <cstring>
#include <span>
#include <utility>

#include "cpu/relation_sink.h"

// The search that every machine can do. The box of blocks that the outputs of a block read is gathered once, as rows of
// bits along z, without a branch; then an output's taps are found by shifting rows, several kernel columns at once, and
// a set bit leads by counting to the input's rank. What a scan holds mostly stands in groups, so that the cost of a box
// is shared by two to eight outputs.

namespace lattice::cpu {

/// A stencil as words of bits. The box is kept as slices, one for each x: rows of cells along z, side by side in words
/// of 64 bits. Where what outputs read on every axis lies within the cells 0 .. 7 (2x2x2 at stride 2) or 3 .. 10 (3x3x3
/// at stride 1; along x 0 .. 4 if half of the taps are searched) of the box, rows have 8 bits and a word holds all of a
/// slice; else rows have 16 bits and a word holds four of them. Shifting and masking a slice leaves the taps of several
/// kernel columns at once.
class BoxTable {
 public:
  static constexpr int kMostSlices = 8;  // of a word

  /// What a bit of an output's word means: a tap, and the cell that it reads.
  struct Reach {
    uint16_t tap;
    uint8_t block;  // of the box
    uint8_t cell;   // within the block
  };
  /// The taps of an output on as many x and y as fit 64 bits. Slice i of the box, its lowest tap shifted to bit 0,
  /// masked, stands `place[i]` bits up.
  struct Word {
    uint64_t mask;      // which cells of a slice are taps
    uint64_t searched;  // which bits of the word are taps that are searched
    int first_x, x_step, slices;
    int quad;       // only of rows of 16 bits: the quad of y that holds the lowest tap
    int row_shift;  // bits below the lowest tap's row
    int z;          // and below the tap within it
    std::array<uint8_t, kMostSlices> place;
    std::array<Reach, 64> reach;
  };
  /// An output's words.
  struct Pattern {
    uint32_t first_word, last_word;
  };

  /// Refers to the stencil.
  explicit BoxTable(const Stencil& stencil);

  const Stencil& stencil() const noexcept { return stencil_; }
  /// 8 or 16; see above.
  int row_bits() const noexcept { return row_bits_; }
  /// Whether rows have 8 bits, those from lowest_cell on, and slices are some of first_x .. last_x.
  bool fits(int first_x, int last_x, int lowest_cell) const noexcept {
    return row_bits_ == 8 && stencil_.lowest() == std::array{first_x, lowest_cell, lowest_cell} &&
           stencil_.highest()[0] <= last_x;
  }
  const Pattern* patterns() const noexcept { return patterns_.data(); }
  const Word* words() const noexcept { return words_.data(); }

 private:
  void add_pattern(Stencil::AxisTaps xs, Stencil::AxisTaps ys, Stencil::AxisTaps zs);
  void add_word(Stencil::AxisTaps xs, Stencil::AxisTaps ys, Stencil::AxisTaps zs);

  const Stencil& stencil_;
  int row_bits_;
  PooledVector<Pattern> patterns_;
  PooledVector<Word> words_;
};

/// A set's blocks as boxes read them.
class BoxSource {
 public:
  using Rows = uint8_t __attribute__((vector_size(16)));

  struct Block : lattice::Block {
    Rows rows;  // its cells once more: a byte for each x and y, whose lower four bits are the cells along z
  };

  BoxSource(const CoordIndex& source, Workers& workers);

  const BlockLookup& lookup() const noexcept { return lookup_; }
  /// The first kCount blocks of a column at z, z + 1 and so on; where there is none, one without cells.
  template <int kCount>
  void blocks_above(const BlockLookup::Heights& column, int32_t z, const Block** found) const noexcept {
    static_assert(kCount <= BlockLookup::kMostBlocksAbove);
    const int32_t* const numbers = lookup_.blocks_above(column, z);
    for (int i = 0; i < kCount; ++i) found[i] = blocks_.data() + numbers[i];
  }

 private:
  const BlockLookup& lookup_;
  PooledVector<Block> blocks_;
};

using BoxBlocks =
    std::array<const BoxSource::Block*, Stencil::kMostBlocks * Stencil::kMostBlocks * Stencil::kMostBlocks>;
using ColumnHeights = std::array<BlockLookup::Heights, Stencil::kMostBlocks * Stencil::kMostBlocks>;

/// A box as slices of rows of 8 bits (see BoxTable), those of kFirstX .. kLastX: on the other axes kSide blocks, of
/// which the taps read the cells from kLowest on.
template <int kFirstX, int kLastX, int kSide, int kLowest>
class NarrowBox {
 public:
  explicit NarrowBox(const BoxTable&) {}
  static bool fits(const BoxTable& table) { return table.fits(kFirstX, kLastX, kLowest); }

  void gather(const BoxSource& source, const ColumnHeights& columns, int32_t first_z, BoxBlocks& box) noexcept {
    constexpr int kMost = Stencil::kMostBlocks;
    for (int x = 0; x * Block::kSide <= kLastX; ++x) {
      std::array<std::array<uint32_t, Block::kSide>, 3> rows = {};  // by y, then x within the block: four rows
      for (int y = 0; y < kSide; ++y) {
        const int column = x * kMost + y;
        const BoxSource::Block** const blocks = &box[static_cast<size_t>(column * kMost)];
        source.blocks_above<kSide>(columns[static_cast<size_t>(column)], first_z, blocks);
        const BoxSource::Rows high = kSide > 2 ? blocks[kSide - 1]->rows : BoxSource::Rows{};
        // The rows of blocks above one another, from the lowest cell on.
        constexpr int kHighShift = kSide > 2 ? 8 - kLowest : 0;
        const BoxSource::Rows all = blocks[0]->rows >> kLowest | blocks[1]->rows << (4 - kLowest) | high << kHighShift;
        std::memcpy(&rows[static_cast<size_t>(y)], &all, sizeof(all));
      }
      const int last = std::min(Block::kSide - 1, kLastX - x * Block::kSide);
      for (int i = x == 0 ? kFirstX : 0; i <= last; ++i) {
        const auto at = static_cast<size_t>(i);
        const uint64_t low = rows[0][at] | static_cast<uint64_t>(rows[1][at]) << 32;
        const uint64_t high = static_cast<uint64_t>(rows[2][at]) << 1 << (63 - kLowest * 8);
        slices_[static_cast<size_t>(x) * Block::kSide + at] = low >> (kLowest * 8) | high;
      }
    }
  }
  uint64_t slice(const BoxTable::Word& word, int i) const noexcept {
    return slices_[static_cast<size_t>(word.first_x + i * word.x_step)] >> (word.row_shift + word.z);
  }

 private:
  std::array<uint64_t, size_t{kLastX} + 1> slices_ = {};
};

/// A box as slices of rows of 16 bits (see BoxTable): up to four blocks on each axis.
class WideBox {
 public:
  explicit WideBox(const BoxTable& table) : blocks_(table.stencil().blocks()) {}

  void gather(const BoxSource& source, const ColumnHeights& columns, int32_t first_z, BoxBlocks& box) noexcept {
    for (int x = 0; x < blocks_[0]; ++x) {
      for (int y = 0; y < blocks_[1]; ++y) {
        const int column = x * Stencil::kMostBlocks + y;
        const BoxSource::Block** const blocks = &box[static_cast<size_t>(column * Stencil::kMostBlocks)];
        source.blocks_above<Stencil::kMostBlocks>(columns[static_cast<size_t>(column)], first_z, blocks);
        const std::array<uint64_t, Block::kSide> quads = quads_of(blocks);
        for (int i = 0; i < Block::kSide; ++i) {
          quads_[static_cast<size_t>((x * Block::kSide + i) * Stencil::kMostBlocks + y)] =
              quads[static_cast<size_t>(i)];
        }
      }
    }
  }
  uint64_t slice(const BoxTable::Word& word, int i) const noexcept {
    const uint64_t* const quad =
        &quads_[static_cast<size_t>((word.first_x + i * word.x_step) * Stencil::kMostBlocks + word.quad)];
    return (quad[0] >> word.row_shift | quad[1] << 1 << (63 - word.row_shift)) >> word.z;
  }

 private:
  /// Four blocks above one another as rows of 16 bits, four rows for each x.
  static std::array<uint64_t, Block::kSide> quads_of(const BoxSource::Block* const* blocks) noexcept {
    const BoxSource::Rows low = blocks[0]->rows | blocks[1]->rows << 4, high = blocks[2]->rows | blocks[3]->rows << 4;
    const std::array<BoxSource::Rows, 2> rows = {
        __builtin_shufflevector(low, high, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23),
        __builtin_shufflevector(low, high, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)};
    return std::bit_cast<std::array<uint64_t, Block::kSide>>(rows);
  }

  // Four rows a quad, four quads a slice. A quad is read together with the one after it.
  static constexpr size_t kQuads = static_cast<size_t>(Stencil::kBoxCells) * Stencil::kMostBlocks + 1;
  std::array<uint64_t, kQuads> quads_ = {};
  std::array<int, 3> blocks_;
};

/// The search of a kernel that keeps to a box of blocks.
template <typename Box>
class BoxSearch {
 public:
  BoxSearch(const BoxTable& table, const BoxSource& source, const CoordIndex& target)
      : table_(table), stencil_(table.stencil()), source_(source), cells_(target.sorted().cells), rows_(table) {
    columns_.fill(source.lookup().no_heights());
  }

  void enter_column(const BlockColumn& column) {
    column_ = column;
    for_columns_of_box(stencil_, source_.lookup(), column, [this](int x, const auto& columns) {
      ColumnHeights::iterator to = columns_.begin() + x * Stencil::kMostBlocks;
      for (const int32_t at : columns) *to++ = source_.lookup().heights(at);
    });
  }
  void search(const OutputGroup& group, int64_t tile_first, EdgeSink& sink) {
    rows_.gather(source_, columns_, first_height_of_box(stencil_, group.z), box_);
    const BoxTable::Pattern* const patterns = table_.patterns() + stencil_.first_pattern(column_.x, column_.y, group.z);
    const TileWriter::Lists lists = sink.lists();
    const bool all_copies = sink.all_copies();
    if (stencil_.own_tap() >= 0) lists.add_own(stencil_.own_tap(), group.first - tile_first, group.first, group.last);
    for (int64_t position = group.first; position < group.last; ++position) {
      const auto slot = static_cast<uint16_t>(position - tile_first);
      const BoxTable::Pattern& pattern = patterns[cells_[static_cast<size_t>(position)]];
      for (uint32_t at = pattern.first_word; at < pattern.last_word; ++at) {
        const BoxTable::Word& word = table_.words()[at];
        uint64_t found = word.slices == 3 ? taps_of<3>(word) : word.slices == 2 ? taps_of<2>(word) : taps_of(word);
        for (found &= word.searched; found != 0; found &= found - 1) {
          const BoxTable::Reach reach = word.reach[static_cast<size_t>(std::countr_zero(found))];
          const int32_t rank = box_[reach.block]->rank(reach.cell);
          lists.add(reach.tap, slot, rank);
          if (all_copies) sink.add_copies(reach.tap, slot, rank);
        }
      }
    }
  }

  void end_tile(EdgeSink&) const noexcept {}

 private:
  uint64_t taps_of(const BoxTable::Word& word) const noexcept {
    uint64_t found = 0;
    for (int i = 0; i < word.slices; ++i) found |= taps_of_slice(word, i);
    return found;
  }
  /// The same for the most frequent kernels, without a loop.
  template <int kSlices>
  uint64_t taps_of(const BoxTable::Word& word) const noexcept {
    return [&]<int... kSlice>(std::integer_sequence<int, kSlice...>) {
      return (taps_of_slice(word, kSlice) | ...);
    }
    (std::make_integer_sequence<int, kSlices>());
  }
  uint64_t taps_of_slice(const BoxTable::Word& word, int i) const noexcept {
    return (rows_.slice(word, i) & word.mask) << word.place[static_cast<size_t>(i)];
  }

  const BoxTable& table_;
  const Stencil& stencil_;
  const BoxSource& source_;
  std::span<const uint8_t> cells_;

  // The column of output blocks at hand, and the columns of its box.
  BlockColumn column_ = {};
  ColumnHeights columns_;
  // The box of the output block at hand.
  Box rows_;
  BoxBlocks box_ = {};
};

}  // namespace lattice::cpu
