#pragma once

// The intrinsics of x86 in portable software: SIMDe's, under their native names, and here those that its version 0.7.4
// lacks or misnames.

#define SIMDE_NO_NATIVE
#define SIMDE_ENABLE_NATIVE_ALIASES
#define SIMDE_NO_INLINE  // compiles ten times faster
#include <simde/x86/avx512/add.h>
#include <simde/x86/avx512/and.h>
#include <simde/x86/avx512/blend.h>
#include <simde/x86/avx512/cast.h>
#include <simde/x86/avx512/cmp.h>
#include <simde/x86/avx512/cmpeq.h>
#include <simde/x86/avx512/compress.h>
#include <simde/x86/avx512/div.h>
#include <simde/x86/avx512/dpbusd.h>
#include <simde/x86/avx512/dpwssd.h>
#include <simde/x86/avx512/extract.h>
#include <simde/x86/avx512/fmadd.h>
#include <simde/x86/avx512/insert.h>
#include <simde/x86/avx512/loadu.h>
#include <simde/x86/avx512/madd.h>
#include <simde/x86/avx512/max.h>
#include <simde/x86/avx512/min.h>
#include <simde/x86/avx512/mul.h>
#include <simde/x86/avx512/or.h>
#include <simde/x86/avx512/permutex2var.h>
#include <simde/x86/avx512/permutexvar.h>
#include <simde/x86/avx512/rorv.h>
#include <simde/x86/avx512/roundscale.h>
#include <simde/x86/avx512/set1.h>
#include <simde/x86/avx512/set4.h>
#include <simde/x86/avx512/setzero.h>
#include <simde/x86/avx512/shuffle.h>
#include <simde/x86/avx512/slli.h>
#include <simde/x86/avx512/srli.h>
#include <simde/x86/avx512/storeu.h>
#include <simde/x86/avx512/sub.h>
#include <simde/x86/avx512/test.h>
#include <simde/x86/avx512/unpackhi.h>
#include <simde/x86/avx512/unpacklo.h>
#include <simde/x86/f16c.h>
#include <simde/x86/fma.h>

#include <cstdint>
#include <cstring>

#include "cpu/kernel_models/amx_model.h"
#include "cpu/kernel_models/bf16_model.h"
#include "lattice/dtype.h"

#undef _mm512_madd_epi16
#undef _mm512_max_ps

namespace lattice::cpu {
namespace {

/// to.lane[i] = value(i), for vectors given by the type of their lanes.
template <typename To, typename Lane, typename Value>
To vector_of(const Value& value) {
  Lane lanes[sizeof(To) / sizeof(Lane)];
  for (size_t i = 0; i < sizeof(To) / sizeof(Lane); ++i) lanes[i] = value(i);
  To vector;
  std::memcpy(&vector, lanes, sizeof(To));
  return vector;
}

template <typename Lane, typename From>
Lane lane_of(const From& from, size_t i) {
  Lane lane;
  std::memcpy(&lane, reinterpret_cast<const char*>(&from) + i * sizeof(Lane), sizeof(Lane));
  return lane;
}

inline float _cvtsh_ss(uint16_t half) {
  return static_cast<float>(Float16::from_bits(half));
}
inline __m512 _mm512_cvtph_ps(__m256i halves) {
  return vector_of<__m512, float>([&](size_t i) { return _cvtsh_ss(lane_of<uint16_t>(halves, i)); });
}
inline __m512i _mm512_cvtepu16_epi32(__m256i halves) {
  return vector_of<__m512i, int32_t>([&](size_t i) { return lane_of<uint16_t>(halves, i); });
}
inline __m512 _mm512_cvtepi32_ps(__m512i integers) {
  return vector_of<__m512, float>([&](size_t i) { return static_cast<float>(lane_of<int32_t>(integers, i)); });
}
using __mmask16 = uint16_t;
inline __m512 _mm512_maskz_loadu_ps(__mmask16 lanes, const float* from) {
  return vector_of<__m512, float>([&](size_t i) { return (lanes >> i & 1) != 0 ? from[i] : 0.0F; });
}
inline void _mm512_mask_storeu_ps(float* to, __mmask16 lanes, __m512 v) {
  for (size_t i = 0; i < 16; ++i) {
    if ((lanes >> i & 1) != 0) to[i] = lane_of<float>(v, i);
  }
}
template <typename To, typename Lane>
To loaded_lanes(uint32_t lanes, const void* from) {
  return vector_of<To, Lane>([&](size_t i) {
    Lane lane = 0;
    if ((lanes >> i & 1) != 0) std::memcpy(&lane, static_cast<const char*>(from) + i * sizeof(Lane), sizeof(Lane));
    return lane;
  });
}
template <typename Lane, typename From>
void store_lanes(void* to, uint32_t lanes, const From& v) {
  for (size_t i = 0; i < sizeof(From) / sizeof(Lane); ++i) {
    const Lane lane = lane_of<Lane>(v, i);
    if ((lanes >> i & 1) != 0) std::memcpy(static_cast<char*>(to) + i * sizeof(Lane), &lane, sizeof(Lane));
  }
}
inline __m512i _mm512_maskz_loadu_epi32(__mmask16 lanes, const void* from) {
  return loaded_lanes<__m512i, int32_t>(lanes, from);
}
inline __m256i _mm256_maskz_loadu_epi16(__mmask16 lanes, const void* from) {
  return loaded_lanes<__m256i, int16_t>(lanes, from);
}
inline void _mm512_mask_storeu_epi32(void* to, __mmask16 lanes, __m512i v) {
  store_lanes<int32_t>(to, lanes, v);
}
inline void _mm256_mask_storeu_epi16(void* to, __mmask16 lanes, __m256i v) {
  store_lanes<int16_t>(to, lanes, v);
}
inline __m256i _mm512_cvtepi32_epi16(__m512i v) {
  return vector_of<__m256i, int16_t>([&](size_t i) { return static_cast<int16_t>(lane_of<int32_t>(v, i)); });
}
inline __m256i _mm512_cvtepi16_epi8(__m512i v) {
  return vector_of<__m256i, int8_t>([&](size_t i) { return static_cast<int8_t>(lane_of<int16_t>(v, i)); });
}
inline __m512i _mm512_srl_epi32(__m512i v, __m128i count) {
  return vector_of<__m512i, uint32_t>([&](size_t i) { return lane_of<uint32_t>(v, i) >> lane_of<uint32_t>(count, 0); });
}
inline __m512i _mm512_mask_i32gather_epi32(__m512i otherwise, __mmask16 lanes, __m512i places, const void* from,
                                           int scale) {
  return vector_of<__m512i, int32_t>([&](size_t i) {
    int32_t lane = lane_of<int32_t>(otherwise, i);
    const auto at = static_cast<std::ptrdiff_t>(lane_of<int32_t>(places, i)) * scale;
    if ((lanes >> i & 1) != 0) std::memcpy(&lane, static_cast<const char*>(from) + at, sizeof(lane));
    return lane;
  });
}
/// The second where one is NaN or both are zero.
inline __m512 _mm512_max_ps(__m512 a, __m512 b) {
  return vector_of<__m512, float>([&](size_t i) {
    const float first = lane_of<float>(a, i), second = lane_of<float>(b, i);
    return first > second ? first : second;
  });
}
inline __m512i _mm512_madd_epi16(__m512i a, __m512i b) {
  return simde_mm512_madd_epi16(a, b);
}
inline __m512 _mm512_broadcast_f32x4(__m128 four) {
  return vector_of<__m512, float>([&](size_t i) { return lane_of<float>(four, i % 4); });
}
inline __m512 _mm512_permute_ps(__m512 v, int lanes) {
  return vector_of<__m512, float>(
      [&](size_t i) { return lane_of<float>(v, i / 4 * 4 + static_cast<size_t>(lanes >> i % 4 * 2 & 3)); });
}
struct __m512bh {
  uint16_t lanes[32];
};
/// The upper product of a pair is added first.
inline __m512 _mm512_dpbf16_ps(__m512 sums, __m512bh a, __m512bh b) {
  return vector_of<__m512, float>([&](size_t i) {
    float sum = flushed(lane_of<float>(sums, i));
    for (const size_t at : {2 * i + 1, 2 * i}) {
      sum = flushed(std::fma(bf16_model_at(a.lanes + at), bf16_model_at(b.lanes + at), sum));
    }
    return sum;
  });
}
inline __m256i _mm256_dpwssd_avx_epi32(__m256i sums, __m256i a, __m256i b) {
  return simde_mm256_dpwssd_epi32(sums, a, b);
}
inline __m256i _mm256_dpbusd_avx_epi32(__m256i sums, __m256i a, __m256i b) {
  return simde_mm256_dpbusd_epi32(sums, a, b);
}

}  // namespace
}  // namespace lattice::cpu
