#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "cpu/divider.h"
#include "lattice/conv_geometry.h"
#include "lattice/relation.h"

namespace lattice::cpu {

/// How a relation goes from an output o to the inputs that it reads, axis by axis.
struct TapRule {
  /// input = o*stride + offset - padding, or (o + padding - offset) / stride where that divides.
  bool divides = false;
  /// Offset of an axis' tap 0, padding taken away (added, where it divides); tap i is i * dilation further (nearer).
  Triple shift;
  Triple size, stride, dilation;

  static TapRule of(RelationKind kind, const ConvGeometry& geometry);
};

/// Where the taps of a kernel fall, seen from an output's cell within its block. All that an output block can reach is
/// a box of a few input blocks, placed by the output block alone; within the box each of an output's taps is a cell
/// that depends on the output's cell only (and on the phase of its block, where a division leaves remainders). So the
/// tables are made once a relation.
///
/// The box is kept as rows of cells along z, a bit a cell: shifting and masking a row leaves a kernel column's taps.
class Stencil {
 public:
  static constexpr int kMostBlocks = 4;              // of the box, an axis
  static constexpr int kBoxCells = kMostBlocks * 4;  // and its cells
  static constexpr int64_t kMostTaps = 512;

  /// What a bit of an output's word means: a tap, and the cell that it reads.
  struct Reach {
    uint16_t tap;
    uint8_t block;  // of the box: (x * kMostBlocks + y) * kWindowBlocks + z
    uint8_t cell;   // within the block
  };
  /// As many kernel columns of an output as fit 64 bits.
  struct Word {
    uint32_t first_row, last_row;  // of rows(): column i's bits stand at i * bits
    std::array<Reach, 64> reach;
  };
  /// An output's cell: its words, and which cells of a row its taps read, seen from `shift`.
  struct Pattern {
    uint32_t first_word, last_word;
    int shift, bits;
    uint64_t mask;
  };
  // Blocks of a column that are looked at together, so that a row of cells is a word.
  static constexpr int kWindowBlocks = 16;

  /// Nothing where the kernel reaches further than the box, or has very many taps.
  static std::optional<Stencil> make(const TapRule& rule);

  /// Blocks of the box on each axis.
  const std::array<int, 3>& blocks() const noexcept { return blocks_; }
  /// First block of the box, on an axis, for an output block.
  int64_t first_block(int axis, int64_t block) const noexcept {
    return axes_[static_cast<size_t>(axis)].first_block(block);
  }
  /// The rows of a column of the box that some output reads: their cells within a block, and their place in the box.
  struct Row {
    uint8_t cell, row;
  };
  std::span<const Row> used_rows(int x, int y) const noexcept {
    return used_rows_[static_cast<size_t>(x * kMostBlocks + y)];
  }
  /// How many rows of the box there are at most: those after it are never read.
  int row_count() const noexcept { return (highest_[0] + 1) * kBoxCells; }

  /// The patterns of an output block: 64, by cell.
  const Pattern* patterns(int64_t block_x, int64_t block_y, int64_t block_z) const noexcept {
    const size_t phase = (axes_[0].phase(block_x) * axes_[1].phases() + axes_[1].phase(block_y)) * axes_[2].phases() +
                         axes_[2].phase(block_z);
    return patterns_.data() + phase * 64;
  }
  const Word* words() const noexcept { return words_.data(); }
  /// Rows of the box, x * kBoxCells + y.
  const uint8_t* rows() const noexcept { return rows_.data(); }

 private:
  /// One axis of the rule.
  class Axis {
   public:
    struct Tap {
      int index, cell;
    };

    Axis(bool divides, int64_t shift, int64_t size, int64_t stride, int64_t dilation);

    int64_t first_block(int64_t block) const noexcept {
      if (!divides_) return block * stride_ + (shift_ >> 2);
      return divider_.floor(block * 4 + shift_ - (size_ - 1) * dilation_) >> 2;
    }
    size_t phases() const noexcept { return divides_ ? static_cast<size_t>(stride_) : 1; }
    size_t phase(int64_t block) const noexcept {
      return divides_ ? static_cast<size_t>(block - divider_.floor(block) * stride_) : 0;
    }
    /// The taps that an output reads, by index, with their cells in the box.
    const std::vector<Tap>& taps(size_t phase, int cell) const noexcept {
      return taps_[phase * 4 + static_cast<size_t>(cell)];
    }

   private:
    bool divides_;
    int64_t shift_, size_, stride_, dilation_;
    Divider divider_;
    std::vector<std::vector<Tap>> taps_;  // by phase and cell
  };

  explicit Stencil(std::vector<Axis> axes);
  void list_used_rows();
  void add_pattern(const TapRule& rule, const std::vector<Axis::Tap>& xs, const std::vector<Axis::Tap>& ys,
                   const std::vector<Axis::Tap>& zs);

  std::vector<Axis> axes_;
  std::array<int, 3> blocks_ = {}, lowest_ = {}, highest_ = {};
  std::vector<Pattern> patterns_;
  std::vector<Word> words_;
  std::vector<uint8_t> rows_;
  std::array<std::vector<Row>, kMostBlocks * kMostBlocks> used_rows_;
};

}  // namespace lattice::cpu
