#pragma once

#include "cpu/kernels/arm_neon.h"
#include "cpu/kernels/packed_codes.h"
#include "cpu/kernels/products.h"
#include "cpu/kernels/rounded_rows.h"

// NEON with the dot products of bytes (ARMv8.2). Both factors are unsigned: activations have 128 added to the byte with
// the sign, and the sums start at -128 times the sum of the codes instead of zero. Those of 16 bits are two planes of
// bytes: the high one's sums are shifted by 8 bits before the low one's are added. All of it is exact modulo 2^32.

namespace lattice::cpu {
namespace {

struct NeonBytes : WordStep<Neon> {
  using Sum = Neon::Ints;
  static void add(Sum& sum, Factor values, Factor codes) {
    sum = vdotq_u32(sum, vreinterpretq_u8_u32(values), vreinterpretq_u8_u32(codes));
    Neon::keep_in_register(sum);
  }
};

/// One group of channels; `starts` are the sums' first values.
template <int Planes, int R, int N, typename Blocks>
[[gnu::noinline]] void multiply_planes(const PackedProduct& task, Blocks& blocks, int64_t first, int64_t group,
                                       const uint32_t* codes, const uint32_t* starts) {
  constexpr int64_t kWidth = N * Neon::kLanes;
  const int64_t words = task.group_size / 4;
  const auto& places = blocks.template move_on<R>(first);
  const uint32_t* x[R];
  Neon::Ints acc[R * N];
  unrolled<R>([&](auto r) __attribute__((always_inline)) {
    x[r] = reinterpret_cast<const uint32_t*>(places.x.at[r]);
    unrolled<N>([&](auto n)
                    __attribute__((always_inline)) { acc[r * N + n] = Neon::load_ints(starts + n * Neon::kLanes); });
  });
  add_steps<Neon, NeonBytes, R, N>(acc, x, codes, 0, words);
  if constexpr (Planes == 2) {
    unrolled<R>([&](auto r) __attribute__((always_inline)) { x[r] += words; });
    unrolled<R * N>([&](auto i) __attribute__((always_inline)) { acc[i] = vshlq_n_u32(acc[i], 8); });
    add_steps<Neon, NeonBytes, R, N>(acc, x, codes, 0, words);
  }
  add_scaled<Neon, R, N>(GroupEdges<true, typename Blocks::Places>(places, 0, task, group * kWidth), acc);
}

/// starts[column] = -128 * the sum of a group's codes.
template <int N>
void find_starts(const uint32_t* codes, int64_t words, uint32_t* starts) {
  constexpr uint32_t kOnes = 0x01010101;
  Neon::Ints sums[N];
  unrolled<N>([&](auto n) __attribute__((always_inline)) { sums[n] = Neon::zero_ints(); });
  for (int64_t word = 0; word < words; ++word, codes += N * Neon::kLanes) {
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      NeonBytes::add(sums[n], Neon::broadcast_int(kOnes), Neon::load_ints(codes + n * Neon::kLanes));
    });
  }
  unrolled<N>([&](auto n) __attribute__((always_inline)) {
    Neon::store_ints(starts + n * Neon::kLanes, vmulq_n_u32(sums[n], 0U - 128U));
  });
}

template <int Planes>
void plane_product(const PackedProduct& task) {
  const int64_t words = task.group_size / 4;
  for_vectors<Neon>(task.edges.width, [&](auto n) {
    for (int64_t group = 0; group < task.groups; ++group) {
      const uint32_t* codes = static_cast<const uint32_t*>(task.codes) + group * words * (n * Neon::kLanes);
      uint32_t starts[n * Neon::kLanes];
      find_starts<n>(codes, words, starts);
      const int64_t group_bytes = 4 * words * Planes;
      EdgeBlocks<Neon::rows(n), 0> blocks(
          task.edges, {static_cast<const char*>(task.x) + group * group_bytes, task.groups * group_bytes / 4},
          group_bytes, {task.rows + group, 2 * task.groups}, 4 * n * Neon::kLanes, 0);
      for_row_blocks<Neon::rows(n)>(task.edges.count, [&](auto r, int64_t first) {
        multiply_planes<Planes, r, n>(task, blocks, first, group, codes, starts);
      });
    }
  });
}

template <int Planes>
constexpr IntegerRoute plane_route() {
  return {.activation_bytes = Planes,
          .quantize = quantize_rows<Neon, BytePlanes<Planes, 128>>,
          .codes = {.code_bytes = 1, .decode = decode_quads<Neon>, .product = plane_product<Planes>}};
}

}  // namespace
}  // namespace lattice::cpu
