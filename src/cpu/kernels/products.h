#pragma once

#include <cstdint>

#include "cpu/kernels/kernels.h"
#include "cpu/kernels/unrolled.h"

// The bodies of all products, over a vector policy V that names its register types and a handful of operations. A block
// of R rows times N vectors of output channels keeps its R*N accumulators in registers over all channels of a group.
// Included by one file an instruction set; everything here is local to that file (see kernels.h for why).

namespace lattice::cpu {
namespace {

/// Calls block(constant R, first edge) over all edges: R = Rows while there are that many, then once for the rest.
template <int Rows, typename Block>
[[gnu::always_inline]] inline void for_row_blocks(int64_t count, const Block& block) {
  int64_t first = 0;
  for (; first + Rows <= count; first += Rows) block(std::integral_constant<int, Rows>{}, first);
  const auto rest = static_cast<int>(count - first);
  unrolled<Rows - 1>([&](auto r) __attribute__((always_inline)) {
    if (rest == r + 1) block(std::integral_constant<int, r + 1>{}, first);
  });
}

/// Calls panel(constant N) with the number of vectors that `width` takes.
template <typename V, int N = V::kVectors, typename Panel>
[[gnu::always_inline]] inline void for_vectors(int64_t width, const Panel& panel) {
  if constexpr (N > 1) {
    if (width < N * V::kLanes) return for_vectors<V, N - 1>(width, panel);
  }
  panel(std::integral_constant<int, N>{});
}

/// Channels of a panel that stay in half of a first-level cache of 32 KiB while all edges of a tap pass.
template <typename V>
inline constexpr int64_t kPassChannels = 16384 / (4 * V::kLanes * V::kVectors);

template <typename V, int R, int N>
[[gnu::noinline]] void multiply_floats(const FloatProduct& task, int64_t first, int64_t begin, int64_t channels) {
  using Vector = typename V::Vector;
  const float* x[R];
  float* sums[R];
  Vector acc[R * N];
  unrolled<R>([&](auto r) __attribute__((always_inline)) {
    x[r] = task.x + task.edges.input[first + r] * task.x_stride + begin;
    sums[r] = task.edges.sums + task.edges.slot[first + r] * task.edges.sums_stride;
    unrolled<N>([&](auto n) __attribute__((always_inline)) { acc[r * N + n] = V::load(sums[r] + n * V::kLanes); });
  });
  const float* panel = task.panel + begin * (N * V::kLanes);
  for (int64_t c = 0; c < channels; ++c, panel += N * V::kLanes) {
    Vector weights[N];
    unrolled<N>([&](auto n) __attribute__((always_inline)) { weights[n] = V::load(panel + n * V::kLanes); });
    unrolled<R>([&](auto r) __attribute__((always_inline)) {
      const Vector value = V::broadcast(x[r][c]);
      unrolled<N>([&](auto n) __attribute__((always_inline)) {
        acc[r * N + n] = V::multiply_add(value, weights[n], acc[r * N + n]);
      });
    });
  }
  unrolled<R>([&](auto r) __attribute__((always_inline)) {
    unrolled<N>([&](auto n) __attribute__((always_inline)) { V::store(sums[r] + n * V::kLanes, acc[r * N + n]); });
  });
}

template <typename V>
void float_product(const FloatProduct& task) {
  for_vectors<V>(task.edges.width, [&](auto n) {
    for (int64_t begin = 0; begin < task.channels; begin += kPassChannels<V>) {
      const int64_t left = task.channels - begin;
      const int64_t channels = left < kPassChannels<V> ? left : kPassChannels<V>;
      for_row_blocks<V::rows(n)>(
          task.edges.count, [&](auto r, int64_t first) { multiply_floats<V, r, n>(task, first, begin, channels); });
    }
  });
}

/// Integers of 16 bits, two in a word of 32, or of 8 bits, four in a word: `words` of them make a group of channels.
template <typename V>
struct Pairs {
  static constexpr int64_t kChannels = 2;
  static typename V::Ints dot(typename V::Ints acc, typename V::Ints values, typename V::Ints codes) {
    return V::dot_pairs(acc, values, codes);
  }
};
template <typename V>
struct Quads {
  static constexpr int64_t kChannels = 4;
  static typename V::Ints dot(typename V::Ints acc, typename V::Ints values, typename V::Ints codes) {
    return V::dot_quads(acc, values, codes);
  }
};

/// acc[r, n] += the products of q[r] and vector n of the codes, over the words of a group.
template <typename V, typename Words, int R, int N>
[[gnu::always_inline]] inline void add_words(typename V::Ints (&acc)[R * N], const uint32_t* const (&q)[R],
                                             const uint32_t* codes, int64_t words) {
  using Ints = typename V::Ints;
  for (int64_t word = 0; word < words; ++word, codes += N * V::kLanes) {
    Ints weights[N];
    unrolled<N>([&](auto n) __attribute__((always_inline)) { weights[n] = V::load_ints(codes + n * V::kLanes); });
    unrolled<R>([&](auto r) __attribute__((always_inline)) {
      const Ints values = V::broadcast_int(q[r][word]);
      unrolled<N>([&](auto n) __attribute__((always_inline)) {
        acc[r * N + n] = Words::dot(acc[r * N + n], values, weights[n]);
        V::keep_in_register(acc[r * N + n]);
      });
    });
  }
}

/// The edges' sums += row_scale * (scale * acc + bias * row_sum), for a group.
template <typename V, int R, int N>
[[gnu::always_inline]] inline void add_scaled(const IntegerProduct& task, int64_t first, int64_t group,
                                              const typename V::Ints (&acc)[R * N]) {
  using Vector = typename V::Vector;
  const float* scales = task.scales + group * (N * V::kLanes);
  const float* biases = task.biases + group * (N * V::kLanes);
  unrolled<R>([&](auto r) __attribute__((always_inline)) {
    const int64_t at = task.edges.input[first + r] * task.groups + group;
    float* sums = task.edges.sums + task.edges.slot[first + r] * task.edges.sums_stride;
    const Vector row_scale = V::broadcast(task.row_scales[at]);
    const Vector row_sum = V::broadcast(task.row_sums[at]);
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      const Vector biased = V::multiply(row_sum, V::load(biases + n * V::kLanes));
      const Vector product = V::multiply_add(V::to_floats(acc[r * N + n]), V::load(scales + n * V::kLanes), biased);
      V::store(sums + n * V::kLanes, V::multiply_add(row_scale, product, V::load(sums + n * V::kLanes)));
    });
  });
}

/// One group of channels.
template <typename V, typename Words, int R, int N>
[[gnu::noinline]] void multiply_codes(const IntegerProduct& task, int64_t first, int64_t group) {
  const int64_t words = task.group_size / Words::kChannels;
  const uint32_t* q[R];
  typename V::Ints acc[R * N];
  unrolled<R>([&](auto r) __attribute__((always_inline)) {
    q[r] = static_cast<const uint32_t*>(task.q) + (task.edges.input[first + r] * task.groups + group) * words;
    unrolled<N>([&](auto n) __attribute__((always_inline)) { acc[r * N + n] = V::zero_ints(); });
  });
  add_words<V, Words, R, N>(acc, q, static_cast<const uint32_t*>(task.codes) + group * words * (N * V::kLanes), words);
  add_scaled<V, R, N>(task, first, group, acc);
}

/// Group by group, so that a group's codes (8 KiB at 64 channels of 64 outputs) stay in the first-level cache.
template <typename V, typename Words>
void integer_product(const IntegerProduct& task) {
  for_vectors<V>(task.edges.width, [&](auto n) {
    for (int64_t group = 0; group < task.groups; ++group) {
      for_row_blocks<V::rows(n)>(task.edges.count,
                                 [&](auto r, int64_t first) { multiply_codes<V, Words, r, n>(task, first, group); });
    }
  });
}

}  // namespace
}  // namespace lattice::cpu
