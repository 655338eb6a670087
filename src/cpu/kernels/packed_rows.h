#pragma once

#include <bit>
#include <cstdint>

#include "cpu/kernels/fetch.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/unrolled.h"

// Codes to what the products read, and activations to integers. Included by one file an instruction set.

namespace lattice::cpu {
namespace {

/// write(vector of words, row of words, group, column) over a panel, in the order of the words.
template <typename V, typename Write>
[[gnu::always_inline]] inline void for_words(const PanelCodes& panel, const Write& write) {
  const int64_t words_a_group = panel.group_size * panel.bits / 32;
  for (int64_t group = 0; group < panel.groups; ++group) {
    for (int64_t word = group * words_a_group; word < (group + 1) * words_a_group; ++word) {
      for (int64_t column = 0; column < panel.width; column += V::kLanes) {
        write(V::load_ints(panel.words + word * panel.width + column), word, group, column);
      }
    }
  }
}

template <typename V, int Bits>
void decode_floats_of(const PanelCodes& panel, float* floats) {
  constexpr int kCodes = 32 / Bits;
  for_words<V>(panel, [&](typename V::Ints words, int64_t row, int64_t group, int64_t column) {
    const auto scale = V::load(panel.scales + group * panel.width + column);
    const auto bias = V::load(panel.biases + group * panel.width + column);
    float* to = floats + row * kCodes * panel.width + column;
    unrolled<kCodes>([&](auto i) __attribute__((always_inline)) {
      const auto code = V::to_floats(V::mask(V::template shift_right<code_shift(i)>(words), (1U << Bits) - 1));
      V::store(to + i * panel.width, V::multiply_add(code, scale, bias));
    });
  });
}

template <typename V>
void decode_floats(const PanelCodes& panel, float* floats) {
  panel.bits == 4 ? decode_floats_of<V, 4>(panel, floats) : decode_floats_of<V, 8>(panel, floats);
}

/// Fields of a word that one mask takes out together: pairs of 16 bits or quads of 8, a row of them for each step.
template <typename V, int Bits, int Step, uint32_t Mask>
const void* decode_fields(const PanelCodes& panel, void* codes) {
  constexpr int kShifts = 32 / Bits / (Step == 8 ? 2 : 4);
  auto* fields = static_cast<uint32_t*>(codes);
  for_words<V>(panel, [&](typename V::Ints words, int64_t row, int64_t, int64_t column) {
    uint32_t* to = fields + row * kShifts * panel.width + column;
    unrolled<kShifts>([&](auto i) __attribute__((always_inline)) {
      constexpr int kShift = Step == 8 ? 8 * (i & 1) + 4 * (i >> 1) : 4 * i;
      V::store_ints(to + i * panel.width, V::mask(V::template shift_right<kShift>(words), Mask));
    });
  });
  return codes;
}

/// Codes as int16, (channels / 2, width, 2).
template <typename V>
const void* decode_pairs(const PanelCodes& panel, void* codes) {
  return panel.bits == 4 ? decode_fields<V, 4, 8, 0x000F000FU>(panel, codes)
                         : decode_fields<V, 8, 8, 0x00FF00FFU>(panel, codes);
}

/// Codes as uint8, (channels / 4, width, 4), the four in the order 0, 2, 1, 3, as a word of 8 bits has them: its pairs
/// lie in the even and the odd bytes. Activations stand in the same order.
template <typename V>
const void* decode_quads(const PanelCodes& panel, void* codes) {
  return panel.bits == 4 ? decode_fields<V, 4, 4, 0x0F0F0F0FU>(panel, codes) : panel.words;
}

inline constexpr int64_t kLargestGroup = 128;

/// One group's integers; false where the exact route is needed, which has none. Loops that any compiler turns into
/// vectors.
template <int GroupSize>
[[gnu::always_inline]] inline bool quantize_group(const float* x, int32_t limit, int16_t* q, GroupFactors& factors) {
  uint32_t largest_bits = 0;  // of |x|, whose order is that of the values, infinities and NaN on top
  for (int c = 0; c < GroupSize; ++c) {
    const uint32_t bits = std::bit_cast<uint32_t>(x[c]) & 0x7FFFFFFFU;
    largest_bits = bits > largest_bits ? bits : largest_bits;
  }
  const float scale = std::bit_cast<float>(largest_bits) / static_cast<float>(limit);
  constexpr float kSmallestNormal = 0x1p-126F;
  const bool is_zero = largest_bits == 0;
  if (largest_bits >= 0x7F800000U || (!is_zero && scale < kSmallestNormal)) return false;
  const float steps_a_unit = is_zero ? 1.0F : 1.0F / scale;  // at most 2^126
  constexpr float kRounder = 0x1.8p23F;  // added to a number below 2^22, leaves its nearest integer in the low bits
  int32_t total = 0;
  for (int c = 0; c < GroupSize; ++c) {
    const float shifted = x[c] * steps_a_unit + kRounder;
    const auto rounded = static_cast<int32_t>(std::bit_cast<uint32_t>(shifted) - 0x4B400000U);
    q[c] = static_cast<int16_t>(rounded);
    total += rounded;
  }
  factors = {scale, static_cast<float>(total)};
  return true;
}

/// As they are: what pairs of 16 bits are multiplied with.
struct WideActivations {
  using Type = int16_t;
  static constexpr int64_t kBytes = 2;
  template <int GroupSize>
  static bool quantize(const float* x, int32_t limit, int16_t* to, GroupFactors& factors) {
    return quantize_group<GroupSize>(x, limit, to, factors);
  }
};

/// Bytes, in the order of decode_quads: of each group one plane, q, or two, the high bytes of q and then the low ones.
/// Only the first plane has a sign; `Offset` is added to it.
template <int Planes, int Offset = 0>
struct BytePlanes {
  using Type = uint8_t;
  static constexpr int64_t kBytes = Planes;
  template <int GroupSize>
  static bool quantize(const float* x, int32_t limit, uint8_t* to, GroupFactors& factors) {
    int16_t q[GroupSize];
    if (!quantize_group<GroupSize>(x, limit, q, factors)) return false;
    for (int plane = 0; plane < Planes; ++plane, to += GroupSize) {
      const int shift = 8 * (Planes - 1 - plane);
      const int offset = plane == 0 ? Offset : 0;
      for (int c = 0; c < GroupSize; c += 4) {
        to[c] = static_cast<uint8_t>((q[c] >> shift) + offset);
        to[c + 1] = static_cast<uint8_t>((q[c + 2] >> shift) + offset);
        to[c + 2] = static_cast<uint8_t>((q[c + 1] >> shift) + offset);
        to[c + 3] = static_cast<uint8_t>((q[c + 3] >> shift) + offset);
      }
    }
    return true;
  }
};

// A core that asks for 8 KiB ahead reads a third faster than by what its hardware foresees.
inline constexpr int64_t kFloatsAhead = 2048;

template <typename Activations, int GroupSize>
void quantize_rows_of(const RowQuantization& task) {
  constexpr int64_t kElements = Activations::kBytes / static_cast<int64_t>(sizeof(typename Activations::Type));
  const int64_t row_channels = task.groups * GroupSize;
  const int64_t rows_ahead = 1 + kFloatsAhead / task.channels;
  for (int64_t row = 0; row < task.rows; ++row) {
    auto* to = static_cast<typename Activations::Type*>(task.q) + row * row_channels * kElements;
    GroupFactors* factors = task.factors + row * task.groups;
    bool is_exact = false;
    if (row + rows_ahead < task.rows) fetch(task.x + (row + rows_ahead) * task.channels, 4 * task.channels);
    for (int64_t group = 0; group < task.groups; ++group) {
      const float* x = task.x + row * task.channels + group * GroupSize;
      const int64_t left = task.channels - group * GroupSize;
      float padded[GroupSize];
      if (left < GroupSize) {
        for (int64_t c = 0; c < GroupSize; ++c) padded[c] = c < left ? x[c] : 0.0F;
        x = padded;
      }
      is_exact |=
          !Activations::template quantize<GroupSize>(x, task.limit, to + group * GroupSize * kElements, factors[group]);
    }
    task.exact[row] = is_exact ? 1 : 0;
    if (!is_exact) continue;
    for (int64_t c = 0; c < row_channels * kElements; ++c) to[c] = 0;
    for (int64_t group = 0; group < task.groups; ++group) factors[group] = {0, 0};
  }
}

template <typename Activations>
void quantize_rows(const RowQuantization& task) {
  switch (task.group_size) {
    case 32:
      return quantize_rows_of<Activations, 32>(task);
    case 64:
      return quantize_rows_of<Activations, 64>(task);
    default:
      return quantize_rows_of<Activations, kLargestGroup>(task);
  }
}

}  // namespace
}  // namespace lattice::cpu
