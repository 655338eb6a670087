#pragma once

#include <cstdint>

#include "cpu/kernels/kernels.h"
#include "cpu/kernels/unrolled.h"
#include "cpu/kernels/x86_avx2.h"
#include "cpu/kernels/x86_avx512_edges.h"
#include "cpu/kernels/x86_intrinsics.h"

// The vector policy of AVX-512 (F, BW, VL, DQ), which the sets that extend it build on.

namespace lattice::cpu {
namespace {

struct Avx512 {
  static constexpr int kLanes = 16;
  static constexpr int kVectors = 4;
  /// 6 rows x 4 vectors are 24 accumulators, which with 4 weights and a broadcast fill 29 of the 32 registers. Narrow
  /// panels take more rows, to have enough independent sums.
  static constexpr int rows(int vectors) { return vectors == 1 ? 12 : vectors == 2 ? 10 : vectors == 3 ? 8 : 6; }

  /// What a block reads is fetched line by line, with the steps of the one before, where those make no more than so
  /// many loads for every 12 products of floats or of integers; else its rows are fetched at once.
  static constexpr int kFloatLoads = 9, kIntegerLoads = 9;

  /// Panels of up to so many vectors are multiplied edge by edge, with this many weights in registers.
  static constexpr int kNarrowVectors = 2;
  static constexpr int kHeldWeights = 16;

  using Vector = __m512;
  static Vector load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Vector v) { _mm512_storeu_ps(to, v); }
  /// The lanes below `count`; others are zero, or stay as they are.
  using Mask = __mmask16;
  static Mask first_lanes(int64_t count) { return static_cast<Mask>((1U << count) - 1); }
  static Vector load(const float* from, Mask lanes) { return _mm512_maskz_loadu_ps(lanes, from); }
  static void store(float* to, Vector v, Mask lanes) { _mm512_mask_storeu_ps(to, lanes, v); }
  static Vector broadcast(float value) { return _mm512_set1_ps(value); }
  static Vector add(Vector a, Vector b) { return _mm512_add_ps(a, b); }
  static Vector multiply(Vector a, Vector b) { return _mm512_mul_ps(a, b); }
  /// Zero for what is below it; NaN stays.
  static Vector zero_below(Vector v) { return _mm512_max_ps(_mm512_setzero_ps(), v); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static float total(Vector v) {
    const __m256i upper = _mm512_extracti64x4_epi64(_mm512_castps_si512(v), 1);
    return Avx2::total(_mm256_add_ps(lower_half(v), _mm256_castsi256_ps(upper)));
  }
  /// Four values in every four lanes.
  static Vector repeat_four(const float* from) { return _mm512_broadcast_f32x4(_mm_loadu_ps(from)); }
  /// Of every four lanes, lane I in all four.
  template <int I>
  static Vector spread_in_fours(Vector v) {
    return _mm512_permute_ps(v, I * 0x55);
  }

  /// Of 256 bits, of which some cores take two in the time of one.
  using Half = Avx2;
  static Half::Vector lower_half(Vector v) { return _mm512_castps512_ps256(v); }

  using Ints = __m512i;
  static Ints zero_ints() { return _mm512_setzero_si512(); }
  static Ints load_ints(const uint32_t* from) { return _mm512_loadu_si512(from); }
  static void store_ints(uint32_t* to, Ints v) { _mm512_storeu_si512(to, v); }
  static Ints broadcast_int(uint32_t value) { return _mm512_set1_epi32(static_cast<int>(value)); }
  static void keep_in_register(Ints& v) { pin_to_register(v); }
  template <int Shift>
  static Ints shift_right(Ints v) {
    return _mm512_srli_epi32(v, Shift);
  }
  static Ints mask(Ints v, uint32_t bits) { return _mm512_and_si512(v, _mm512_set1_epi32(static_cast<int>(bits))); }
  static Vector to_floats(Ints v) { return _mm512_cvtepi32_ps(v); }
  /// Of 16 bits.
  static Ints add_words(Ints a, Ints b) { return _mm512_add_epi16(a, b); }

  static Ints dot_pairs(Ints acc, Ints values, Ints codes) {
    return _mm512_add_epi32(acc, _mm512_madd_epi16(values, codes));
  }

  // For quantize_groups.

  static Ints larger_ints(Ints a, Ints b) { return _mm512_max_epi32(a, b); }
  static Ints add_ints(Ints a, Ints b) { return _mm512_add_epi32(a, b); }
  /// Lane i: the lanes of v[i], joined two by two.
  template <Ints (*join)(Ints, Ints)>
  [[gnu::always_inline]] static Ints join_lanes(const Ints (&v)[kLanes]) {
    Ints twos[8], fours[4], eights[2];
    unrolled<8>([&](auto i) __attribute__((always_inline)) {
      const Ints a = v[2 * i], b = v[2 * i + 1];
      twos[i] = join(_mm512_unpacklo_epi32(a, b), _mm512_unpackhi_epi32(a, b));
    });
    unrolled<4>([&](auto i) __attribute__((always_inline)) {
      const Ints a = twos[2 * i], b = twos[2 * i + 1];
      fours[i] = join(_mm512_unpacklo_epi64(a, b), _mm512_unpackhi_epi64(a, b));
    });
    const auto join_quarters = [&](Ints a, Ints b) __attribute__((always_inline)) {
      return join(_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xDD));
    };
    unrolled<2>([&](auto i)
                    __attribute__((always_inline)) { eights[i] = join_quarters(fours[2 * i], fours[2 * i + 1]); });
    return join_quarters(eights[0], eights[1]);
  }
  /// The integers that stand in the low bits of shifted values: as words in order, or where they become bytes, with the
  /// middle two of four changed.
  template <typename Type>
  static Ints rounded_words(Vector first, Vector second) {
    struct Places {
      uint16_t at[32];
    };
    constexpr Places kPlaces = [] {
      Places places = {};
      for (int i = 0; i < 32; ++i) {
        const bool is_middle = i % 4 == 1 || i % 4 == 2;
        places.at[i] = static_cast<uint16_t>(2 * (sizeof(Type) == 1 && is_middle ? i ^ 3 : i));
      }
      return places;
    }();
    return _mm512_permutex2var_epi16(_mm512_castps_si512(first), _mm512_loadu_si512(kPlaces.at),
                                     _mm512_castps_si512(second));
  }
  /// One of each, by turns.
  static void store_pairs(float* to, Vector a, Vector b) {
    const Ints lower = _mm512_castps_si512(_mm512_unpacklo_ps(a, b)),
               upper = _mm512_castps_si512(_mm512_unpackhi_ps(a, b));
    // 128 bits of both in turn: 0 1 | 2 3 of the lower half, then of the upper one.
    const Ints first = _mm512_shuffle_i32x4(lower, upper, 0x44), second = _mm512_shuffle_i32x4(lower, upper, 0xEE);
    _mm512_storeu_si512(to, _mm512_shuffle_i32x4(first, first, 0xD8));
    _mm512_storeu_si512(to + kLanes, _mm512_shuffle_i32x4(second, second, 0xD8));
  }
  static void store_words(int16_t* to, Ints words) { _mm512_storeu_si512(to, words); }
  static void store_words(uint8_t* to, Ints words) {
    _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), _mm512_cvtepi16_epi8(words));
  }

  static void widen_f16(const Widening& task) {
    int64_t i = 0;
    for (; i + kLanes <= task.count; i += kLanes) {
      store(task.to + i, _mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(task.from + i))));
    }
    for (; i < task.count; ++i) task.to[i] = _cvtsh_ss(task.from[i]);
  }
  static void widen_bf16(const Widening& task) {
    int64_t i = 0;
    for (; i + kLanes <= task.count; i += kLanes) {
      const __m512i wide = _mm512_cvtepu16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(task.from + i)));
      store(task.to + i, _mm512_castsi512_ps(_mm512_slli_epi32(wide, 16)));
    }
    for (; i < task.count; ++i) {
      task.to[i] = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(uint32_t{task.from[i]} << 16))));
    }
  }

  static constexpr EdgeRoute edges = {
      .find = find_corner_edges, .count_turned = count_turned_edges, .place_turned = place_turned_edges};
};

}  // namespace
}  // namespace lattice::cpu
