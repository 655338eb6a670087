#pragma once

#include <cstdint>

#include "cpu/kernels/kernels.h"
#include "cpu/kernels/unrolled.h"
#include "cpu/kernels/x86_intrinsics.h"

// The vector policy of AVX2 with FMA and F16C, which the sets that extend it build on.

namespace lattice::cpu {
namespace {

struct Avx2 {
  static constexpr int kLanes = 8;
  static constexpr int kVectors = 2;
  /// 6 rows x 2 vectors are 12 accumulators, which with 2 weights and a broadcast fill 15 of the 16 registers; 12
  /// independent sums cover the latency of 5 cycles at 2 multiply-adds a cycle.
  static constexpr int rows(int vectors) { return vectors == 1 ? 10 : 6; }
  /// See Avx512. Products of integers take two instructions here, which leave no room.
  static constexpr int kFloatLoads = 10, kIntegerLoads = 0;
  static constexpr int kNarrowVectors = 0;  // see Avx512
  static constexpr int kHeldWeights = 0;

  using Vector = __m256;
  static Vector load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, Vector v) { _mm256_storeu_ps(to, v); }
  /// The lanes below `count`; others are zero, or stay as they are.
  struct Mask {
    __m256i lanes;
    int64_t count;
  };
  static Mask first_lanes(int64_t count) {
    return {
        _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
        count,
    };
  }
  static Vector load(const float* from, const Mask& mask) { return _mm256_maskload_ps(from, mask.lanes); }
  /// Without vmaskmovps, for which some cores take dozens of steps.
  static void store(float* to, Vector v, const Mask& mask) {
    if (mask.count >= kLanes) return store(to, v);
    __m128 rest = _mm256_castps256_ps128(v);
    if ((mask.count & 4) != 0) {
      _mm_storeu_ps(to, rest);
      to += 4;
      rest = _mm256_extractf128_ps(v, 1);
    }
    if ((mask.count & 2) != 0) {
      _mm_storel_pi(reinterpret_cast<__m64*>(to), rest);
      to += 2;
      rest = _mm_movehl_ps(rest, rest);
    }
    if ((mask.count & 1) != 0) _mm_store_ss(to, rest);
  }
  static Vector broadcast(float value) { return _mm256_set1_ps(value); }
  static Vector add(Vector a, Vector b) { return _mm256_add_ps(a, b); }
  static Vector multiply(Vector a, Vector b) { return _mm256_mul_ps(a, b); }
  /// Zero for what is below it; NaN stays.
  static Vector zero_below(Vector v) { return _mm256_max_ps(_mm256_setzero_ps(), v); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static float total(Vector v) {
    const __m128 four = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    const __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
  }
  /// Four values in every four lanes.
  static Vector repeat_four(const float* from) { return _mm256_broadcast_ps(reinterpret_cast<const __m128*>(from)); }
  /// Of every four lanes, lane I in all four.
  template <int I>
  static Vector spread_in_fours(Vector v) {
    return _mm256_permute_ps(v, I * 0x55);
  }

  using Ints = __m256i;
  static Ints zero_ints() { return _mm256_setzero_si256(); }
  static Ints load_ints(const uint32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  static void store_ints(uint32_t* to, Ints v) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), v); }
  static Ints broadcast_int(uint32_t value) { return _mm256_set1_epi32(static_cast<int>(value)); }
  static void keep_in_register(Ints& v) { pin_to_register(v); }
  template <int Shift>
  static Ints shift_right(Ints v) {
    return _mm256_srli_epi32(v, Shift);
  }
  static Ints mask(Ints v, uint32_t bits) { return _mm256_and_si256(v, _mm256_set1_epi32(static_cast<int>(bits))); }
  static Vector to_floats(Ints v) { return _mm256_cvtepi32_ps(v); }
  /// Of 16 bits.
  static Ints add_words(Ints a, Ints b) { return _mm256_add_epi16(a, b); }

  static Ints dot_pairs(Ints acc, Ints values, Ints codes) {
    return _mm256_add_epi32(acc, _mm256_madd_epi16(values, codes));
  }

  // For quantize_groups; see Avx512.

  static Ints larger_ints(Ints a, Ints b) { return _mm256_max_epi32(a, b); }
  static Ints add_ints(Ints a, Ints b) { return _mm256_add_epi32(a, b); }
  template <Ints (*join)(Ints, Ints)>
  [[gnu::always_inline]] static Ints join_lanes(const Ints (&v)[kLanes]) {
    Ints twos[4], fours[2];
    unrolled<4>([&](auto i) __attribute__((always_inline)) {
      const Ints a = v[2 * i], b = v[2 * i + 1];
      twos[i] = join(_mm256_unpacklo_epi32(a, b), _mm256_unpackhi_epi32(a, b));
    });
    unrolled<2>([&](auto i) __attribute__((always_inline)) {
      const Ints a = twos[2 * i], b = twos[2 * i + 1];
      fours[i] = join(_mm256_unpacklo_epi64(a, b), _mm256_unpackhi_epi64(a, b));
    });
    return join(_mm256_permute2x128_si256(fours[0], fours[1], 0x20),
                _mm256_permute2x128_si256(fours[0], fours[1], 0x31));
  }
  template <typename Type>
  static Ints rounded_words(Vector first, Vector second) {
    const Ints rounder = _mm256_castps_si256(broadcast(kRounder));
    const Ints words = _mm256_packs_epi32(_mm256_sub_epi32(_mm256_castps_si256(first), rounder),
                                          _mm256_sub_epi32(_mm256_castps_si256(second), rounder));
    return _mm256_permute4x64_epi64(words, 0xD8);
  }
  static void store_pairs(float* to, Vector a, Vector b) {
    const Vector lower = _mm256_unpacklo_ps(a, b), upper = _mm256_unpackhi_ps(a, b);
    store(to, _mm256_permute2f128_ps(lower, upper, 0x20));
    store(to + kLanes, _mm256_permute2f128_ps(lower, upper, 0x31));
  }
  static void store_words(int16_t* to, Ints words) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(to), words); }
  static void store_words(uint8_t* to, Ints words) {
    const __m128i bytes = _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    const __m128i order = _mm_setr_epi8(0, 2, 1, 3, 4, 6, 5, 7, 8, 10, 9, 11, 12, 14, 13, 15);
    _mm_storeu_si128(reinterpret_cast<__m128i*>(to), _mm_shuffle_epi8(bytes, order));
  }

  static void widen_f16(const Widening& task) {
    int64_t i = 0;
    for (; i + kLanes <= task.count; i += kLanes) {
      store(task.to + i, _mm256_cvtph_ps(_mm_loadu_si128(reinterpret_cast<const __m128i*>(task.from + i))));
    }
    for (; i < task.count; ++i) task.to[i] = _cvtsh_ss(task.from[i]);
  }
  static void widen_bf16(const Widening& task) {
    int64_t i = 0;
    for (; i + kLanes <= task.count; i += kLanes) {
      const __m256i wide = _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(task.from + i)));
      store(task.to + i, _mm256_castsi256_ps(_mm256_slli_epi32(wide, 16)));
    }
    for (; i < task.count; ++i) {
      task.to[i] = _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128(static_cast<int>(uint32_t{task.from[i]} << 16))));
    }
  }
};

}  // namespace
}  // namespace lattice::cpu
