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
/// The box is kept as slices, one for each x: rows of cells along z, side by side in words of 64 bits. Where what
/// outputs read on every axis lies within the cells 0 .. 7 (2x2x2 at stride 2) or 3 .. 10 (3x3x3 at stride 1) of the
/// box, rows have 8 bits and a word holds all of a slice; else rows have 16 bits and a word holds four of them.
/// Shifting and masking a slice leaves the taps of several kernel columns at once.
class Stencil {
 public:
  static constexpr int kMostBlocks = 4;              // of the box, an axis
  static constexpr int kBoxCells = kMostBlocks * 4;  // and its cells
  static constexpr int64_t kMostTaps = 512;
  static constexpr int kMostSlices = 8;  // of a word

  /// What a bit of an output's word means: a tap, and the cell that it reads.
  struct Reach {
    uint16_t tap;
    uint8_t block;  // of the box: (x * kMostBlocks + y) * kMostBlocks + z
    uint8_t cell;   // within the block
  };
  /// The taps of an output on as many x and y as fit 64 bits. Slice i of the box, its lowest tap shifted to bit 0,
  /// masked, stands `place[i]` bits up.
  struct Word {
    uint64_t mask;    // which cells of a slice are taps
    uint64_t itself;  // the bit of the word that is the output's own place; see Stencil::make
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

  /// Nothing where the kernel reaches further than the box, or has very many taps. `on_itself`: outputs are the inputs,
  /// each at a place of its own, so that it is known beforehand what the tap in the middle finds.
  static std::optional<Stencil> make(const TapRule& rule, bool on_itself);

  /// 8 or 16; see above.
  int row_bits() const noexcept { return row_bits_; }
  /// Blocks of the box on each axis.
  const std::array<int, 3>& blocks() const noexcept { return blocks_; }
  /// The lowest cell of the box, on any axis, that some output reads, where rows have 8 bits: their first.
  int lowest_cell() const noexcept { return lowest_[0]; }
  /// First block of the box, on an axis, for an output block.
  int64_t first_block(int axis, int64_t block) const noexcept {
    return axes_[static_cast<size_t>(axis)].first_block(block);
  }
  /// The tap that reads the output's own place, or -1, as always unless made `on_itself`.
  int32_t own_tap() const noexcept { return own_tap_; }

  /// The patterns of an output block: 64, by cell.
  const Pattern* patterns(int64_t block_x, int64_t block_y, int64_t block_z) const noexcept {
    const size_t phase = (axes_[0].phase(block_x) * axes_[1].phases() + axes_[1].phase(block_y)) * axes_[2].phases() +
                         axes_[2].phase(block_z);
    return patterns_.data() + phase * 64;
  }
  const Word* words() const noexcept { return words_.data(); }

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
    /// The taps that an output reads, with their cells in the box, which rise by equal steps.
    const PooledVector<Tap>& taps(size_t phase, int cell) const noexcept {
      return taps_[phase * 4 + static_cast<size_t>(cell)];
    }

   private:
    bool divides_;
    int64_t shift_, size_, stride_, dilation_;
    Divider divider_;
    PooledVector<PooledVector<Tap>> taps_;  // by phase and cell
  };

  explicit Stencil(PooledVector<Axis> axes);
  void add_pattern(const TapRule& rule, const PooledVector<Axis::Tap>& xs, const PooledVector<Axis::Tap>& ys,
                   const PooledVector<Axis::Tap>& zs);
  void add_word(const TapRule& rule, std::span<const Axis::Tap> xs, std::span<const Axis::Tap> ys,
                std::span<const Axis::Tap> zs);
  void mark_own_tap(const TapRule& rule);

  PooledVector<Axis> axes_;
  std::array<int, 3> blocks_ = {}, lowest_ = {}, highest_ = {};
  int row_bits_ = 16;
  PooledVector<Pattern> patterns_;
  PooledVector<Word> words_;
  int32_t own_tap_ = -1;
};

}  // namespace lattice::cpu
