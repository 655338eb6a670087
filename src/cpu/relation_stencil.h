#pragma once

#include <array>
#include <cstdint>
#include <optional>
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

/// Where the taps of a kernel fall, seen from an output's cell within its block. All that an output block can reach is a
/// box of a few input blocks, placed by the output block alone; within the box each of an output's taps is a cell that
/// depends on the output's cell only (and on the phase of its block, where a division leaves remainders). So the tables
/// are made once a relation.
///
/// The box is kept as rows of cells along z, 16 bits a row, those of one x side by side: one word of 64 bits holds four
/// rows, so that a few loads bring all that an output may read.
class Stencil {
 public:
  static constexpr int kMostBlocks = 4;              // of the box, an axis
  static constexpr int kBoxCells = kMostBlocks * 4;  // and its cells
  static constexpr int64_t kMostTaps = 512;

  /// Four rows: those taps among them that an output reads come to stand at bits of its own in a word.
  struct Load {
    uint64_t mask;   // of the bits that taps read, the lowest cell of z at bit 0 of each row
    uint8_t row;     // first of the rows: x * kBoxCells + y
    uint8_t up;      // how far left in the word
  };
  /// What a bit of a word means.
  struct Reach {
    uint16_t tap;
    uint8_t block;  // of the box: (x * kMostBlocks + y) * kMostBlocks + z
    uint8_t cell;   // within the block
  };
  /// A word of an output's taps.
  struct Word {
    uint32_t first_load, last_load;
    std::array<Reach, 64> reach;
  };
  /// An output's cell: its words, and the lowest cell of z that its taps read.
  struct Pattern {
    uint32_t first_word, last_word;
    int shift;
  };

  /// Nothing where the kernel reaches further than the box, or has very many taps.
  static std::optional<Stencil> make(const TapRule& rule);

  /// Blocks of the box on each axis.
  const std::array<int, 3>& blocks() const noexcept { return blocks_; }
  /// First block of the box, on an axis, for an output block.
  int64_t first_block(int axis, int64_t block) const noexcept { return axes_[static_cast<size_t>(axis)].first_block(block); }
  /// Which cells of a block of the box, on an axis, some output reads.
  std::array<int, 2> used_cells(int axis, int block) const noexcept;

  /// The patterns of an output block: 64, by cell.
  const Pattern* patterns(int64_t block_x, int64_t block_y, int64_t block_z) const noexcept {
    const size_t phase = (axes_[0].phase(block_x) * axes_[1].phases() + axes_[1].phase(block_y)) * axes_[2].phases() +
                         axes_[2].phase(block_z);
    return patterns_.data() + phase * 64;
  }
  const Word* words() const noexcept { return words_.data(); }
  const Load* loads() const noexcept { return loads_.data(); }

 private:
  /// One axis of the rule.
  class Axis {
   public:
    struct Tap {
      int index, cell;
    };

    Axis(bool divides, int64_t shift, int64_t size, int64_t stride, int64_t dilation);

    int64_t first_block(int64_t block) const noexcept;
    size_t phases() const noexcept { return divides_ ? static_cast<size_t>(stride_) : 1; }
    size_t phase(int64_t block) const noexcept {
      return divides_ ? static_cast<size_t>(block - divider_.floor(block) * stride_) : 0;
    }
    /// The taps that an output reads, by index, with their cells in the box.
    std::vector<Tap> taps(size_t phase, int cell) const;

   private:
    bool divides_;
    int64_t shift_, size_, stride_, dilation_;
    Divider divider_;
  };

  explicit Stencil(std::vector<Axis> axes);
  void add_pattern(const TapRule& rule, const std::vector<Axis::Tap>& xs, const std::vector<Axis::Tap>& ys,
                   const std::vector<Axis::Tap>& zs);

  std::vector<Axis> axes_;
  std::array<int, 3> blocks_ = {}, lowest_ = {}, highest_ = {};
  std::vector<Pattern> patterns_;
  std::vector<Word> words_;
  std::vector<Load> loads_;
};

}  // namespace lattice::cpu
