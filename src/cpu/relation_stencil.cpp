#include "cpu/relation_stencil.h"

#include <algorithm>
#include <bit>
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
      PooledVector<Tap>& taps = taps_.emplace_back();
      for (int64_t i = 0; i < size_; ++i) {
        int64_t input = output * stride_ + shift_ + i * dilation_;
        if (divides_ && !divider_.divides(output + shift_ - i * dilation_, input)) continue;
        taps.push_back({static_cast<int>(i), static_cast<int>(input - first_block(block) * Block::kSide)});
      }
      if (divides_) std::reverse(taps.begin(), taps.end());
    }
  }
}

std::optional<Stencil> Stencil::make(const TapRule& rule, bool on_itself) {
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
  if (on_itself) stencil.mark_own_tap(rule);
  return stencil;
}

Stencil::Stencil(PooledVector<Axis> axes) : axes_(std::move(axes)) {
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
  const auto lies_within = [this](int lowest, int highest) {
    return lowest_ == std::array{lowest, lowest, lowest} &&
           *std::max_element(highest_.begin(), highest_.end()) <= highest;
  };
  row_bits_ = lies_within(0, 7) || lies_within(3, 10) ? 8 : 16;
}

void Stencil::add_pattern(const TapRule& rule, const PooledVector<Axis::Tap>& xs, const PooledVector<Axis::Tap>& ys,
                          const PooledVector<Axis::Tap>& zs) {
  Pattern pattern = {static_cast<uint32_t>(words_.size()), 0};
  // The taps from `first` on that reach over fewer than `cells` cells.
  const auto near = [](const PooledVector<Axis::Tap>& taps, size_t first, int cells) {
    size_t last = first;
    while (last < taps.size() && taps[last].cell - taps[first].cell < cells) ++last;
    return std::span(taps).subspan(first, last - first);
  };
  if (!xs.empty() && !zs.empty()) {
    const int bits = zs.back().cell - zs.front().cell + 1;
    for (size_t first_y = 0; first_y < ys.size();) {
      const std::span<const Axis::Tap> rows = near(ys, first_y, 64 / row_bits_);
      const int all_rows = rows.back().cell - rows.front().cell + 1;
      // Side by side in the rows, and as often above one another as the word holds.
      const auto slices = static_cast<size_t>(std::min(kMostSlices, row_bits_ / bits * (64 / row_bits_ / all_rows)));
      for (size_t first_x = 0; first_x < xs.size(); first_x += slices) {
        add_word(rule, std::span(xs).subspan(first_x, std::min(slices, xs.size() - first_x)), rows, zs);
      }
      first_y += rows.size();
    }
  }
  pattern.last_word = static_cast<uint32_t>(words_.size());
  patterns_.push_back(pattern);
}

void Stencil::add_word(const TapRule& rule, std::span<const Axis::Tap> xs, std::span<const Axis::Tap> ys,
                       std::span<const Axis::Tap> zs) {
  const bool whole = row_bits_ == 8;  // slices
  const int bits = zs.back().cell - zs.front().cell + 1, rows = ys.back().cell - ys.front().cell + 1;
  const int first_row = whole ? ys.front().cell - lowest_[1] : ys.front().cell % Block::kSide;
  Word word = {.mask = 0,
               .itself = 0,
               .first_x = xs[0].cell,
               .x_step = xs.size() > 1 ? xs[1].cell - xs[0].cell : 0,
               .slices = static_cast<int>(xs.size()),
               .quad = whole ? 0 : ys.front().cell / Block::kSide,
               .row_shift = first_row * row_bits_,
               .z = zs.front().cell - (whole ? lowest_[2] : 0),
               .place = {},
               .reach = {}};
  for (int slice = 0; slice < word.slices; ++slice) {
    const int beside = row_bits_ / bits;
    const int place = slice % beside * bits + slice / beside * rows * row_bits_;
    word.place[static_cast<size_t>(slice)] = static_cast<uint8_t>(place);
    const Axis::Tap& x = xs[static_cast<size_t>(slice)];
    for (const Axis::Tap& y : ys) {
      for (const Axis::Tap& z : zs) {
        const int at = (y.cell - ys.front().cell) * row_bits_ + z.cell - zs.front().cell;
        word.mask |= uint64_t{1} << at;
        const int column = x.cell / Block::kSide * kMostBlocks + y.cell / Block::kSide;
        word.reach[static_cast<size_t>(place + at)] = {
            .tap = static_cast<uint16_t>((x.index * rule.size.y + y.index) * rule.size.z + z.index),
            .block = static_cast<uint8_t>(column * kMostBlocks + z.cell / Block::kSide),
            .cell = static_cast<uint8_t>(Block::cell(x.cell, y.cell, z.cell))};
      }
    }
  }
  words_.push_back(word);
}

void Stencil::mark_own_tap(const TapRule& rule) {
  if (rule.divides || rule.stride != Triple(1)) return;
  const auto own_index = [](int64_t shift, int64_t size, int64_t dilation) {
    return -shift % dilation == 0 && -shift >= 0 && -shift / dilation < size ? -shift / dilation : -1;
  };
  const int64_t x = own_index(rule.shift.x, rule.size.x, rule.dilation.x),
                y = own_index(rule.shift.y, rule.size.y, rule.dilation.y),
                z = own_index(rule.shift.z, rule.size.z, rule.dilation.z);
  if (x < 0 || y < 0 || z < 0) return;
  own_tap_ = static_cast<int32_t>((x * rule.size.y + y) * rule.size.z + z);
  for (Word& word : words_) {
    for (int slice = 0; slice < word.slices; ++slice) {
      for (uint64_t left = word.mask << word.place[static_cast<size_t>(slice)]; left != 0; left &= left - 1) {
        const int bit = std::countr_zero(left);
        if (word.reach[static_cast<size_t>(bit)].tap == own_tap_) word.itself = uint64_t{1} << bit;
      }
    }
  }
}

}  // namespace lattice::cpu
