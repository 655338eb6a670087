#pragma once

#include <cstdint>

#include "cpu/kernels/kernels.h"
#include "cpu/kernels/unrolled.h"

// Codes to what the products read. Included by one file an instruction set.

namespace lattice::cpu {
namespace {

/// write(vector of words, row of words, column) over a group of a panel, in the order of the words.
template <typename V, typename Write>
[[gnu::always_inline]] inline void for_words(const PanelCodes& panel, int64_t group, const Write& write) {
  const int64_t words_a_group = panel.group_size * panel.bits / 32;
  for (int64_t word = group * words_a_group; word < (group + 1) * words_a_group; ++word) {
    for (int64_t column = 0; column < panel.width; column += V::kLanes) {
      write(V::load_ints(panel.words + word * panel.width + column), word, column);
    }
  }
}

template <typename V, int Bits>
void decode_floats_of(const PanelCodes& panel, float* floats) {
  constexpr int kCodes = 32 / Bits;
  for (int64_t group = 0; group < panel.groups; ++group) {
    for_words<V>(panel, group, [&](typename V::Ints words, int64_t row, int64_t column) {
      const auto scale = V::load(panel.scales + group * panel.width + column);
      const auto bias = V::load(panel.biases + group * panel.width + column);
      float* to = floats + row * kCodes * panel.width + column;
      unrolled<kCodes>([&](auto i) __attribute__((always_inline)) {
        const auto code = V::to_floats(V::mask(V::template shift_right<code_shift(i)>(words), (1U << Bits) - 1));
        V::store(to + i * panel.width, V::multiply_add(code, scale, bias));
      });
    });
  }
}

template <typename V>
void decode_floats(const PanelCodes& panel, float* floats) {
  panel.bits == 4 ? decode_floats_of<V, 4>(panel, floats) : decode_floats_of<V, 8>(panel, floats);
}

/// Fields of a word that one mask takes out together: pairs of 16 bits or quads of 8, a row of them for each step, of
/// one group. finished(fields, column) is what is stored.
template <typename V, int Bits, int Step, uint32_t Mask, typename Finish>
[[gnu::always_inline]] inline void decode_fields(const PanelCodes& panel, int64_t group, uint32_t* fields,
                                                 const Finish& finished) {
  constexpr int kShifts = 32 / Bits / (Step == 8 ? 2 : 4);
  for_words<V>(panel, group, [&](typename V::Ints words, int64_t row, int64_t column) {
    uint32_t* to = fields + row * kShifts * panel.width + column;
    unrolled<kShifts>([&](auto i) __attribute__((always_inline)) {
      constexpr int kShift = Step == 8 ? 8 * (i & 1) + 4 * (i >> 1) : 4 * i;
      V::store_ints(to + i * panel.width, finished(V::mask(V::template shift_right<kShift>(words), Mask), column));
    });
  });
}

/// The integer of PanelCodes::is_centred of column `i` of (groups, width).
inline float zero_of(const PanelCodes& panel, int64_t i) {
  const float scale = panel.scales[i] == 0 ? 1 : panel.scales[i];  // the bias is 0 then
  return panel.biases[i] / scale + kRounder - kRounder;
}

/// Codes as int16, (channels / 2, width, 2); centred ones with their integers added.
template <typename V, int Bits, uint32_t Mask>
const void* decode_pairs_of(const PanelCodes& panel, void* codes) {
  for (int64_t group = 0; group < panel.groups; ++group) {
    uint32_t zeros[V::kVectors * V::kLanes] = {};
    for (int64_t column = 0; panel.is_centred && column < panel.width; ++column) {
      const auto zero = static_cast<uint32_t>(static_cast<int32_t>(zero_of(panel, group * panel.width + column)));
      zeros[column] = (zero & 0xFFFFU) | zero << 16;
    }
    decode_fields<V, Bits, 8, Mask>(
        panel, group,
        static_cast<uint32_t*>(codes), [&](typename V::Ints pairs, int64_t column) __attribute__((always_inline)) {
          return V::add_words(pairs, V::load_ints(zeros + column));
        });
  }
  return codes;
}

template <typename V>
const void* decode_pairs(const PanelCodes& panel, void* codes) {
  return panel.bits == 4 ? decode_pairs_of<V, 4, 0x000F000FU>(panel, codes)
                         : decode_pairs_of<V, 8, 0x00FF00FFU>(panel, codes);
}

/// Codes as uint8, (channels / 4, width, 4), the four in the order 0, 2, 1, 3, as a word of 8 bits has them: its pairs
/// lie in the even and the odd bytes. Activations stand in the same order.
template <typename V>
const void* decode_quads(const PanelCodes& panel, void* codes) {
  if (panel.bits == 8) return panel.words;
  for (int64_t group = 0; group < panel.groups; ++group) {
    decode_fields<V, 4, 4, 0x0F0F0F0FU>(
        panel, group, static_cast<uint32_t*>(codes),
        [](typename V::Ints quads, int64_t) __attribute__((always_inline)) { return quads; });
  }
  return codes;
}

}  // namespace
}  // namespace lattice::cpu
