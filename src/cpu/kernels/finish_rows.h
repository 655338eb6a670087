#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

#include "cpu/kernels/fetch.h"
#include "cpu/kernels/kernels.h"

// The end of a convolution: loops that any compiler turns into vectors. Included by one file an instruction set.

namespace lattice::cpu {
namespace {

// Rows are written in an order that no hardware foresees.
constexpr int64_t kRowsAhead = 8;

// A row of so few channels is over before a loop in whole vectors begins.
constexpr int64_t kNarrowRow = 16, kNarrowStep = 4;

/// In steps of so many channels, of which a row has a multiple; a line each, where they are streamed.
template <bool IsAffine, bool HasResidual, Negative Below, int64_t Step, bool Streams = false>
void finish_rows_of(const RowFinish& task) {
  static_assert(!Streams || Step == kLineFloats);
  alignas(kLine) std::array<float, Streams ? kLineFloats : 1> line;
  for (int64_t r = 0; r < task.rows; ++r) {
    if (r + kRowsAhead < task.rows) {
      const int64_t ahead = task.order[r + kRowsAhead];
      if constexpr (!Streams) fetch_to_write(task.y + ahead * task.stride, 4 * task.channels);
      if constexpr (HasResidual) fetch(task.residual + ahead * task.residual_stride, 4 * task.channels);
    }
    const float* __restrict sums = task.sums + r * task.sums_stride;
    const int64_t row = task.order[r];
    float* __restrict y = task.y + row * task.stride;
    const float* __restrict residual = task.residual + (HasResidual ? row * task.residual_stride : 0);
    for (int64_t begin = 0; begin < task.channels; begin += Step) {
      for (int64_t c = begin; c < begin + Step; ++c) {
        float sum = sums[c];
        if constexpr (IsAffine) sum = (sum + task.bias[c]) * task.scale[c] + task.shift[c];
        if constexpr (HasResidual) sum += residual[c];
        if constexpr (Below == Negative::zeroed) sum = sum < 0 ? 0 : sum;
        if constexpr (Below == Negative::sloped) sum = sum < 0 ? sum * task.slope : sum;
        if constexpr (Streams) line[static_cast<size_t>(c - begin)] = sum;
        if constexpr (!Streams) y[c] = sum;
      }
      if constexpr (Streams) stream_line(y + begin, line.data());
    }
  }
  if constexpr (Streams) end_streams();
}

template <bool IsAffine, bool HasResidual, Negative Below>
void finish_rows_in_steps(const RowFinish& task) {
  if (task.streams) return finish_rows_of<IsAffine, HasResidual, Below, kLineFloats, true>(task);
  const bool is_narrow = task.channels <= kNarrowRow && task.channels % kNarrowStep == 0;
  return is_narrow ? finish_rows_of<IsAffine, HasResidual, Below, kNarrowStep>(task)
                   : finish_rows_of<IsAffine, HasResidual, Below, 1>(task);
}

template <bool IsAffine, bool HasResidual>
void finish_rows_below(const RowFinish& task) {
  switch (task.negative) {
    case Negative::kept:
      return finish_rows_in_steps<IsAffine, HasResidual, Negative::kept>(task);
    case Negative::zeroed:
      return finish_rows_in_steps<IsAffine, HasResidual, Negative::zeroed>(task);
    case Negative::sloped:
      return finish_rows_in_steps<IsAffine, HasResidual, Negative::sloped>(task);
  }
}

inline void finish_rows(const RowFinish& task) {
  if (task.bias != nullptr) {
    return task.residual != nullptr ? finish_rows_below<true, true>(task) : finish_rows_below<true, false>(task);
  }
  return task.residual != nullptr ? finish_rows_below<false, true>(task) : finish_rows_below<false, false>(task);
}

}  // namespace
}  // namespace lattice::cpu
