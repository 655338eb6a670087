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
    : divides_(divides), shift_(shift), size_(size), stride_(stride), dilation_(dilation), divider_(stride) {
  for (size_t phase = 0; phase < phases(); ++phase) {
    const auto block = static_cast<int64_t>(phase);  // stands for all blocks of the phase
    for (int cell = 0; cell < Block::kSide; ++cell) {
      const int64_t output = block * Block::kSide + cell;
      std::vector<Tap>& taps = taps_.emplace_back();
      for (int64_t i = 0; i < size_; ++i) {
        int64_t input = output * stride_ + shift_ + i * dilation_;
        if (divides_ && !divider_.divides(output + shift_ - i * dilation_, input)) continue;
        taps.push_back({static_cast<int>(i), static_cast<int>(input - first_block(block) * Block::kSide)});
      }
    }
  }
}

std::optional<Stencil> Stencil::make(const TapRule& rule) {
  // Bounds first, so that the tables stay small and nothing below can overflow.
  const int64_t most_stride = rule.divides ? 4 : 8;  // divided, there are 64 patterns for each triple of remainders
  const auto fits = [most_stride](int64_t size, int64_t stride, int64_t dilation) {
    return stride <= most_stride && size <= kBoxCells && dilation <= kBoxCells;
  };
  const auto& [size, stride, dilation] = std::tie(rule.size, rule.stride, rule.dilation);
  if (!fits(size.x, stride.x, dilation.x) || !fits(size.y, stride.y, dilation.y) ||
      !fits(size.z, stride.z, dilation.z) || size.x * size.y * size.z > kMostTaps) {
    return std::nullopt;
  }
  Stencil stencil({Axis(rule.divides, rule.shift.x, size.x, stride.x, dilation.x),
                   Axis(rule.divides, rule.shift.y, size.y, stride.y, dilation.y),
                   Axis(rule.divides, rule.shift.z, size.z, stride.z, dilation.z)});
  for (const int blocks : stencil.blocks_) {
    if (blocks > kMostBlocks) return std::nullopt;
  }
  stencil.list_used_rows();
  const auto for_outputs = [&](size_t axis, const auto& visit) {
    for (size_t phase = 0; phase < stencil.axes_[axis].phases(); ++phase) visit(phase);
  };
  for_outputs(0, [&](size_t phase_x) {
    for_outputs(1, [&](size_t phase_y) {
      for_outputs(2, [&](size_t phase_z) {
        for (int cell = 0; cell < 64; ++cell) {
          stencil.add_pattern(rule, stencil.axes_[0].taps(phase_x, cell >> 4),
                              stencil.axes_[1].taps(phase_y, cell >> 2 & 3), stencil.axes_[2].taps(phase_z, cell & 3));
        }
      });
    });
  });
  return stencil;
}

Stencil::Stencil(std::vector<Axis> axes) : axes_(std::move(axes)) {
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

void Stencil::list_used_rows() {
  for (int x = lowest_[0]; x <= highest_[0]; ++x) {
    for (int y = lowest_[1]; y <= highest_[1]; ++y) {
      used_rows_[static_cast<size_t>(x / Block::kSide * kMostBlocks + y / Block::kSide)].push_back(
          {static_cast<uint8_t>(Block::cell(x, y, 0)), static_cast<uint8_t>(x * kBoxCells + y)});
    }
  }
}

void Stencil::add_pattern(const TapRule& rule, const std::vector<Axis::Tap>& xs, const std::vector<Axis::Tap>& ys,
                          const std::vector<Axis::Tap>& zs) {
  Pattern pattern = {static_cast<uint32_t>(words_.size()), 0, 0, 1, 0};
  if (!zs.empty()) {
    pattern.shift = std::min(zs.front().cell, zs.back().cell);
    pattern.bits = std::max(zs.front().cell, zs.back().cell) - pattern.shift + 1;
    for (const Axis::Tap& z : zs) pattern.mask |= uint64_t{1} << (z.cell - pattern.shift);
    int used = 64;  // bits of the word at hand: none is
    for (const Axis::Tap& x : xs) {
      for (const Axis::Tap& y : ys) {
        if (used + pattern.bits > 64) {
          words_.push_back({static_cast<uint32_t>(rows_.size()), 0, {}});
          used = 0;
        }
        rows_.push_back(static_cast<uint8_t>(x.cell * kBoxCells + y.cell));
        words_.back().last_row = static_cast<uint32_t>(rows_.size());
        const int column = x.cell / Block::kSide * kMostBlocks + y.cell / Block::kSide;
        for (const Axis::Tap& z : zs) {
          words_.back().reach[static_cast<size_t>(used + z.cell - pattern.shift)] = {
              .tap = static_cast<uint16_t>((x.index * rule.size.y + y.index) * rule.size.z + z.index),
              .block = static_cast<uint8_t>(column * kWindowBlocks + z.cell / Block::kSide),
              .cell = static_cast<uint8_t>(Block::cell(x.cell, y.cell, z.cell))};
        }
        used += pattern.bits;
      }
    }
  }
  pattern.last_word = static_cast<uint32_t>(words_.size());
  patterns_.push_back(pattern);
}

}  // namespace lattice::cpu
