#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/kernels/dense_rows.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/products.h"
#include "cpu/kernels/unrolled.h"

// Products of rounded rows with codes whose sums are complete at once, as those of dense_rows.h in float32. Included by
// one file an instruction set.

namespace lattice::cpu {
namespace {

/// R rows of N vectors. Steps: those of the only group; 0 for any number of groups, of as many as the task says. What
/// is added up of the groups before the last waits in the first-level cache.
template <typename V, typename Step, int R, int N, int Steps>
[[gnu::noinline]] void multiply_dense_codes(const DenseCodes& task, const DenseFinish<V, N>& finish, int64_t first) {
  using Vector = typename V::Vector;
  constexpr bool kIsOneGroup = Steps > 0;
  constexpr int64_t kWidth = N * V::kLanes;
  const int64_t groups = kIsOneGroup ? 1 : task.groups, steps = task.group_size / Step::kChannels;
  const int64_t row_steps = kIsOneGroup ? Steps : groups * steps;  // known, rows need no pointers of their own
  const auto* const rows = static_cast<const uint32_t*>(task.x) + first * row_steps;
  alignas(kLine) float kept[kIsOneGroup ? 1 : R * kWidth] = {};
  for (int64_t group = 0; group < groups; ++group) {
    const uint32_t* x[R];
    typename Step::Sum acc[R * N];
    unrolled<R>([&](auto r) __attribute__((always_inline)) {
      x[r] = rows + r * row_steps + group * steps;
      unrolled<N>([&](auto n) __attribute__((always_inline)) { acc[r * N + n] = Step::zero(); });
    });
    const uint32_t* const codes = static_cast<const uint32_t*>(task.codes) + group * steps * kWidth;
    add_steps<V, Step, R, N>(acc, x, codes, 0, used_steps<Step>(task, group));
    const GroupFactors* const factors = task.rows + first * groups + group;
    const float* const scales = task.scales + group * kWidth;
    const float* const biases = biases_from(task, group * kWidth);
    /// done(r, sums) for each row.
    const auto add_scaled = [&](const auto& done) __attribute__((always_inline)) {
      unrolled<R>([&](auto r) __attribute__((always_inline)) {
        const Vector row_scale = V::broadcast(factors[r * groups].scale);
        const Vector row_sum = V::broadcast(factors[r * groups].sum);
        Vector sums[N];
        unrolled<N>([&](auto n) __attribute__((always_inline)) {
          constexpr int64_t kOffset = n * V::kLanes;
          Vector before = V::broadcast(0.0F);
          if constexpr (!kIsOneGroup) before = V::load(kept + r * kWidth + kOffset);
          const Vector product = unscaled<V, true>(acc[r * N + n], row_sum, scales, biases, kOffset);
          sums[n] = V::multiply_add(row_scale, product, before);
        });
        done(r, sums);
      });
    };
    if (group + 1 < groups) {
      add_scaled([&](auto r, const Vector* sums) __attribute__((always_inline)) {
        unrolled<N>([&](auto n) __attribute__((always_inline)) { V::store(kept + (r * N + n) * V::kLanes, sums[n]); });
      });
    } else if (finish.streams()) {
      add_scaled([&](auto r, const Vector* sums)
                     __attribute__((always_inline)) { finish.template store<true>(first + r, sums); });
    } else {
      add_scaled([&](auto r, const Vector* sums)
                     __attribute__((always_inline)) { finish.template store<false>(first + r, sums); });
    }
  }
}

/// In blocks, of which the last may make rows again that there are.
template <typename V, typename Step, int N, int Steps>
void dense_codes_of(const DenseCodes& task) {
  constexpr int kRows = V::rows(N);
  const DenseFinish<V, N> finish(task.finish);
  const int64_t last = task.finish.rows - kRows;
  for (int64_t first = 0; first < last; first += kRows) {
    multiply_dense_codes<V, Step, kRows, N, Steps>(task, finish, first);
  }
  if (last >= 0) return multiply_dense_codes<V, Step, kRows, N, Steps>(task, finish, last);
  for (int64_t row = 0; row < task.finish.rows; ++row) multiply_dense_codes<V, Step, 1, N, 0>(task, finish, row);
}

template <typename V, typename Step>
void dense_codes(const DenseCodes& task) {
  const int64_t group_size = task.groups == 1 ? task.group_size : 0;
  for_vectors<V>(task.width, [&](auto n) {
    switch (group_size) {
      case 32:
        return dense_codes_of<V, Step, n, 32 / Step::kChannels>(task);
      case 64:
        return dense_codes_of<V, Step, n, 64 / Step::kChannels>(task);
      default:
        return dense_codes_of<V, Step, n, 0>(task);
    }
  });
  if (task.finish.streams) end_streams();
}

}  // namespace
}  // namespace lattice::cpu
