#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <limits>
#include <numeric>
#include <optional>
#include <utility>
#include <vector>

#include "coord_index.h"
#include "cpu/divider.h"

// Which outputs an input leads to, axis by axis: what the outputs of a convolution are derived from.

namespace lattice::cpu {

/// Outputs that an input reaches along one axis, in the order of taps: first, first + step, and so on.
struct Reached {
  int64_t first;
  int64_t count;
};

inline constexpr std::pair<int64_t, int64_t> kInt32Range = {std::numeric_limits<int32_t>::min(),
                                                            std::numeric_limits<int32_t>::max()};

/// One axis of a forward geometry: floor(input / stride).
class ForwardAxis {
 public:
  explicit ForwardAxis(int64_t stride) : stride_(stride), divide_(stride) {}

  static int64_t step() noexcept { return 1; }
  int64_t period() const noexcept { return stride_ * Block::kSide; }
  static int64_t block_step() noexcept { return 1; }
  static std::pair<int64_t, int64_t> range() noexcept { return kInt32Range; }
  Reached unclipped(int64_t input) const noexcept { return from(input); }
  Reached from(int64_t input) const noexcept { return {divide_.floor(input), 1}; }

 private:
  int64_t stride_;
  Divider divide_;
};

/// One axis of a transposed geometry: input*stride + i*dilation - padding.
class TransposedAxis {
 public:
  TransposedAxis(int64_t size, int64_t stride, int64_t padding, int64_t dilation)
      : size_(size), stride_(stride), padding_(padding), dilation_(dilation) {}

  int64_t step() const noexcept { return dilation_; }
  /// Inputs that are so far apart reach the same cells, of blocks that are stride() apart.
  static int64_t period() noexcept { return Block::kSide; }
  int64_t block_step() const noexcept { return stride_; }
  /// Outputs keep to these: the extent, or int32.
  static std::pair<int64_t, int64_t> range() noexcept { return kInt32Range; }
  /// Regardless of the extent.
  Reached unclipped(int64_t input) const noexcept { return from(input); }
  Reached from(int64_t input) const noexcept { return {input * stride_ - padding_, size_}; }

 private:
  int64_t size_, stride_, padding_, dilation_;
};

/// One axis of a regular geometry: (input + padding - i*dilation) / stride where that divides. The taps for which it
/// does are every (stride / g)th, g = gcd(stride, dilation), and their outputs fall by dilation / g.
class RegularAxis {
 public:
  RegularAxis(int64_t size, int64_t stride, int64_t padding, int64_t dilation, std::optional<int64_t> extent)
      : size_(size), stride_(stride), padding_(padding), dilation_(dilation), extent_(extent), divide_(stride) {
    const int64_t common = std::gcd(stride, dilation);
    tap_step_ = stride / common;
    step_ = dilation / common;
    constexpr int64_t kMostRemainders = 64;
    for (int64_t r = 0; r < std::min(stride, kMostRemainders); ++r) by_remainder_.push_back(first_tap(r));
  }

  int64_t step() const noexcept { return -step_; }
  int64_t period() const noexcept { return stride_ * Block::kSide; }
  static int64_t block_step() noexcept { return 1; }
  std::pair<int64_t, int64_t> range() const noexcept {
    return extent_ ? std::pair<int64_t, int64_t>{0, *extent_ - 1} : kInt32Range;
  }
  Reached unclipped(int64_t input) const noexcept {
    const int64_t quotient = divide_.floor(input + padding_);
    const int64_t remainder = input + padding_ - quotient * stride_;
    const auto known = static_cast<size_t>(remainder);
    Reached reached = known < by_remainder_.size() ? by_remainder_[known] : first_tap(remainder);
    reached.first += quotient;
    return reached;
  }
  Reached from(int64_t input) const noexcept {
    Reached reached = unclipped(input);
    if (extent_) {
      while (reached.count > 0 && reached.first >= *extent_) {
        reached.first -= step_;
        --reached.count;
      }
      while (reached.count > 0 && reached.first - (reached.count - 1) * step_ < 0) --reached.count;
    }
    return reached;
  }

 private:
  /// What the input + padding = `remainder` reaches.
  Reached first_tap(int64_t remainder) const noexcept {
    for (int64_t i = 0; i < std::min(size_, tap_step_); ++i) {
      int64_t output = 0;
      if (divide_.divides(remainder - i * dilation_, output)) return {output, (size_ - 1 - i) / tap_step_ + 1};
    }
    return {0, 0};
  }

  int64_t size_, stride_, padding_, dilation_;
  std::optional<int64_t> extent_;
  Divider divide_;
  int64_t tap_step_ = 1, step_ = 1;
  PooledVector<Reached> by_remainder_;
};

/// The same for whole blocks of inputs, from a table: a block of inputs leads to a few blocks of outputs next to one
/// another, its `parts`, and what a cell reaches there depends only on the cell and on the block's phase.
class AxisReach {
 public:
  static constexpr int kMostParts = 4;

  /// What a cell reaches, in the order of taps.
  struct FromCell {
    static constexpr int kMost = 8;
    int count = 0;
    std::array<uint8_t, kMost> part = {}, cell = {};
  };
  struct Phase {
    int64_t first_block = 0;  // of the outputs, in the period that starts at 0
    int parts = 0;
    int64_t low = 0, high = 0;  // the outputs
    std::array<FromCell, Block::kSide> from = {};
    std::array<uint64_t, kMostParts> inputs = {};  // by part: the cells of an input block that lead there
  };
  /// An input block's phase, and its first block of outputs.
  struct Place {
    size_t phase;
    int64_t first_block;
    bool inside;  // all that its cells reach lies in the range of outputs
  };

  /// Nothing where there are too many phases, parts or outputs for a table.
  template <typename Axis>
  static std::optional<AxisReach> make(const Axis& along, int axis);

  size_t phases() const noexcept { return phases_.size(); }
  const Phase& phase(size_t number) const noexcept { return phases_[number]; }
  Place place(int64_t block) const noexcept {
    const int64_t period = divide_.floor(block);
    const auto number = static_cast<size_t>(block - period * static_cast<int64_t>(phases_.size()));
    const Phase& at = phases_[number];
    const int64_t shift = period * block_step_;
    return {number, at.first_block + shift,
            at.low + shift * Block::kSide >= range_.first && at.high + shift * Block::kSide <= range_.second};
  }

  /// The cells of a block with a given place, 0 to 3, on an axis.
  static uint64_t plane(int axis, int place) noexcept {
    constexpr std::array<uint64_t, 3> kPlanesAtZero = {0xFFFF, 0x000F000F000F000F, 0x1111111111111111};
    return kPlanesAtZero[static_cast<size_t>(axis)] << (place << (4 - 2 * axis));
  }

 private:
  AxisReach(int64_t phases, int64_t block_step, std::pair<int64_t, int64_t> range)
      : phases_(static_cast<size_t>(phases)), divide_(phases), block_step_(block_step), range_(range) {}

  PooledVector<Phase> phases_;
  Divider divide_;
  int64_t block_step_;
  std::pair<int64_t, int64_t> range_;
};

template <typename Axis>
std::optional<AxisReach> AxisReach::make(const Axis& along, int axis) {
  constexpr int64_t kMostPhases = 8;
  const int64_t phases = along.period() / Block::kSide;
  if (phases > kMostPhases) return std::nullopt;
  AxisReach table(phases, along.block_step(), along.range());
  for (int64_t number = 0; number < phases; ++number) {
    Phase& phase = table.phases_[static_cast<size_t>(number)];
    std::array<Reached, Block::kSide> reached;
    bool some = false;
    for (int cell = 0; cell < Block::kSide; ++cell) {
      const Reached& from = reached[static_cast<size_t>(cell)] = along.unclipped(number * Block::kSide + cell);
      if (from.count == 0) continue;
      const auto [low, high] = std::minmax({from.first, from.first + (from.count - 1) * along.step()});
      phase.low = some ? std::min(phase.low, low) : low;
      phase.high = some ? std::max(phase.high, high) : high;
      some = true;
    }
    if (!some) continue;
    phase.first_block = Block::of(phase.low);
    const int64_t parts = Block::of(phase.high) - phase.first_block + 1;
    if (parts > kMostParts) return std::nullopt;
    phase.parts = static_cast<int>(parts);
    for (int cell = 0; cell < Block::kSide; ++cell) {
      FromCell& from = phase.from[static_cast<size_t>(cell)];
      const auto [first, count] = reached[static_cast<size_t>(cell)];
      if (count > FromCell::kMost) return std::nullopt;
      from.count = static_cast<int>(count);
      for (size_t i = 0; i < static_cast<size_t>(count); ++i) {
        const int64_t output = first + static_cast<int64_t>(i) * along.step();
        from.part[i] = static_cast<uint8_t>(Block::of(output) - phase.first_block);
        from.cell[i] = static_cast<uint8_t>(output & (Block::kSide - 1));
        phase.inputs[from.part[i]] |= plane(axis, cell);
      }
    }
  }
  return table;
}

}  // namespace lattice::cpu
