#include "cpu/relation_stencil.h"

#include <algorithm>
#include <limits>
#include <tuple>

#include "coord_index.h"

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

Stencil::Axis::Axis(bool divides, int64_t shift, int64_t size, int64_t stride, int64_t dilation)
    : divides_(divides), shift_(shift), size_(size), stride_(stride), dilation_(dilation), divider_(stride) {}

int64_t Stencil::Axis::first_block(int64_t block) const noexcept {
  if (!divides_) return block * stride_ + Block::of(shift_);
  return Block::of(divider_.floor(block * Block::kSide + shift_ - (size_ - 1) * dilation_));
}

std::vector<Stencil::Axis::Tap> Stencil::Axis::taps(size_t phase, int cell) const {
  const int64_t block = static_cast<int64_t>(phase);  // stands for all blocks of the phase
  const int64_t output = block * Block::kSide + cell;
  std::vector<Tap> taps;
  for (int64_t i = 0; i < size_; ++i) {
    int64_t input = output * stride_ + shift_ + i * dilation_;
    if (divides_ && !divider_.divides(output + shift_ - i * dilation_, input)) continue;
    taps.push_back({static_cast<int>(i), static_cast<int>(input - first_block(block) * Block::kSide)});
  }
  return taps;
}

std::optional<Stencil> Stencil::make(const TapRule& rule) {
  // Bounds first, so that the tables stay small and nothing below can overflow.
  constexpr int64_t kMostStride = 8;
  const auto fits = [](int64_t size, int64_t stride, int64_t dilation) {
    return stride <= kMostStride && size <= kBoxCells && dilation <= kBoxCells;
  };
  const auto& [size, stride, dilation] = std::tie(rule.size, rule.stride, rule.dilation);
  if (!fits(size.x, stride.x, dilation.x) || !fits(size.y, stride.y, dilation.y) ||
      !fits(size.z, stride.z, dilation.z) || size.x * size.y * size.z > kMostTaps) {
    return std::nullopt;
  }
  Stencil stencil(rule, {Axis(rule.divides, rule.shift.x, size.x, stride.x, dilation.x),
                         Axis(rule.divides, rule.shift.y, size.y, stride.y, dilation.y),
                         Axis(rule.divides, rule.shift.z, size.z, stride.z, dilation.z)});
  for (const int blocks : stencil.blocks_) {
    if (blocks > kMostBlocks) return std::nullopt;
  }
  stencil.make_columns(rule);
  stencil.make_heights();
  return stencil;
}

Stencil::Stencil(const TapRule& rule, std::vector<Axis> axes)
    : axes_(std::move(axes)), taps_(rule.size.x * rule.size.y * rule.size.z) {
  for (size_t axis = 0; axis < 3; ++axis) {
    int lowest = std::numeric_limits<int>::max(), highest = 0;
    for (size_t phase = 0; phase < axes_[axis].phases(); ++phase) {
      for (int cell = 0; cell < Block::kSide; ++cell) {
        for (const Axis::Tap& tap : axes_[axis].taps(phase, cell)) {
          lowest = std::min(lowest, tap.cell);
          highest = std::max(highest, tap.cell);
        }
      }
    }
    lowest_[axis] = lowest;
    highest_[axis] = highest;
    blocks_[axis] = highest / Block::kSide + 1;
  }
}

std::array<int, 2> Stencil::used_cells(int axis, int block) const noexcept {
  const auto at = static_cast<size_t>(axis);
  return {std::max(0, lowest_[at] - block * Block::kSide),
          std::min(Block::kSide - 1, highest_[at] - block * Block::kSide)};
}

void Stencil::make_columns(const TapRule& rule) {
  for (size_t phase_x = 0; phase_x < axes_[0].phases(); ++phase_x) {
    for (size_t phase_y = 0; phase_y < axes_[1].phases(); ++phase_y) {
      for (int cell = 0; cell < Block::kSide * Block::kSide; ++cell) {
        Range range = {static_cast<uint32_t>(columns_.size()), 0};
        for (const auto& [index_x, x] : axes_[0].taps(phase_x, cell / Block::kSide)) {
          for (const auto& [index_y, y] : axes_[1].taps(phase_y, cell % Block::kSide)) {
            columns_.push_back(
                {.row = static_cast<uint8_t>(x * kBoxCells + y),
                 .block = static_cast<uint8_t>(((x / Block::kSide) * kMostBlocks + y / Block::kSide) * kMostBlocks),
                 .cell = static_cast<uint8_t>(Block::cell(x, y, 0)),
                 .tap = static_cast<int32_t>((index_x * rule.size.y + index_y) * rule.size.z)});
          }
        }
        range.end = static_cast<uint32_t>(columns_.size());
        ranges_.push_back(range);
      }
    }
  }
}

void Stencil::make_heights() {
  for (size_t phase = 0; phase < axes_[2].phases(); ++phase) {
    for (int cell = 0; cell < Block::kSide; ++cell) {
      Heights heights;
      const std::vector<Axis::Tap> taps = axes_[2].taps(phase, cell);
      if (!taps.empty()) heights.shift = static_cast<uint8_t>(std::min(taps.front().cell, taps.back().cell));
      for (const auto& [index, z] : taps) {
        const int bit = z - heights.shift;
        heights.mask = static_cast<uint16_t>(heights.mask | 1U << bit);
        heights.tap[static_cast<size_t>(bit)] = static_cast<uint8_t>(index);
        column_bits_ = std::max(column_bits_, bit + 1);
      }
      heights_.push_back(heights);
    }
  }
}

}  // namespace lattice::cpu
