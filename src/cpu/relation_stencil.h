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
class Stencil {
 public:
  static constexpr int kMostBlocks = 4;                // of the box, an axis
  static constexpr int kBoxCells = kMostBlocks * 4;    // and its cells
  static constexpr int64_t kMostTaps = 512;

  /// A kernel column: taps with the same x and y.
  struct Column {
    uint8_t row;       // x * kBoxCells + y of its cells in the box
    uint8_t block;     // block of the box at z = 0: (x * kMostBlocks + y) * kMostBlocks
    uint8_t cell;      // cell within that block at z = 0
    int32_t tap;       // the tap at index 0 of z
  };
  /// The taps of z: bits of a row of cells, counted from `shift`.
  struct Heights {
    uint16_t mask = 0;
    uint8_t shift = 0;
    std::array<uint8_t, kBoxCells> tap = {};  // index of z, by bit
  };
  struct Range {
    uint32_t begin, end;
  };

  /// Nothing where the kernel reaches further than the box, or has very many taps.
  static std::optional<Stencil> make(const TapRule& rule);

  int64_t taps() const noexcept { return taps_; }
  /// Blocks of the box on each axis.
  const std::array<int, 3>& blocks() const noexcept { return blocks_; }
  /// First block of the box, on an axis, for an output block.
  int64_t first_block(int axis, int64_t block) const noexcept { return axes_[static_cast<size_t>(axis)].first_block(block); }
  /// Which cells of a block of the box, on an axis, some output reads.
  std::array<int, 2> used_cells(int axis, int block) const noexcept;

  /// Where the 16 column lists and the 4 heights of an output block start.
  size_t columns_phase(int64_t block_x, int64_t block_y) const noexcept {
    return (axes_[0].phase(block_x) * axes_[1].phases() + axes_[1].phase(block_y)) * 16;
  }
  size_t heights_phase(int64_t block_z) const noexcept { return axes_[2].phase(block_z) * 4; }
  /// The columns of an output at (x, y) of its block, by phase + x * 4 + y, and those of z by phase + z.
  const std::vector<Range>& ranges() const noexcept { return ranges_; }
  const std::vector<Column>& columns() const noexcept { return columns_; }
  const std::vector<Heights>& heights() const noexcept { return heights_; }
  /// Bits that a column of an output needs at most, and how many columns therefore fit one word.
  int column_bits() const noexcept { return column_bits_; }
  uint32_t columns_a_word() const noexcept { return static_cast<uint32_t>(64 / column_bits_); }

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

  Stencil(const TapRule& rule, std::vector<Axis> axes);
  void make_columns(const TapRule& rule);
  void make_heights();

  std::vector<Axis> axes_;
  int64_t taps_;
  std::array<int, 3> blocks_ = {}, lowest_ = {}, highest_ = {};
  std::vector<Range> ranges_;
  std::vector<Column> columns_;
  std::vector<Heights> heights_;
  int column_bits_ = 1;
};

}  // namespace lattice::cpu
