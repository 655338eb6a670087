#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/kernels/edge_blocks.h"
#include "cpu/kernels/fetch.h"
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

constexpr int64_t larger(int64_t a, int64_t b) {
  return a > b ? a : b;
}

/// A step of a product's inner loop: an element of each row, which holds one channel or more, times a vector of the
/// panel's. This one is a channel in float32.
template <typename V>
struct FloatStep {
  using Element = float;
  using Factor = typename V::Vector;
  using Sum = typename V::Vector;
  static constexpr int64_t kChannels = 1;
  static Factor load(const Element* from) { return V::load(from); }
  static Factor broadcast(Element value) { return V::broadcast(value); }
  static void add(Sum& sum, Factor value, Factor weight) { sum = V::multiply_add(value, weight, sum); }
};

/// Channels side by side in a word of 32 bits.
template <typename V>
struct WordStep {
  using Element = uint32_t;
  using Factor = typename V::Ints;
  static Factor load(const Element* from) { return V::load_ints(from); }
  static Factor broadcast(Element value) { return V::broadcast_int(value); }
};

/// Two integers of 16 bits, or four of 8.
template <typename V, int64_t Channels>
struct IntegerStep : WordStep<V> {
  using typename WordStep<V>::Factor;
  using Sum = typename V::Ints;
  static constexpr int64_t kChannels = Channels;
  static Sum zero() { return V::zero_ints(); }
  static void add(Sum& sum, Factor values, Factor codes) {
    V::keep_in_register(sum);
    if constexpr (Channels == 2) {
      sum = V::dot_pairs(sum, values, codes);
    } else {
      sum = V::dot_quads(sum, values, codes);
    }
    V::keep_in_register(sum);
  }
};

/// Two bfloat16, summed in float32.
template <typename V>
struct Bf16Step : WordStep<V> {
  using typename WordStep<V>::Factor;
  using Sum = typename V::Vector;
  static constexpr int64_t kChannels = 2;
  static Sum zero() { return V::broadcast(0.0F); }
  static void add(Sum& sum, Factor values, Factor weights) {
    V::keep_in_register(sum);
    sum = V::dot_bf16(sum, values, weights);
    V::keep_in_register(sum);
  }
};

/// What is fetched with each step of a product.
struct FetchNothing {
  [[gnu::always_inline]] void operator()(int64_t) const {}
};

/// acc[r, n] += x[r] times vector n of the panel, over the steps of x from `begin` to `end` and so many of the panel,
/// of which each is `Stride` vectors.
template <typename V, typename Step, int R, int N, int Stride = N, typename Fetch = FetchNothing>
[[gnu::always_inline]] inline void add_steps(typename Step::Sum (&acc)[R * N],
                                             const typename Step::Element* const (&x)[R],
                                             const typename Step::Element* panel, int64_t begin, int64_t end,
                                             const Fetch& fetch_with = {}) {
  for (int64_t step = begin; step < end; ++step, panel += Stride * V::kLanes) {
    typename Step::Factor weights[N];
    fetch_with(step);
    unrolled<N>([&](auto n) __attribute__((always_inline)) { weights[n] = Step::load(panel + n * V::kLanes); });
    unrolled<R>([&](auto r) __attribute__((always_inline)) {
      const typename Step::Factor value = Step::broadcast(x[r][step]);
      unrolled<N>([&](auto n) __attribute__((always_inline)) { Step::add(acc[r * N + n], value, weights[n]); });
    });
  }
}

/// The same in float32 of N vectors and a half one behind them, where V has such: some cores take two of those in the
/// time of a whole one.
template <typename V, int R, int N, typename Fetch = FetchNothing>
[[gnu::always_inline]] inline void add_steps_and_half(typename V::Vector (&acc)[R * N],
                                                      typename V::Half::Vector (&half_acc)[R],
                                                      const float* const (&x)[R], const float* panel, int64_t steps,
                                                      const Fetch& fetch_with = {}) {
  for (int64_t step = 0; step < steps; ++step, panel += (N + 1) * V::kLanes) {
    typename V::Vector weights[N];
    fetch_with(step);
    unrolled<N>([&](auto n) __attribute__((always_inline)) { weights[n] = V::load(panel + n * V::kLanes); });
    const auto half_weights = V::Half::load(panel + N * V::kLanes);
    unrolled<R>([&](auto r) __attribute__((always_inline)) {
      const auto value = V::broadcast(x[r][step]);
      unrolled<N>([&](auto n) __attribute__((always_inline)) {
        acc[r * N + n] = V::multiply_add(value, weights[n], acc[r * N + n]);
      });
      half_acc[r] = V::Half::multiply_add(V::lower_half(value), half_weights, half_acc[r]);
    });
  }
}

/// Steps of a panel that stay in half of a first-level cache of 32 KiB while all edges of a tap pass.
template <typename V>
inline constexpr int64_t kPassSteps = 16384 / (4 * V::kLanes * V::kVectors);

/// Of so many words of 32 bits.
constexpr int64_t lines_of(int64_t words) {
  return (words + kLineFloats - 1) / kLineFloats;
}

/// The most lines that are listed for blocks of such rows and vectors, up to `steps` of them, `lines` fetched with
/// each. A line is two loads: none where a loop would then make more than `most_loads` for every 12 products, as cores
/// lose by that which load no more often than they multiply.
template <typename V>
constexpr int64_t most_lines(int rows, int vectors, int64_t steps, int64_t lines, int most_loads) {
  if ((vectors + rows + 2 * lines) * 12 > rows * vectors * most_loads) return 0;
  return larger(lines * steps, rows * (lines_of(steps) + lines_of(vectors * V::kLanes)));
}

// Lines fetched with each step of codes: a group of 64 channels of 8 bits has 16 steps for the 30 lines of 6 rows of
// the widest panel. Products in float32 and of bfloat16 fetch one.
inline constexpr int64_t kLinesAStep = 2;

template <typename V, int Count, int Vectors>
using FloatBlocks = EdgeBlocks<Count, most_lines<V>(Count, Vectors, kPassSteps<V>, 1, V::kFloatLoads)>;

/// R edges, the first of which is edge `first`. A step of the panel is `Stride` vectors.
template <typename V, typename Step, int R, int N, int Stride, typename Blocks>
[[gnu::noinline]] void multiply_floats(Blocks& blocks, int64_t first, const typename Step::Element* panel,
                                       int64_t steps) {
  const auto& places = blocks.template move_on<R>(first);
  const typename Step::Element* x[R];
  float* sums[R];
  typename V::Vector acc[R * N];
  unrolled<R>([&](auto r) __attribute__((always_inline)) {
    x[r] = reinterpret_cast<const typename Step::Element*>(places.x.at[r]);
    sums[r] = places.sums.at[r];
    unrolled<N>([&](auto n) __attribute__((always_inline)) { acc[r * N + n] = V::load(sums[r] + n * V::kLanes); });
  });
  add_steps<V, Step, R, N, Stride>(
      acc, x, panel, 0,
      steps, [&](int64_t step) __attribute__((always_inline)) { blocks.template fetch_lines<1>(step); });
  unrolled<R>([&](auto r) __attribute__((always_inline)) {
    unrolled<N>([&](auto n) __attribute__((always_inline)) { V::store(sums[r] + n * V::kLanes, acc[r * N + n]); });
  });
}

/// The same in float32 of N vectors and a half one.
template <typename V, int R, int N, typename Blocks>
[[gnu::noinline]] void multiply_floats_and_half(Blocks& blocks, int64_t first, const float* panel, int64_t steps) {
  using Half = typename V::Half;
  const auto& places = blocks.template move_on<R>(first);
  const float* x[R];
  float* sums[R];
  typename V::Vector acc[R * N];
  typename Half::Vector half_acc[R];
  unrolled<R>([&](auto r) __attribute__((always_inline)) {
    x[r] = reinterpret_cast<const float*>(places.x.at[r]);
    sums[r] = places.sums.at[r];
    unrolled<N>([&](auto n) __attribute__((always_inline)) { acc[r * N + n] = V::load(sums[r] + n * V::kLanes); });
    half_acc[r] = Half::load(sums[r] + N * V::kLanes);
  });
  add_steps_and_half<V, R, N>(
      acc, half_acc, x, panel,
      steps, [&](int64_t step) __attribute__((always_inline)) { blocks.template fetch_lines<1>(step); });
  unrolled<R>([&](auto r) __attribute__((always_inline)) {
    unrolled<N>([&](auto n) __attribute__((always_inline)) { V::store(sums[r] + n * V::kLanes, acc[r * N + n]); });
    Half::store(sums[r] + N * V::kLanes, half_acc[r]);
  });
}

/// The same for one edge after the other, with the weights of all `Steps` in registers: what a block of rows takes to
/// begin and to end would be more than narrow products are.
template <typename V, typename Step, int N, int Steps>
[[gnu::noinline]] void multiply_edges(const FloatProduct& task, int64_t begin) {
  constexpr int64_t kStepBytes = sizeof(typename Step::Element);
  constexpr int64_t kEdgesAhead = 16;
  // A long chain of sums holds up what a processor looks ahead for.
  constexpr int kChains = N == 1 && Steps > 6 ? 2 : 1;
  const char* const rows = static_cast<const char*>(task.x) + begin * kStepBytes;
  const int64_t stride = task.x_stride / Step::kChannels * kStepBytes;
  const int32_t* const input = task.edges.input;
  const uint16_t* const slot = task.edges.slot;
  float* const all_sums = task.edges.sums;
  const int64_t count = task.edges.count, sums_stride = task.edges.sums_stride;
  const int64_t last_ahead = count + task.edges.following - 1;
  const auto* panel = static_cast<const typename Step::Element*>(task.panel) + begin * (N * V::kLanes);
  typename Step::Factor weights[Steps * N];
  unrolled<Steps * N>([&](auto i) __attribute__((always_inline)) { weights[i] = Step::load(panel + i * V::kLanes); });
  for (int64_t edge = 0; edge < count; ++edge) {
    const int64_t ahead = edge + kEdgesAhead < last_ahead ? edge + kEdgesAhead : last_ahead;
    __builtin_prefetch(rows + input[ahead] * stride);
    const auto* x = reinterpret_cast<const typename Step::Element*>(rows + input[edge] * stride);
    float* const sums = all_sums + slot[edge] * sums_stride;
    typename V::Vector acc[kChains * N];
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      acc[n] = V::load(sums + n * V::kLanes);
      if constexpr (kChains == 2) acc[N + n] = V::broadcast(0);
    });
    unrolled<Steps>([&](auto step) __attribute__((always_inline)) {
      const typename Step::Factor value = Step::broadcast(x[step]);
      unrolled<N>([&](auto n) __attribute__((always_inline)) {
        Step::add(acc[step % kChains * N + n], value, weights[step * N + n]);
      });
    });
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      if constexpr (kChains == 2) acc[n] = V::add(acc[n], acc[N + n]);
      V::store(sums + n * V::kLanes, acc[n]);
    });
  }
}

/// In passes over as many steps as there are registers for weights.
template <typename V, typename Step, int N>
void narrow_product(const FloatProduct& task, int64_t steps) {
  constexpr int kPass = V::kHeldWeights / N;
  int64_t begin = 0;
  for (; begin + kPass <= steps; begin += kPass) multiply_edges<V, Step, N, kPass>(task, begin);
  const auto rest = static_cast<int>(steps - begin);
  unrolled<kPass - 1>([&](auto i) __attribute__((always_inline)) {
    if (rest == i + 1) multiply_edges<V, Step, N, i + 1>(task, begin);
  });
}

/// Calls multiply(constant R, blocks, first edge, panel of the first step, steps) for all edges, up to `Rows` at once,
/// in passes. A step of the panel is N vectors.
template <typename V, typename Step, int N, typename Multiply>
void wide_product(const FloatProduct& task, const Multiply& multiply) {
  using Element = typename Step::Element;
  constexpr int kRows = V::rows(N);
  const int64_t all_steps = task.channels / Step::kChannels;
  static_assert(sizeof(Element) == 4);
  const int64_t stride = task.x_stride / Step::kChannels;
  const int64_t passes = (all_steps + kPassSteps<V> - 1) / kPassSteps<V>;
  NextWeights next(task.edges, passes * (task.edges.count / kRows + 1));
  for (int64_t begin = 0; begin < all_steps; begin += kPassSteps<V>) {
    const int64_t left = all_steps - begin;
    const int64_t steps = left < kPassSteps<V> ? left : kPassSteps<V>;
    const auto* const x = static_cast<const Element*>(task.x) + begin;
    const auto* const panel = static_cast<const Element*>(task.panel) + begin * (N * V::kLanes);
    FloatBlocks<V, kRows, N> blocks(task.edges, {reinterpret_cast<const char*>(x), stride},
                                    steps * static_cast<int64_t>(sizeof(Element)), {}, 4 * N * V::kLanes, steps);
    for_row_blocks<kRows>(task.edges.count, [&](auto r, int64_t first) {
      next.fetch_share();
      multiply(r, blocks, first, panel, steps);
    });
  }
}

/// In float32, where half of the last of N vectors is wanted at most.
template <typename V, int N>
void product_with_half(const FloatProduct& task) {
  wide_product<V, FloatStep<V>, N>(task, [](auto r, auto& blocks, int64_t first, const float* panel, int64_t steps) {
    if constexpr (N == 1) {
      multiply_floats<typename V::Half, FloatStep<typename V::Half>, r, 1, 2>(blocks, first, panel, steps);
    } else {
      multiply_floats_and_half<V, r, N - 1>(blocks, first, panel, steps);
    }
  });
}

template <typename V, typename Step>
void float_product(const FloatProduct& task) {
  const int64_t steps = task.channels / Step::kChannels;
  for_vectors<V>(task.edges.width, [&](auto n) {
    if constexpr (n <= V::kNarrowVectors) {
      if (n * steps <= V::kHeldWeights) return narrow_product<V, Step, n>(task, steps);
    }
    if constexpr (std::is_same_v<Step, FloatStep<V>> && requires { typename V::Half; }) {
      if (task.edges.width - task.edges.outputs >= V::kLanes / 2) return product_with_half<V, n>(task);
    }
    if constexpr (n == 1 && V::kNarrowVectors > 0) {
      narrow_product<V, Step, n>(task, steps);
    } else {
      wide_product<V, Step, n>(task, [&](auto r, auto& blocks, int64_t first, const auto* panel, int64_t pass_steps) {
        multiply_floats<V, Step, r, n, n>(blocks, first, panel, pass_steps);
      });
    }
  });
}

/// A panel's biases of one group, where the codes have them.
alignas(kLine) inline constexpr float kNoBiases[64] = {};

/// Biases from `at` on.
inline const float* biases_from(const CodeOperands& task, int64_t at) {
  return task.biases == nullptr ? kNoBiases : task.biases + at;
}

/// A group of edges: where the factors of their rows, and their sums, stand, and the panel's scales and biases.
template <bool HasBiases, typename Places>
struct GroupEdges {
  /// The group's factors are `group` behind those of the places, its scales and biases `at` behind the panel's.
  GroupEdges(const Places& places_, int64_t group_, const PackedProduct& task, int64_t at)
      : places(places_), group(group_), scales(task.scales + at), biases(HasBiases ? biases_from(task, at) : nullptr) {}

  const Places& places;
  int64_t group;
  const float* scales;
  const float* biases;

  const GroupFactors& factors(int r) const { return places.factors.at[r][group]; }
  float* sums(int r) const { return places.sums.at[r]; }
};

/// scale * acc + bias * row_sum of a group of integers, for the columns from `at` on; to the same bits without the
/// second term, where it is 0.
template <typename V, bool HasBiases>
[[gnu::always_inline]] inline typename V::Vector unscaled(typename V::Ints acc, typename V::Vector row_sum,
                                                          const float* scales, const float* biases, int64_t at) {
  const typename V::Vector product = V::to_floats(acc), scale = V::load(scales + at);
  if constexpr (!HasBiases) return V::multiply(product, scale);
  return V::multiply_add(product, scale, V::multiply(row_sum, V::load(biases + at)));
}

/// The edges' sums += row_scale * (scale * acc + bias * row_sum), for a group of integers.
template <typename V, int R, int N, bool HasBiases, typename Places>
[[gnu::always_inline]] inline void add_scaled(const GroupEdges<HasBiases, Places>& edges,
                                              const typename V::Ints (&acc)[R * N]) {
  using Vector = typename V::Vector;
  unrolled<R>([&](auto r) __attribute__((always_inline)) {
    const GroupFactors& factors = edges.factors(r);
    const Vector row_scale = V::broadcast(factors.scale), row_sum = V::broadcast(factors.sum);
    float* const row_sums = edges.sums(r);
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      constexpr int64_t kOffset = n * V::kLanes;
      const Vector product = unscaled<V, HasBiases>(acc[r * N + n], row_sum, edges.scales, edges.biases, kOffset);
      float* const sums = row_sums + kOffset;
      V::store(sums, V::multiply_add(row_scale, product, V::load(sums)));
    });
  });
}

/// The same for a group of bfloat16, which have no scale: scales and biases are loaded once for all rows.
template <typename V, int R, int N, typename Places>
[[gnu::always_inline]] inline void add_scaled(const GroupEdges<true, Places>& edges,
                                              const typename V::Vector (&acc)[R * N]) {
  unrolled<N>([&](auto n) __attribute__((always_inline)) {
    constexpr int64_t kOffset = n * V::kLanes;
    const auto scale = V::load(edges.scales + kOffset), bias = V::load(edges.biases + kOffset);
    unrolled<R>([&](auto r) __attribute__((always_inline)) {
      float* const sums = edges.sums(r) + kOffset;
      const auto row_sum = V::broadcast(edges.factors(r).sum);
      V::store(sums, V::multiply_add(acc[r * N + n], scale, V::multiply_add(row_sum, bias, V::load(sums))));
    });
  });
}

/// Steps of a group that are not all zero: the last may hold fewer channels than others.
template <typename Step, typename Task>
int64_t used_steps(const Task& task, int64_t group) {
  const int64_t left = task.channels - group * task.group_size;
  return ((left < task.group_size ? left : task.group_size) + Step::kChannels - 1) / Step::kChannels;
}

// Bytes of the codes that a block of rows takes at once: half of a first-level cache of 32 KiB.
inline constexpr int64_t kPassCodes = 16384;

template <typename V, typename Step, int Count, int Vectors>
using CodeBlocks =
    EdgeBlocks<Count, most_lines<V>(Count, Vectors,
                                    larger(kPassCodes / (4 * Vectors * V::kLanes), kLargestGroup / Step::kChannels),
                                    kLinesAStep, V::kIntegerLoads)>;

static_assert(sizeof(GroupFactors) == 8);  // two words, see Rows

/// Groups `begin` to `end` of R edges, the first of which is edge `first`.
template <typename V, typename Step, int R, int N, bool HasBiases, typename Blocks>
[[gnu::noinline]] void multiply_codes(const PackedProduct& task, Blocks& blocks, int64_t first, int64_t begin,
                                      int64_t end) {
  constexpr int64_t kWidth = N * V::kLanes;
  const auto& places = blocks.template move_on<R>(first);
  const int64_t steps = task.group_size / Step::kChannels, groups = end - begin;
  const auto* const codes = static_cast<const uint32_t*>(task.codes) + begin * steps * kWidth;
  const uint32_t* x[R];
  unrolled<R>([&](auto r) __attribute__((always_inline)) { x[r] = reinterpret_cast<const uint32_t*>(places.x.at[r]); });
  for (int64_t group = 0; group < groups; ++group) {
    typename Step::Sum acc[R * N];
    unrolled<R * N>([&](auto i) __attribute__((always_inline)) { acc[i] = Step::zero(); });
    const int64_t step = group * steps;
    add_steps<V, Step, R, N>(
        acc, x, codes + step * kWidth, step,
        step + used_steps<Step>(task, begin + group), [&](int64_t at) __attribute__((always_inline)) {
          blocks.template fetch_lines<kLinesAStep>(at);
        });
    const GroupEdges<HasBiases, typename Blocks::Places> edges(places, group, task, (begin + group) * kWidth);
    add_scaled<V, R, N>(edges, acc);
  }
}

/// A block of rows takes as many groups, one after the other, as kPassCodes hold (8 KiB each, at 64 channels of 64
/// outputs).
template <typename V, typename Step>
void packed_product(const PackedProduct& task) {
  for_vectors<V>(task.edges.width, [&](auto n) {
    constexpr int kRows = V::rows(n);
    static_assert(sizeof(kNoBiases) >= V::kVectors * V::kLanes * sizeof(float));
    const int64_t steps = task.group_size / Step::kChannels;
    const int64_t group_bytes = steps * (4 * n * V::kLanes);
    const int64_t groups_a_pass = group_bytes < kPassCodes ? kPassCodes / group_bytes : 1;
    const int64_t passes = (task.groups + groups_a_pass - 1) / groups_a_pass;
    NextWeights next(task.edges, passes * (task.edges.count / kRows + 1));
    for (int64_t begin = 0; begin < task.groups; begin += groups_a_pass) {
      const int64_t end = begin + groups_a_pass < task.groups ? begin + groups_a_pass : task.groups;
      const int64_t pass_steps = (end - begin) * steps;
      CodeBlocks<V, Step, kRows, n> blocks(
          task.edges, {static_cast<const char*>(task.x) + 4 * begin * steps, task.groups * steps}, 4 * pass_steps,
          {task.rows + begin, 2 * task.groups}, 4 * n * V::kLanes, kLinesAStep * pass_steps);
      for_row_blocks<kRows>(task.edges.count, [&](auto r, int64_t first) {
        next.fetch_share();
        // Whole blocks alone have a kernel without biases: others add zeros.
        if constexpr (r == kRows && std::is_same_v<Step, IntegerStep<V, 2>>) {
          if (task.biases == nullptr) return multiply_codes<V, Step, r, n, false>(task, blocks, first, begin, end);
        }
        multiply_codes<V, Step, r, n, true>(task, blocks, first, begin, end);
      });
    }
  });
}

}  // namespace
}  // namespace lattice::cpu
