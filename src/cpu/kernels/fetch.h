#pragma once

#include <cstdint>

#include "cpu/kernels/kernels.h"

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
#if defined(__clang__)  // which has none of the functions below
  using Lanes = float __attribute__((vector_size(sizeof(Vector))));
  Lanes lanes;
  __builtin_memcpy(&lanes, &v, sizeof(lanes));
  __builtin_nontemporal_store(lanes, reinterpret_cast<Lanes*>(to));
#else
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
#endif
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

}  // namespace
}  // namespace lattice::cpu
