#include "cpu/relation_stencil.h"

#include <algorithm>
#include <limits>
#include <tuple>

namespace lattice::cpu {

TapRule TapRule::of(RelationKind kind, const ConvGeometry& geometry) {
  const auto& [size, stride, padding, dilation] = geometry.options();
  if (kind == RelationKind::transposed || kind == RelationKind::target_transposed) {
    return {.divides = true, .shift = padding, .size = size, .stride = stride, .dilation = dilation};
  }
  const Triple offset = kind == RelationKind::regular ? geometry.indexed_offset(0) : geometry.centered_offset(0);
  return {.divides = false,
          .shift = {offset.x - padding.x, offset.y - padding.y, offset.z - padding.z},
          .size = size,
          .stride = stride,
          .dilation = dilation};
}

namespace {

/// Whether tap K-1-k leads back from where tap k leads.
bool mirrors_itself(const TapRule& rule) {
  const auto is_centred = [](int64_t size, int64_t shift, int64_t dilation) {
    return size % 2 == 1 && shift == -(size / 2) * dilation;
  };
  return !rule.divides && rule.stride == Triple(1) && is_centred(rule.size.x, rule.shift.x, rule.dilation.x) &&
         is_centred(rule.size.y, rule.shift.y, rule.dilation.y) &&
         is_centred(rule.size.z, rule.shift.z, rule.dilation.z);
}

}  // namespace

Stencil::Axis::Axis(bool divides, int64_t shift, int64_t size, int64_t stride, int64_t dilation, int64_t first)
    : divides_(divides),
      shift_(shift + first * dilation),
      size_(size - first),
      stride_(stride),
      dilation_(dilation),
      divider_(stride) {
  taps_.reserve(phases() * Block::kSide * static_cast<size_t>(size_));
  size_t at = 0;
  for (size_t phase = 0; phase < phases(); ++phase) {
    const auto block = static_cast<int64_t>(phase);  // stands for all blocks of the phase
    for (int cell = 0; cell < Block::kSide; ++cell) {
      const int64_t output = block * Block::kSide + cell;
      for (int64_t i = 0; i < size_; ++i) {
        int64_t input = output * stride_ + shift_ + i * dilation_;
        if (divides_ && !divider_.divides(output + shift_ - i * dilation_, input)) continue;
        taps_.push_back({static_cast<int>(first + i), static_cast<int>(input - first_block(block) * Block::kSide)});
      }
      if (divides_) std::reverse(taps_.begin() + static_cast<std::ptrdiff_t>(begins_[at]), taps_.end());
      begins_[++at] = taps_.size();
    }
  }
}

std::optional<Stencil> Stencil::make(const TapRule& rule, Taps taps) {
  // Bounds first, so that the tables stay small and nothing below can overflow.
  const int64_t most_stride = rule.divides ? kMostDivisor : 8;
  const auto fits = [most_stride](int64_t size, int64_t stride, int64_t dilation) {
    return stride <= most_stride && size <= kBoxCells && dilation <= kBoxCells;
  };
  const auto& [size, stride, dilation] = std::tie(rule.size, rule.stride, rule.dilation);
  if (!fits(size.x, stride.x, dilation.x) || !fits(size.y, stride.y, dilation.y) ||
      !fits(size.z, stride.z, dilation.z) || size.x * size.y * size.z > kMostTaps) {
    return std::nullopt;
  }
  const bool halves = taps == Taps::behind_own;
  if (halves && !mirrors_itself(rule)) return std::nullopt;
  Stencil stencil({Axis(rule.divides, rule.shift.x, size.x, stride.x, dilation.x, halves ? size.x / 2 : 0),
                   Axis(rule.divides, rule.shift.y, size.y, stride.y, dilation.y),
                   Axis(rule.divides, rule.shift.z, size.z, stride.z, dilation.z)},
                  size, taps);
  for (const int blocks : stencil.blocks_) {
    if (blocks > kMostBlocks) return std::nullopt;
  }
  if (taps != Taps::all) stencil.find_own_tap(rule);
  return stencil;
}

Stencil::Stencil(std::array<Axis, 3> axes, const Triple& size, Taps searched)
    : axes_(std::move(axes)), size_(size), searched_(searched) {
  for (size_t axis = 0; axis < 3; ++axis) {
    int lowest = std::numeric_limits<int>::max(), highest = 0;
    size_t most_taps = 0;
    for (size_t phase = 0; phase < axes_[axis].phases(); ++phase) {
      for (int cell = 0; cell < Block::kSide; ++cell) {
        const AxisTaps taps = axes_[axis].taps(phase, cell);
        most_taps = std::max(most_taps, taps.size());
        for (const AxisTap& tap : taps) {
          lowest = std::min(lowest, tap.cell);
          highest = std::max(highest, tap.cell);
        }
      }
    }
    lowest_[axis] = lowest;
    highest_[axis] = highest;
    blocks_[axis] = highest / Block::kSide + 1;
    most_taps_ *= most_taps;
  }
}

void Stencil::find_own_tap(const TapRule& rule) {
  if (rule.divides || rule.stride != Triple(1)) return;
  const auto own_index = [](int64_t shift, int64_t size, int64_t dilation) {
    return -shift % dilation == 0 && -shift >= 0 && -shift / dilation < size ? -shift / dilation : -1;
  };
  const int64_t x = own_index(rule.shift.x, rule.size.x, rule.dilation.x),
                y = own_index(rule.shift.y, rule.size.y, rule.dilation.y),
                z = own_index(rule.shift.z, rule.size.z, rule.dilation.z);
  if (x >= 0 && y >= 0 && z >= 0) own_tap_ = static_cast<int32_t>((x * rule.size.y + y) * rule.size.z + z);
}

}  // namespace lattice::cpu
