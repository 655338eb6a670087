#pragma once

#include <cstdint>

#include "cpu/kernels/kernels.h"

// The one body of all float32 kernels, over a vector policy V that names its register type and a handful of operations.
// Included by one file an instruction set; everything here is local to that file (see kernels.h for why).

namespace lattice::cpu {
namespace {

/// R rows times N vectors of output channels: R*N accumulators stay in registers over all channels.
template <typename V, int R, int N>
void multiply_rows(const TapProduct& task, int64_t first) {
  using Vector = typename V::Vector;
  const float* x[R];
  float* sums[R];
  Vector acc[R][N];
  for (int r = 0; r < R; ++r) {
    x[r] = task.x + task.input[first + r] * task.x_stride;
    sums[r] = task.sums + task.slot[first + r] * task.sums_stride;
    for (int n = 0; n < N; ++n) acc[r][n] = V::load(sums[r] + n * V::kLanes);
  }
  const float* panel = task.panel;
  for (int64_t c = 0; c < task.channels; ++c, panel += N * V::kLanes) {
    Vector weights[N];
    for (int n = 0; n < N; ++n) weights[n] = V::load(panel + n * V::kLanes);
    for (int r = 0; r < R; ++r) {
      const Vector value = V::broadcast(x[r][c]);
      for (int n = 0; n < N; ++n) acc[r][n] = V::multiply_add(value, weights[n], acc[r][n]);
    }
  }
  for (int r = 0; r < R; ++r) {
    for (int n = 0; n < N; ++n) V::store(sums[r] + n * V::kLanes, acc[r][n]);
  }
}

/// The last 1 .. R-1 rows.
template <typename V, int R, int N>
void multiply_rest(const TapProduct& task, int64_t first) {
  if constexpr (R > 1) {
    if (task.count - first == R - 1) return multiply_rows<V, R - 1, N>(task, first);
    multiply_rest<V, R - 1, N>(task, first);
  }
}

/// Panels are kVectors vectors wide; the last one of a layer may be narrower.
template <typename V, int N>
void multiply_panel(const TapProduct& task) {
  if constexpr (N > 1) {
    if (task.width < N * V::kLanes) return multiply_panel<V, N - 1>(task);
  }
  int64_t row = 0;
  for (; row + V::kRows <= task.count; row += V::kRows) multiply_rows<V, V::kRows, N>(task, row);
  multiply_rest<V, V::kRows, N>(task, row);
}

template <typename V>
void tap_product(const TapProduct& task) {
  multiply_panel<V, V::kVectors>(task);
}

template <typename V, int Bits>
void decode_words(const PanelDecode& task) {
  constexpr int64_t kCodesAWord = 32 / Bits;
  const int64_t words_a_group = task.group_size / kCodesAWord;
  for (int64_t column = 0; column < task.width; column += V::kLanes) {
    const uint32_t* words = task.words + column;
    float* panel = task.panel + column;
    for (int64_t group = 0; group < task.groups; ++group) {
      const auto scale = V::load(task.scales + group * task.width + column);
      const auto bias = V::load(task.biases + group * task.width + column);
      for (int64_t word = 0; word < words_a_group; ++word, words += task.width) {
        auto codes = V::load_codes(words);
        for (int64_t i = 0; i < kCodesAWord; ++i, panel += task.width) {
          V::store(panel, V::multiply_add(V::template low_code<Bits>(codes), scale, bias));
          codes = V::template drop_code<Bits>(codes);
        }
      }
    }
  }
}

template <typename V>
void decode_panel(const PanelDecode& task) {
  if (task.bits == 4) {
    decode_words<V, 4>(task);
  } else {
    decode_words<V, 8>(task);
  }
}

template <typename V>
constexpr Kernels kernels_of(const char* isa) {
  return {isa, V::kLanes, V::kLanes * V::kVectors, tap_product<V>, decode_panel<V>, V::widen_f16, V::widen_bf16};
}

}  // namespace
}  // namespace lattice::cpu
