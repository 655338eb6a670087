#pragma once

#include <bit>
#include <cstdint>

#include "cpu/kernels/fetch.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/unrolled.h"

// Activations to integers. Included by one file an instruction set.

namespace lattice::cpu {
namespace {

inline constexpr uint32_t kRounderBits = std::bit_cast<uint32_t>(kRounder);

// Of magnitudes, whose order as integers is that of the values, infinities and NaN on top.
inline constexpr uint32_t kMagnitudeBits = 0x7FFFFFFFU, kInfinityBits = 0x7F800000U;

/// A group's scale and what its values are multiplied with; whether it has such.
struct GroupSteps {
  float scale, steps_a_unit;
  bool exist;

  /// Of a group whose largest magnitude has these bits.
  [[gnu::always_inline]] GroupSteps(uint32_t largest_bits, int32_t limit)
      : scale(std::bit_cast<float>(largest_bits) / static_cast<float>(limit)) {
    constexpr float kSmallestNormal = 0x1p-126F;
    const bool is_zero = largest_bits == 0;
    steps_a_unit = 1.0F / (is_zero ? 1.0F : scale);  // at most 2^126
    exist = largest_bits < kInfinityBits && (is_zero || scale >= kSmallestNormal);
  }
};

/// One group's integers; false where the exact route is needed, which has none. Loops that any compiler turns into
/// vectors.
template <int GroupSize>
[[gnu::always_inline]] inline bool quantize_group(const float* x, int32_t limit, int16_t* q, GroupFactors& factors) {
  uint32_t largest_bits = 0;
  for (int c = 0; c < GroupSize; ++c) {
    const uint32_t bits = std::bit_cast<uint32_t>(x[c]) & kMagnitudeBits;
    largest_bits = bits > largest_bits ? bits : largest_bits;
  }
  const GroupSteps steps(largest_bits, limit);
  if (!steps.exist) return false;
  int32_t total = 0;
  for (int c = 0; c < GroupSize; ++c) {
    const float shifted = x[c] * steps.steps_a_unit + kRounder;
    const auto rounded = static_cast<int32_t>(std::bit_cast<uint32_t>(shifted) - kRounderBits);
    q[c] = static_cast<int16_t>(rounded);
    total += rounded;
  }
  factors = {steps.scale, static_cast<float>(total)};
  return true;
}

/// As they are: what pairs of 16 bits are multiplied with.
struct WideActivations {
  using Type = int16_t;
  static constexpr int64_t kBytes = 2;
  template <int GroupSize>
  static bool quantize(const float* x, int32_t limit, int16_t* to, GroupFactors& factors) {
    return quantize_group<GroupSize>(x, limit, to, factors);
  }
};

/// Bytes, in the order of decode_quads: of each group one plane, q, or two, the high bytes of q and then the low ones.
/// Only the first plane has a sign; `Offset` is added to it.
template <int Planes, int Offset = 0>
struct BytePlanes {
  using Type = uint8_t;
  static constexpr int64_t kBytes = Planes;
  template <int GroupSize>
  static bool quantize(const float* x, int32_t limit, uint8_t* to, GroupFactors& factors) {
    int16_t q[GroupSize];
    if (!quantize_group<GroupSize>(x, limit, q, factors)) return false;
    for (int plane = 0; plane < Planes; ++plane, to += GroupSize) {
      const int shift = 8 * (Planes - 1 - plane);
      const int offset = plane == 0 ? Offset : 0;
      for (int c = 0; c < GroupSize; c += 4) {
        to[c] = static_cast<uint8_t>((q[c] >> shift) + offset);
        to[c + 1] = static_cast<uint8_t>((q[c + 2] >> shift) + offset);
        to[c + 2] = static_cast<uint8_t>((q[c + 1] >> shift) + offset);
        to[c + 3] = static_cast<uint8_t>((q[c + 3] >> shift) + offset);
      }
    }
    return true;
  }
};

/// As many groups as a vector has lanes, `stride` floats from one to the next, to integers `q_stride` apart: what is
/// largest in each, its scale and its sum are found for all of them at once, by the operations of quantize_group and to
/// the same bits. False where one has no scale.
template <typename V, typename Type, int GroupSize>
[[gnu::noinline]] bool quantize_groups(const float* x, int64_t stride, int32_t limit, Type* q, int64_t q_stride,
                                       GroupFactors* factors) {
  using Ints = typename V::Ints;
  constexpr int kGroups = V::kLanes, kVectors = GroupSize / V::kLanes;
  Ints lanes[kGroups];
  const float* from = x;
  unrolled<kGroups>([&](auto g) __attribute__((always_inline)) {
    const auto magnitudes = [&](int v) __attribute__((always_inline)) {
      return V::mask(V::load_ints(reinterpret_cast<const uint32_t*>(from + v * V::kLanes)), kMagnitudeBits);
    };
    lanes[g] = magnitudes(0);
    unrolled<kVectors - 1>([&](auto v) __attribute__((always_inline)) {
      lanes[g] = V::larger_ints(lanes[g], magnitudes(v + 1));
    });
    from += stride;
  });
  alignas(kLine) uint32_t largest_bits[kGroups];
  V::store_ints(largest_bits, V::template join_lanes<V::larger_ints>(lanes));
  alignas(kLine) float scales[kGroups], steps_a_unit[kGroups];
  int missing = 0;
  for (int g = 0; g < kGroups; ++g) {
    const GroupSteps steps(largest_bits[g], limit);
    scales[g] = steps.scale;
    steps_a_unit[g] = steps.steps_a_unit;
    missing += steps.exist ? 0 : 1;
  }
  from = x;
  unrolled<kGroups>([&](auto g) __attribute__((always_inline)) {
    const auto steps = V::broadcast(steps_a_unit[g]), rounder = V::broadcast(kRounder);
    const auto shifted = [&](int v) __attribute__((always_inline)) {
      return V::add(V::multiply(V::load(from + v * V::kLanes), steps), rounder);
    };
    lanes[g] = V::zero_ints();
    unrolled<kVectors / 2>([&](auto pair) __attribute__((always_inline)) {
      const Ints words = V::template rounded_words<Type>(shifted(2 * pair), shifted(2 * pair + 1));
      V::store_words(q + 2 * pair * V::kLanes, words);
      lanes[g] = V::dot_pairs(lanes[g], words, V::broadcast_int(0x00010001U));
    });
    from += stride, q += q_stride;
  });
  const Ints totals = V::template join_lanes<V::add_ints>(lanes);
  static_assert(sizeof(GroupFactors) == 2 * sizeof(float));
  V::store_pairs(&factors->scale, V::load(scales), V::to_floats(totals));
  return missing == 0;
}

// A core that asks for 8 KiB ahead reads a third faster than by what its hardware foresees.
inline constexpr int64_t kFloatsAhead = 2048;

/// Rows whose groups stand one behind the other; false where one has no scale.
template <typename V, typename Type, int GroupSize>
bool quantize_whole_groups(const RowQuantization& task) {
  const int64_t last = task.rows * task.groups - V::kLanes;
  auto* const q = static_cast<Type*>(task.q);
  bool all_exist = true;
  const auto quantize = [&](int64_t first) {
    const int64_t at = first * GroupSize;
    all_exist &= quantize_groups<V, Type, GroupSize>(task.x + at, GroupSize, task.limit, q + at, GroupSize,
                                                     task.factors + first);
  };
  for (int64_t first = 0; first < last; first += V::kLanes) {
    constexpr int64_t kAhead = kFloatsAhead / GroupSize;
    if (first + kAhead < last) fetch(task.x + (first + kAhead) * GroupSize, 4 * V::kLanes * GroupSize);
    quantize(first);
  }
  quantize(last);  // again those that had their turn
  return all_exist;
}

/// Rows whose last group is not full; false where a group has no scale.
template <typename V, typename Type, int GroupSize>
bool quantize_padded_rows(const RowQuantization& task) {
  const int64_t channels = task.channels, row_channels = task.groups * GroupSize, last = task.rows - V::kLanes;
  const int64_t last_group = task.groups - 1, whole = last_group * GroupSize;
  alignas(kLine) float padded[V::kLanes * GroupSize] = {};
  bool all_exist = true;
  const auto quantize_rows = [&](int64_t first) {
    const float* const x = task.x + first * channels;
    for (int row = 0; row < V::kLanes; ++row) {
      for (int64_t c = whole; c < channels; ++c) padded[row * GroupSize + c - whole] = x[row * channels + c];
    }
    for (int64_t group = 0; group < task.groups; ++group) {
      const bool is_last = group == last_group;
      Type* const q = static_cast<Type*>(task.q) + first * row_channels + group * GroupSize;
      GroupFactors factors[V::kLanes];
      all_exist &=
          quantize_groups<V, Type, GroupSize>(is_last ? padded : x + group * GroupSize, is_last ? GroupSize : channels,
                                              task.limit, q, row_channels, factors);
      for (int row = 0; row < V::kLanes; ++row) task.factors[(first + row) * task.groups + group] = factors[row];
    }
  };
  for (int64_t first = 0; first < last; first += V::kLanes) quantize_rows(first);
  quantize_rows(last);  // again those that had their turn
  return all_exist;
}

/// Whether all rows are quantized, by vectors: not where some need the exact route, nor where rows are few.
template <typename V, typename Activations, int GroupSize>
bool quantizes_by_vectors(const RowQuantization& task) {
  if constexpr (requires { &V::larger_ints; }) {
    using Type = typename Activations::Type;
    const bool is_padded = task.channels != task.groups * GroupSize;
    if ((is_padded ? task.rows : task.rows * task.groups) < V::kLanes) return false;
    for (int64_t row = 0; row < task.rows; ++row) task.exact[row] = 0;
    return is_padded ? quantize_padded_rows<V, Type, GroupSize>(task) : quantize_whole_groups<V, Type, GroupSize>(task);
  }
  return false;
}

template <typename V, typename Activations, int GroupSize>
void quantize_rows_of(const RowQuantization& task) {
  if (quantizes_by_vectors<V, Activations, GroupSize>(task)) return;
  constexpr int64_t kElements = Activations::kBytes / static_cast<int64_t>(sizeof(typename Activations::Type));
  const int64_t row_channels = task.groups * GroupSize;
  const int64_t rows_ahead = 1 + kFloatsAhead / task.channels;
  for (int64_t row = 0; row < task.rows; ++row) {
    auto* to = static_cast<typename Activations::Type*>(task.q) + row * row_channels * kElements;
    GroupFactors* factors = task.factors + row * task.groups;
    bool is_exact = false;
    if (row + rows_ahead < task.rows) fetch(task.x + (row + rows_ahead) * task.channels, 4 * task.channels);
    for (int64_t group = 0; group < task.groups; ++group) {
      const float* x = task.x + row * task.channels + group * GroupSize;
      const int64_t left = task.channels - group * GroupSize;
      float padded[GroupSize];
      if (left < GroupSize) {
        for (int64_t c = 0; c < GroupSize; ++c) padded[c] = c < left ? x[c] : 0.0F;
        x = padded;
      }
      is_exact |=
          !Activations::template quantize<GroupSize>(x, task.limit, to + group * GroupSize * kElements, factors[group]);
    }
    task.exact[row] = is_exact ? 1 : 0;
    if (!is_exact) continue;
    for (int64_t c = 0; c < row_channels * kElements; ++c) to[c] = 0;
    for (int64_t group = 0; group < task.groups; ++group) factors[group] = {0, 0};
  }
}

template <typename V, typename Activations>
void quantize_rows(const RowQuantization& task) {
  switch (task.group_size) {
    case 32:
      return quantize_rows_of<V, Activations, 32>(task);
    case 64:
      return quantize_rows_of<V, Activations, 64>(task);
    default:
      return quantize_rows_of<V, Activations, kLargestGroup>(task);
  }
}

}  // namespace
}  // namespace lattice::cpu
