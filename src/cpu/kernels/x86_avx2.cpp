#if defined(__AVX2__) && defined(__FMA__) && defined(__F16C__)

#include <immintrin.h>

#include "cpu/kernels/tile_gemm.h"

// AVX2 with FMA and F16C: 6 rows x 2 vectors are 12 accumulators, which with 2 weights and a broadcast fill 15 of the
// 16 registers; 12 independent sums cover the latency of 5 cycles at 2 multiply-adds a cycle.

namespace lattice::cpu {
namespace {

struct Avx2 {
  static constexpr int kLanes = 8;
  static constexpr int kVectors = 2;
  static constexpr int kRows = 6;
  using Vector = __m256;

  static Vector load(const float* from) { return _mm256_loadu_ps(from); }
  static void store(float* to, Vector v) { _mm256_storeu_ps(to, v); }
  static Vector broadcast(float value) { return _mm256_set1_ps(value); }
  static Vector multiply_add(Vector a, Vector b, Vector c) { return _mm256_fmadd_ps(a, b, c); }
  static __m256i load_codes(const uint32_t* from) { return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(from)); }
  template <int Bits>
  static Vector low_code(__m256i codes) {
    return _mm256_cvtepi32_ps(_mm256_and_si256(codes, _mm256_set1_epi32((1 << Bits) - 1)));
  }
  template <int Bits>
  static __m256i drop_code(__m256i codes) {
    return _mm256_srli_epi32(codes, Bits);
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

extern const Kernels kAvx2;
const Kernels kAvx2 = kernels_of<Avx2>("avx2");

}  // namespace lattice::cpu

#endif
