#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "coord_index.h"
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
/// that depends on the output's cell only, and on the phase of its block, where a division leaves remainders. So the
/// tables that searches make of it are made once a relation.
class Stencil {
 public:
  static constexpr int kMostBlocks = 4;              // of the box, an axis
  static constexpr int kBoxCells = kMostBlocks * 4;  // and its cells
  static constexpr int64_t kMostTaps = 512;

  /// A tap of one axis, and the cell of the box that it reads on that axis.
  struct AxisTap {
    int index, cell;
  };
  using AxisTaps = std::span<const AxisTap>;

  /// Which taps are searched.
  enum class Taps : uint8_t {
    all,
    /// Outputs are the inputs, each at a place of its own: it is known beforehand what the tap on itself finds.
    all_but_own,
    /// And what those before that tap find, which mirror those behind it: input i reads o through the mirrored tap
    /// where o reads i. Only those behind it are left, and the box begins with the output's own x.
    behind_own
  };

  /// Nothing where the kernel reaches further than the box, or has very many taps, or is none that mirrors itself.
  static std::optional<Stencil> make(const TapRule& rule, Taps taps);

  /// Blocks of the box on each axis.
  const std::array<int, 3>& blocks() const noexcept { return blocks_; }
  /// The lowest and the highest cell of the box, on each axis, that some output reads.
  const std::array<int, 3>& lowest() const noexcept { return lowest_; }
  const std::array<int, 3>& highest() const noexcept { return highest_; }
  /// First block of the box, on an axis, for an output block.
  int64_t first_block(int axis, int64_t block) const noexcept {
    return axes_[static_cast<size_t>(axis)].first_block(block);
  }
  /// A block of the box, by its place in it.
  static constexpr int box_block(int x, int y, int z) noexcept { return (x * kMostBlocks + y) * kMostBlocks + z; }

  /// Of one output, at most, searched or not.
  size_t most_taps() const noexcept { return most_taps_; }
  int32_t tap(const AxisTap& x, const AxisTap& y, const AxisTap& z) const noexcept {
    return static_cast<int32_t>((x.index * size_.y + y.index) * size_.z + z.index);
  }
  /// The tap that reads the output's own place, or -1, as always where `all` are searched.
  int32_t own_tap() const noexcept { return own_tap_; }
  bool searches(int32_t tap) const noexcept { return searched_ == Taps::behind_own ? tap > own_tap_ : tap != own_tap_; }

  /// An output has a pattern by its cell and the phase of its block: the number of that of cell 0.
  size_t first_pattern(int64_t block_x, int64_t block_y, int64_t block_z) const noexcept {
    const size_t phase = (axes_[0].phase(block_x) * axes_[1].phases() + axes_[1].phase(block_y)) * axes_[2].phases() +
                         axes_[2].phase(block_z);
    return phase * Block::kCells;
  }
  size_t patterns() const noexcept { return axes_[0].phases() * axes_[1].phases() * axes_[2].phases() * Block::kCells; }
  /// Calls visit(taps on x, on y, on z) for every pattern in order, the cells of each axis rising by equal steps.
  template <typename Visit>
  void for_patterns(const Visit& visit) const {
    for (size_t x = 0; x < axes_[0].phases(); ++x) {
      for (size_t y = 0; y < axes_[1].phases(); ++y) {
        for (size_t z = 0; z < axes_[2].phases(); ++z) {
          for (int cell = 0; cell < Block::kCells; ++cell) {
            visit(axes_[0].taps(x, cell >> 4), axes_[1].taps(y, cell >> 2 & 3), axes_[2].taps(z, cell & 3));
          }
        }
      }
    }
  }

 private:
  // A stride that divides has patterns of their own for each triple of remainders.
  static constexpr int64_t kMostDivisor = 4;

  /// One axis of the rule.
  class Axis {
   public:
    /// Of the taps from `first` on.
    Axis(bool divides, int64_t shift, int64_t size, int64_t stride, int64_t dilation, int64_t first = 0);

    int64_t first_block(int64_t block) const noexcept {
      if (!divides_) return block * stride_ + (shift_ >> 2);
      return divider_.floor(block * 4 + shift_ - (size_ - 1) * dilation_) >> 2;
    }
    size_t phases() const noexcept { return divides_ ? static_cast<size_t>(stride_) : 1; }
    size_t phase(int64_t block) const noexcept {
      return divides_ ? static_cast<size_t>(block - divider_.floor(block) * stride_) : 0;
    }
    AxisTaps taps(size_t phase, int cell) const noexcept {
      const size_t at = phase * Block::kSide + static_cast<size_t>(cell);
      return AxisTaps(taps_).subspan(begins_[at], begins_[at + 1] - begins_[at]);
    }

   private:
    bool divides_;
    int64_t shift_, size_, stride_, dilation_;
    Divider divider_;
    PooledVector<AxisTap> taps_;  // by phase and cell
    std::array<size_t, kMostDivisor* Block::kSide + 1> begins_ = {};
  };

  Stencil(std::array<Axis, 3> axes, const Triple& size, Taps searched);
  void find_own_tap(const TapRule& rule);

  std::array<Axis, 3> axes_;
  Triple size_;
  std::array<int, 3> blocks_ = {}, lowest_ = {}, highest_ = {};
  size_t most_taps_ = 1;
  int32_t own_tap_ = -1;
  Taps searched_;
};

}  // namespace lattice::cpu
