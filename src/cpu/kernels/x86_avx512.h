#pragma once

#include <cstdint>

#include "cpu/kernels/kernels.h"
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

  static Ints dot_pairs(Ints acc, Ints values, Ints codes) {
    return _mm512_add_epi32(acc, _mm512_madd_epi16(values, codes));
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
