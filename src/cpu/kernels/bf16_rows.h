#pragma once

#include <bit>
#include <cstdint>

#include "cpu/kernels/kernels.h"

// What stands around the products of bfloat16: loops that any compiler turns into vectors. A bfloat16 is the upper half
// of a float32. Included by one file an instruction set.

namespace lattice::cpu {
namespace {

inline void sum_groups(const GroupSums& task) {
  constexpr int kLanes = 16;                                 // sums side by side, which need not wait for each other
  constexpr uint32_t kSmallest = 8U << 7, kEnd = 239U << 7;  // 2^-119 and 2^112
  const uint16_t* x = task.x;
  for (int64_t row = 0; row < task.rows; ++row) {
    uint32_t outside = 0;
    for (int64_t group = 0; group < task.groups; ++group) {
      float lanes[kLanes] = {};
      for (int64_t c = 0; c < task.group_size; c += kLanes, x += kLanes) {
        for (int i = 0; i < kLanes; ++i) {
          const uint32_t magnitude = x[i] & 0x7FFFU;
          outside |=
              static_cast<uint32_t>(magnitude != 0) & static_cast<uint32_t>(magnitude - kSmallest >= kEnd - kSmallest);
          lanes[i] += std::bit_cast<float>(uint32_t{x[i]} << 16);
        }
      }
      for (int half = kLanes / 2; half > 0; half /= 2) {
        for (int i = 0; i < half; ++i) lanes[i] += lanes[i + half];
      }
      task.factors[row * task.groups + group] = {1, lanes[0]};
    }
    task.exact[row] = static_cast<uint8_t>(outside);
  }
}

/// Codes of pairs that `Mask` takes out of a word, (channels / 2, width, 2): integers up to 255 are exact in bfloat16.
template <int Bits, uint32_t Mask>
void decode_bf16_of(const PanelCodes& panel, uint32_t* to) {
  const int64_t rows = panel.groups * panel.group_size * Bits / 32;
  const uint32_t* __restrict words = panel.words;
  for (int64_t row = 0; row < rows; ++row, words += panel.width) {
    for (int pair = 0; pair < 16 / Bits; ++pair, to += panel.width) {
      uint32_t* __restrict pairs = to;
      const int shift = code_shift(2 * pair);
      for (int64_t column = 0; column < panel.width; ++column) {
        const uint32_t codes = words[column] >> shift & Mask;
        const auto first = static_cast<float>(static_cast<int32_t>(codes & 0xFFFFU));
        const auto second = static_cast<float>(static_cast<int32_t>(codes >> 16));
        pairs[column] = std::bit_cast<uint32_t>(first) >> 16 | std::bit_cast<uint32_t>(second);
      }
    }
  }
}

inline const void* decode_bf16(const PanelCodes& panel, void* codes) {
  auto* to = static_cast<uint32_t*>(codes);
  panel.bits == 4 ? decode_bf16_of<4, 0x000F000FU>(panel, to) : decode_bf16_of<8, 0x00FF00FFU>(panel, to);
  return codes;
}

inline void widen_panel(const PanelWidening& task) {
  for (int64_t pair = 0; pair < task.pairs; ++pair) {
    const uint32_t* __restrict from = task.from + pair * task.width;
    float* __restrict to = task.to + 2 * pair * task.width;
    for (int64_t column = 0; column < task.width; ++column) {
      to[column] = std::bit_cast<float>(from[column] << 16);
      to[task.width + column] = std::bit_cast<float>(from[column] & 0xFFFF0000U);
    }
  }
}

}  // namespace
}  // namespace lattice::cpu
