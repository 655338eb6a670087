#if defined(__AVX512F__) && defined(__AVX512BW__) && defined(__AVX512VL__)

#include <immintrin.h>

#include "cpu/kernels/tile_gemm.h"

// AVX-512 (F, BW, VL, DQ): 6 rows x 4 vectors are 24 accumulators, which with 4 weights and a broadcast fill 29 of the
// 32 registers.

namespace lattice::cpu {
namespace {

struct Avx512 {
  static constexpr int kLanes = 16;
  static constexpr int kVectors = 4;
  static constexpr int kRows = 6;
  using Vector = __m512;

  static Vector load(const float* from) { return _mm512_loadu_ps(from); }
  static void store(float* to, Vector v) { _mm512_storeu_ps(to, v); }
  static Vector broadcast(float value) { return _mm512_set1_ps(value); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm512_fmadd_ps(a, b, c); }
  static __m512i load_codes(const uint32_t* from) { return _mm512_loadu_si512(from); }
  template <int Bits>
  static Vector low_code(__m512i codes) {
    return _mm512_cvtepi32_ps(_mm512_and_si512(codes, _mm512_set1_epi32((1 << Bits) - 1)));
  }
  template <int Bits>
  static __m512i drop_code(__m512i codes) {
    return _mm512_srli_epi32(codes, Bits);
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
};

}  // namespace

extern const Kernels kAvx512;
const Kernels kAvx512 = kernels_of<Avx512>("avx512");

}  // namespace lattice::cpu

#endif
