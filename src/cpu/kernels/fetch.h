#pragma once

#include <cstdint>

#include "cpu/kernels/kernels.h"
#include "cpu/kernels/unrolled.h"
#if defined(__AVX512F__)
#include "cpu/kernels/x86_intrinsics.h"
#endif

// What is read soon is asked for now: rows stand anywhere in memory, and no hardware foresees which comes next.
// Included by one file an instruction set.

namespace lattice::cpu {
namespace {

inline constexpr int64_t kLine = 64;  // bytes of a cache's

/// Fetches what a first-level cache does not have.
[[gnu::always_inline]] inline void fetch(const void* from, int64_t bytes) {
  for (int64_t b = 0; b < bytes; b += kLine) __builtin_prefetch(static_cast<const char*>(from) + b);
}

/// The same of what will be written.
[[gnu::always_inline]] inline void fetch_to_write(void* to, int64_t bytes) {
  for (int64_t b = 0; b < bytes; b += kLine) __builtin_prefetch(static_cast<char*>(to) + b, 1);
}

/// Stores a vector past the caches, where the machine can, at a multiple of its size. Other threads see it after
/// end_streams().
template <typename Vector>
[[gnu::always_inline]] inline void stream(float* to, const Vector& v) {
  [[maybe_unused]] const auto as = [&](auto lanes) __attribute__((always_inline)) {
    __builtin_memcpy(&lanes, &v, sizeof(lanes));
    return lanes;
  };
#if defined(__AVX512F__)
  using Sixteen = float __attribute__((vector_size(64)));
  if constexpr (sizeof(v) == 64) return __builtin_ia32_movntps512(to, as(Sixteen{}));
#endif
#if defined(__AVX__)
  using Eight = float __attribute__((vector_size(32)));
  if constexpr (sizeof(v) == 32) return __builtin_ia32_movntps256(to, as(Eight{}));
#endif
#if defined(__SSE__)
  using Four = float __attribute__((vector_size(16)));
  if constexpr (sizeof(v) == 16) return __builtin_ia32_movntps(to, as(Four{}));
#endif
  __builtin_memcpy(to, &v, sizeof(v));
}

inline constexpr int64_t kLineFloats = kLine / 4;

/// A line, both at its boundaries.
[[gnu::always_inline]] inline void stream_line(float* to, const float* line) {
#if defined(__AVX512F__)
  using Lanes = float __attribute__((vector_size(64)));
#elif defined(__AVX__)
  using Lanes = float __attribute__((vector_size(32)));
#else
  using Lanes = float __attribute__((vector_size(16)));
#endif
  constexpr int64_t kLanes = sizeof(Lanes) / sizeof(float);
  for (int64_t lane = 0; lane < kLineFloats; lane += kLanes) {
    stream(to + lane, *reinterpret_cast<const Lanes*>(line + lane));
  }
}
inline void end_streams() {
#if defined(__SSE__)
  __builtin_ia32_sfence();
#endif
}

/// Fetches the weights of the next product into the second-level cache, a share with each block of rows: what comes
/// from farther then comes while this product is busy.
class NextWeights {
 public:
  /// Over so many blocks of rows.
  NextWeights(const TapEdges& edges, int64_t blocks)
      : at_(static_cast<const char*>(edges.next)),
        end_(at_ + edges.next_bytes),
        share_((edges.next_bytes / blocks + kLine) / kLine * kLine) {}

  [[gnu::always_inline]] void fetch_share() {
    const char* const end = end_ - at_ < share_ ? end_ : at_ + share_;
    for (; at_ < end; at_ += kLine) __builtin_prefetch(at_, 0, 2);
  }

 private:
  const char *at_, *end_;
  int64_t share_;
};

/// Rows of an array, `stride` words of 32 bits apart, fewer than 2^31.
template <typename T>
struct Rows {
  T* base;
  int64_t stride;
};

/// Addresses of `Count` rows, one behind the other in memory.
template <typename T, int Count>
struct RowPlaces {
#if defined(__AVX512F__)
  static constexpr int kPlaces = (Count + 7) / 8 * 8;  // whole vectors
#else
  static constexpr int kPlaces = Count;
#endif
  alignas(kLine) T* at[kPlaces];
};

/// The numbers of `Count` rows; where fewer than that are left, the others are row 0.
template <int Count>
class RowNumbers {
 public:
  template <typename Number>
  [[gnu::always_inline]] RowNumbers(const Number* numbers, int64_t left) {
#if defined(__AVX512F__)
    unrolled<kEights>([&](auto e) __attribute__((always_inline)) {
      constexpr int kFirst = 8 * e;
      const int64_t there = left < kFirst ? 0 : left < kFirst + 8 ? left - kFirst : 8;
      const auto lanes = static_cast<__mmask8>((1U << there) - 1);
      if constexpr (sizeof(Number) == 2) {
        eights_[e] = _mm512_cvtepu16_epi64(_mm_maskz_loadu_epi16(lanes, numbers + kFirst));
      } else {
        eights_[e] = _mm512_cvtepi32_epi64(_mm256_maskz_loadu_epi32(lanes, numbers + kFirst));
      }
    });
#else
    unrolled<Count>([&](auto r) __attribute__((always_inline)) { numbers_[r] = r < left ? numbers[r] : 0; });
#endif
  }

  template <typename T>
  [[gnu::always_inline]] void find(const Rows<T>& rows, RowPlaces<T, Count>& places) const {
#if defined(__AVX512F__)
    const __m512i stride = _mm512_set1_epi64(rows.stride);
    const __m512i base = _mm512_set1_epi64(reinterpret_cast<int64_t>(rows.base));
    unrolled<kEights>([&](auto e) __attribute__((always_inline)) {
      const __m512i offsets = _mm512_slli_epi64(_mm512_mul_epi32(eights_[e], stride), 2);
      _mm512_store_si512(places.at + 8 * e, _mm512_add_epi64(offsets, base));
    });
#else
    unrolled<Count>([&](auto r) __attribute__((always_inline)) {
      places.at[r] = reinterpret_cast<T*>(reinterpret_cast<int64_t>(rows.base) + numbers_[r] * rows.stride * 4);
    });
#endif
  }

 private:
#if defined(__AVX512F__)
  static constexpr int kEights = (Count + 7) / 8;
  __m512i eights_[kEights];
#else
  int64_t numbers_[Count];
#endif
};

/// Lines of memory that the next block of `Count` edges reads and writes, to be fetched one by one while a block is
/// multiplied: all at once, they would hold up its own. At most `Most`.
template <int Count, int64_t Most>
class NextLines {
 public:
  /// Until there are others, up to line `most` is what the first-level cache has anyway.
  NextLines(const void* near, int64_t most) {
    for (int64_t i = 0; i < most; ++i) lines_[i] = near;
  }

  /// Lists `bytes` of each row behind the first `count` lines; returns how many there are then.
  template <typename T>
  [[gnu::always_inline]] int64_t add(int64_t count, const RowPlaces<T, Count>& rows, int64_t bytes) {
#if defined(__AVX512F__)
    constexpr int kEights = RowPlaces<T, Count>::kPlaces / 8;
    __m512i at[kEights];
    unrolled<kEights>([&](auto e) __attribute__((always_inline)) { at[e] = _mm512_load_si512(rows.at + 8 * e); });
    for (; bytes > 0; bytes -= kLine, count += Count) {
      unrolled<kEights>([&](auto e) __attribute__((always_inline)) {
        // What goes beyond Count is written over by the next line's, or not read.
        _mm512_storeu_si512(lines_ + count + 8 * e, at[e]);
        at[e] = _mm512_add_epi64(at[e], _mm512_set1_epi64(kLine));
      });
    }
#else
    for (int64_t offset = 0; offset < bytes; offset += kLine, count += Count) {
      for (int r = 0; r < Count; ++r) lines_[count + r] = reinterpret_cast<const char*>(rows.at[r]) + offset;
    }
#endif
    return count;
  }
  [[gnu::always_inline]] void fetch(int64_t i) const {
    __builtin_prefetch(lines_[i]);
  }

 private:
  const void* lines_[Most + RowPlaces<void, Count>::kPlaces];
};

}  // namespace
}  // namespace lattice::cpu
