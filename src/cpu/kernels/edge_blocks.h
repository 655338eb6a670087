#pragma once

#include <cstdint>

#include "cpu/kernels/fetch.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/unrolled.h"
#if defined(__AVX2__)
#include "cpu/kernels/x86_intrinsics.h"
#endif

// Edges in blocks of a few rows, as products take them: where each row and its sums stand is known, and both are on
// their way, before a block's turn comes. Included by one file an instruction set.

namespace lattice::cpu {
namespace {

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
#elif defined(__AVX2__)
  static constexpr int kPlaces = (Count + 3) / 4 * 4;
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
#elif defined(__AVX2__)
    constexpr int kFours = RowPlaces<T, Count>::kPlaces / 4;
    __m256i at[kFours];
    unrolled<kFours>([&](auto e) __attribute__((always_inline)) {
      at[e] = _mm256_load_si256(reinterpret_cast<const __m256i*>(rows.at + 4 * e));
    });
    for (; bytes > 0; bytes -= kLine, count += Count) {
      unrolled<kFours>([&](auto e) __attribute__((always_inline)) {
        _mm256_storeu_si256(reinterpret_cast<__m256i*>(lines_ + count + 4 * e), at[e]);
        at[e] = _mm256_add_epi64(at[e], _mm256_set1_epi64x(kLine));
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

/// The blocks of up to `Count` edges of a product, one after the other: where a block's rows and sums stand is found,
/// and they are fetched, while the one before is multiplied; up to `Most` lines one by one, or the rows at once if it
/// is 0.
template <int Count, int64_t Most>
class EdgeBlocks {
 public:
  struct Places {
    RowPlaces<const char, Count> x;
    RowPlaces<const GroupFactors, Count> factors;
    RowPlaces<float, Count> sums;
  };

  /// From edge 0 on. Of rows of `x` so many bytes are read, of those of `factors`, where there are such, the first on;
  /// of sums all. fetch_lines() fetches so many lines.
  EdgeBlocks(const TapEdges& edges, const Rows<const char>& x, int64_t x_bytes, const Rows<const GroupFactors>& factors,
             int64_t sum_bytes, int64_t lines)
      : edges_(edges),
        x_(x),
        factors_(factors),
        sums_{edges.sums, edges.sums_stride},
        x_bytes_(x_bytes),
        sum_bytes_(sum_bytes),
        lines_(edges.sums, Most > 0 ? lines : 0) {
    find(0, *next_);
  }

  /// On by R edges, the first of which is edge `first`: their places, until the next call.
  template <int R>
  [[gnu::always_inline]] const Places& move_on(int64_t first) {
    const Places& here = *next_;
    next_ = next_ == places_ ? places_ + 1 : places_;
    find(first + R, *next_);
    if constexpr (Most > 0) {
      lines_.add(lines_.add(0, next_->x, x_bytes_), next_->sums, sum_bytes_);
    } else {
      unrolled<Count>([&](auto r) __attribute__((always_inline)) { fetch(next_->x.at[r], x_bytes_); });
    }
    return here;
  }
  /// With each step, so many lines.
  template <int64_t Lines>
  [[gnu::always_inline]] void fetch_lines(int64_t step) const {
    if constexpr (Most > 0) {
      unrolled<Lines>([&](auto i) __attribute__((always_inline)) { lines_.fetch(Lines * step + i); });
    }
  }

 private:
  [[gnu::always_inline]] void find(int64_t first, Places& places) const {
    const int64_t left = edges_.count + edges_.following - first;
    const RowNumbers<Count> inputs(edges_.input + first, left);
    inputs.find(x_, places.x);
    if (factors_.base != nullptr) inputs.find(factors_, places.factors);
    RowNumbers<Count>(edges_.slot + first, left).find(sums_, places.sums);
  }

  const TapEdges& edges_;
  Rows<const char> x_;
  Rows<const GroupFactors> factors_;
  Rows<float> sums_;
  int64_t x_bytes_, sum_bytes_;
  Places places_[2];
  Places* next_ = places_;
  NextLines<Count, Most> lines_;
};

}  // namespace
}  // namespace lattice::cpu
