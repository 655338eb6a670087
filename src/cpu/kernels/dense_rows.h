#pragma once

#include <cstdint>
#include <type_traits>

#include "cpu/kernels/fetch.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/products.h"
#include "cpu/kernels/unrolled.h"

// Products of few channels whose sums are complete at once: over before sums in a buffer, and a loop that finishes
// them, would begin. What is done to a sum is done in its register. Included by one file an instruction set.

namespace lattice::cpu {
namespace {

/// Where the rows of a task stand: one behind the other.
struct RowsInOrder {
  static int64_t input(const DenseRows&, int64_t row) { return row; }
  static int64_t output(const DenseRows&, int64_t row) { return row; }
  /// Fetches the rows first .. first + count - 1 where they are so wide that a core loses sight of them.
  [[gnu::always_inline]] static void fetch_rows(const DenseRows& task, int64_t first, int64_t count) {
    constexpr int64_t kForeseen = 64;
    if (task.channels > kForeseen) fetch(task.x + first * task.channels, 4 * task.channels * count);
  }
};

/// Or where the edges say.
struct RowsOfEdges {
  static int64_t input(const DenseRows& task, int64_t edge) { return task.input[edge]; }
  static int64_t output(const DenseRows& task, int64_t edge) { return task.finish.order[task.slot[edge]]; }
  /// Fetches what the edges first .. first + count - 1 read and write, as far as there are so many.
  [[gnu::always_inline]] static void fetch_rows(const DenseRows& task, int64_t first, int64_t count) {
    const int64_t end = first + count < task.finish.rows ? first + count : task.finish.rows;
    for (int64_t edge = first; edge < end; ++edge) {
      fetch(task.x + input(task, edge) * task.channels, 4 * task.channels);
      if (task.finish.streams) continue;
      fetch_to_write(task.finish.y + output(task, edge) * task.finish.stride, 4 * task.finish.channels);
    }
  }
};

/// The end of N vectors of outputs.
template <typename V, int N>
class DenseFinish {
 public:
  using Vector = typename V::Vector;

  explicit DenseFinish(const RowFinish& task)
      : residual_(task.residual),
        residual_stride_(task.residual_stride),
        y_(task.y),
        stride_(task.stride),
        last_(V::first_lanes(task.channels - (N - 1) * V::kLanes)),
        is_affine_(task.bias != nullptr),
        is_zeroed_(task.negative == Negative::zeroed),
        streams_(task.streams) {
    if (!is_affine_) return;
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      bias_[n] = load<n>(task.bias);
      scale_[n] = load<n>(task.scale);
      shift_[n] = load<n>(task.shift);
    });
  }

  bool streams() const noexcept { return streams_; }
  template <bool Streams>
  [[gnu::always_inline]] void store(int64_t row, const Vector* of_row) const {
    // All is read before anything is stored: for all that a compiler knows, that changes *this.
    const auto last = last_;
    float* const y = y_ + row * stride_;
    Vector sums[N];
    unrolled<N>([&](auto n) __attribute__((always_inline)) { sums[n] = of_row[n]; });
    if (is_affine_) {
      unrolled<N>([&](auto n) __attribute__((always_inline)) {
        sums[n] = V::add(V::multiply(V::add(sums[n], bias_[n]), scale_[n]), shift_[n]);
      });
    }
    if (residual_ != nullptr) {
      const float* const residual = residual_ + row * residual_stride_;
      unrolled<N>([&](auto n) __attribute__((always_inline)) { sums[n] = V::add(sums[n], load<n>(residual)); });
    }
    if (is_zeroed_) {
      unrolled<N>([&](auto n) __attribute__((always_inline)) { sums[n] = V::zero_below(sums[n]); });
    }
    unrolled<N>([&](auto n) __attribute__((always_inline)) {
      if constexpr (Streams) {  // whole vectors
        stream(y + n * V::kLanes, sums[n]);
      } else if constexpr (n + 1 == N) {
        V::store(y + n * V::kLanes, sums[n], last);
      } else {
        V::store(y + n * V::kLanes, sums[n]);
      }
    });
  }

 private:
  template <int n>
  [[gnu::always_inline]] Vector load(const float* from) const {
    if constexpr (n + 1 == N) return V::load(from + n * V::kLanes, last_);
    return V::load(from + n * V::kLanes);
  }

  const float* residual_;
  int64_t residual_stride_;
  float* y_;
  int64_t stride_;
  typename V::Mask last_;  // of the last vector
  bool is_affine_, is_zeroed_, streams_;
  Vector bias_[N], scale_[N], shift_[N];
};

/// The end of the channels from `first` on.
inline RowFinish channels_from(RowFinish task, int64_t first) {
  if (task.bias != nullptr) {
    task.bias += first;
    task.scale += first;
    task.shift += first;
  }
  if (task.residual != nullptr) task.residual += first;
  task.y += first;
  task.channels -= first;
  return task;
}

/// Points at the rows first .. first + R - 1, and fetches those behind them.
template <typename Rows, int R>
[[gnu::always_inline]] inline void find_rows(const DenseRows& task, int64_t first, const float* (&x)[R]) {
  Rows::fetch_rows(task, first + R, R);
  unrolled<R>([&](auto r)
                  __attribute__((always_inline)) { x[r] = task.x + Rows::input(task, first + r) * task.channels; });
}

template <typename V, int Count>
[[gnu::always_inline]] inline void clear(typename V::Vector (&sums)[Count]) {
  unrolled<Count>([&](auto i) __attribute__((always_inline)) { sums[i] = V::broadcast(0.0F); });
}

/// A step of the panel is `Stride` vectors.
template <typename V, typename Rows, int R, int N, int Stride = N>
[[gnu::noinline]] void multiply_dense(const DenseRows& task, const DenseFinish<V, N>& finish, int64_t first) {
  const float* x[R];
  typename V::Vector sums[R * N];
  find_rows<Rows>(task, first, x);
  clear<V>(sums);
  add_steps<V, FloatStep<V>, R, N, Stride>(sums, x, task.panel, 0, task.channels);
  const auto store = [&](auto streams) __attribute__((always_inline)) {
    unrolled<R>([&](auto r) __attribute__((always_inline)) {
      finish.template store<streams>(Rows::output(task, first + r), sums + r * N);
    });
  };
  finish.streams() ? store(std::true_type()) : store(std::false_type());
}

/// The same of N vectors and a half one.
template <typename V, typename Rows, int R, int N>
[[gnu::noinline]] void multiply_dense_and_half(const DenseRows& task, const DenseFinish<V, N>& finish,
                                               const DenseFinish<typename V::Half, 1>& half_finish, int64_t first) {
  using Half = typename V::Half;
  const float* x[R];
  typename V::Vector sums[R * N];
  typename Half::Vector half_sums[R];
  find_rows<Rows>(task, first, x);
  clear<V>(sums);
  clear<Half>(half_sums);
  add_steps_and_half<V, R, N>(sums, half_sums, x, task.panel, task.channels);
  unrolled<R>([&](auto r) __attribute__((always_inline)) {
    const int64_t row = Rows::output(task, first + r);
    finish.template store<false>(row, sums + r * N);
    half_finish.template store<false>(row, half_sums + r);
  });
}

/// Rows of N vectors, the last of which is half full at most.
template <typename V, typename Rows, int N>
void dense_rows_with_half(const DenseRows& task) {
  using Half = typename V::Half;
  constexpr int64_t kWhole = (N - 1) * V::kLanes;
  const DenseFinish<Half, 1> half_finish(channels_from(task.finish, kWhole));
  if constexpr (N == 1) {
    for_row_blocks<V::rows(1)>(task.finish.rows, [&](auto r, int64_t first) {
      multiply_dense<Half, Rows, r, 1, 2>(task, half_finish, first);
    });
  } else {
    RowFinish whole = task.finish;
    whole.channels = kWhole;
    const DenseFinish<V, N - 1> finish(whole);
    for_row_blocks<V::rows(N)>(task.finish.rows, [&](auto r, int64_t first) {
      multiply_dense_and_half<V, Rows, r, N - 1>(task, finish, half_finish, first);
    });
  }
}

/// So few outputs, beside so many channels, that the lanes of a vector are better channels.
inline constexpr int64_t kMostFew = 4, kChannelsAnOutput = 8;

/// R rows of O outputs. `weights` is (O, channels), each row filled up with zeros to `padded`, whole vectors.
template <typename V, typename Rows, int R, int O>
[[gnu::noinline]] void multiply_few(const DenseRows& task, const float* weights, int64_t padded, int64_t first) {
  const float* x[R];
  typename V::Vector sums[R * O];
  find_rows<Rows>(task, first, x);
  clear<V>(sums);
  const auto add = [&](int64_t c, const auto& load) __attribute__((always_inline)) {
    typename V::Vector weight[O];
    unrolled<O>([&](auto o) __attribute__((always_inline)) { weight[o] = V::load(weights + o * padded + c); });
    unrolled<R>([&](auto r) __attribute__((always_inline)) {
      const auto values = load(x[r] + c);
      unrolled<O>([&](auto o) __attribute__((always_inline)) {
        sums[r * O + o] = V::multiply_add(values, weight[o], sums[r * O + o]);
      });
    });
  };
  int64_t c = 0;
  for (; c + V::kLanes <= task.channels; c += V::kLanes) add(c, [](const float* from) { return V::load(from); });
  if (c < task.channels) {
    const auto lanes = V::first_lanes(task.channels - c);
    add(c, [&](const float* from) { return V::load(from, lanes); });
  }
  const RowFinish& finish = task.finish;
  unrolled<R>([&](auto r) __attribute__((always_inline)) {
    const int64_t row = Rows::output(task, first + r);
    unrolled<O>([&](auto o) __attribute__((always_inline)) {
      float sum = V::total(sums[r * O + o]);
      if (finish.bias != nullptr) sum = (sum + finish.bias[o]) * finish.scale[o] + finish.shift[o];
      if (finish.residual != nullptr) sum += finish.residual[row * finish.residual_stride + o];
      if (finish.negative == Negative::zeroed) sum = sum < 0 ? 0 : sum;
      finish.y[row * finish.stride + o] = sum;
    });
  });
}

/// Whether dense_rows_of_few() makes the rows of a task.
template <typename V>
bool are_few(const DenseRows& task) {
  const int64_t outputs = task.finish.channels;
  return outputs <= kMostFew && task.channels >= kChannelsAnOutput * outputs && task.channels >= V::kLanes;
}

template <typename V, typename Rows>
void dense_rows_of_few(const DenseRows& task) {
  alignas(64) float weights[kMostFew * kMostDenseChannels];
  const int64_t outputs = task.finish.channels;
  const int64_t padded = (task.channels + V::kLanes - 1) / V::kLanes * V::kLanes;
  for (int64_t o = 0; o < outputs; ++o) {
    for (int64_t c = 0; c < padded; ++c) {
      weights[o * padded + c] = c < task.channels ? task.panel[c * task.width + o] : 0.0F;
    }
  }
  unrolled<kMostFew>([&](auto o) __attribute__((always_inline)) {
    constexpr int kOutputs = o + 1;
    if (outputs != kOutputs) return;
    constexpr int kRows = V::kLanes == 8 && kOutputs > 2 ? 2 : 4;  // 8 sums where there are 16 registers
    for_row_blocks<kRows>(task.finish.rows, [&](auto r, int64_t first) {
      multiply_few<V, Rows, r, kOutputs>(task, weights, padded, first);
    });
  });
}

/// One row after the other, with all weights in registers. (To fetch the rows ahead costs more than they take.)
template <typename V, typename Rows, int Channels>
[[gnu::noinline]] void multiply_narrow(const DenseRows& task) {
  using Vector = typename V::Vector;
  const DenseFinish<V, 1> finish(task.finish);
  Vector weights[Channels];
  unrolled<Channels>([&](auto c) __attribute__((always_inline)) { weights[c] = V::load(task.panel + c * V::kLanes); });
  for (int64_t row = 0, rows = task.finish.rows; row < rows; ++row) {
    const float* const x = task.x + Rows::input(task, row) * Channels;
    Vector sum = V::multiply(V::broadcast(x[0]), weights[0]);
    unrolled<Channels - 1>([&](auto c) __attribute__((always_inline)) {
      sum = V::multiply_add(V::broadcast(x[c + 1]), weights[c + 1], sum);
    });
    const int64_t output = Rows::output(task, row);
    finish.streams() ? finish.template store<true>(output, &sum) : finish.template store<false>(output, &sum);
  }
}

/// Rows of four channels to rows of four, as many at once as a vector holds.
template <typename V>
[[gnu::noinline]] void multiply_fours(const DenseRows& task) {
  using Vector = typename V::Vector;
  const RowFinish& finish = task.finish;
  Vector weights[4];
  unrolled<4>([&](auto c) __attribute__((always_inline)) { weights[c] = V::repeat_four(task.panel + c * task.width); });
  const bool is_affine = finish.bias != nullptr, is_zeroed = finish.negative == Negative::zeroed;
  const auto repeat = [is_affine](const float* from) { return is_affine ? V::repeat_four(from) : V::broadcast(0); };
  const Vector bias = repeat(finish.bias), scale = repeat(finish.scale), shift = repeat(finish.shift);
  const auto multiply = [&](const Vector& x, const auto& load_residual) __attribute__((always_inline)) {
    Vector sum = V::multiply(V::template spread_in_fours<0>(x), weights[0]);
    unrolled<3>([&](auto c) __attribute__((always_inline)) {
      sum = V::multiply_add(V::template spread_in_fours<c + 1>(x), weights[c + 1], sum);
    });
    if (is_affine) sum = V::add(V::multiply(V::add(sum, bias), scale), shift);
    if (finish.residual != nullptr) sum = V::add(sum, load_residual());
    return is_zeroed ? V::zero_below(sum) : sum;
  };
  const int64_t count = finish.rows * 4;
  int64_t at = 0;
  for (; at + V::kLanes <= count; at += V::kLanes) {
    V::store(finish.y + at, multiply(V::load(task.x + at), [&] { return V::load(finish.residual + at); }));
  }
  if (at == count) return;
  const auto lanes = V::first_lanes(count - at);
  V::store(finish.y + at, multiply(V::load(task.x + at, lanes), [&] { return V::load(finish.residual + at, lanes); }),
           lanes);
}

/// Whether multiply_fours() makes the rows of a task.
template <typename V>
bool are_fours(const DenseRows& task) {
  const RowFinish& finish = task.finish;
  return task.input == nullptr && task.channels == 4 && finish.channels == 4 && finish.stride == 4 &&
         (finish.residual == nullptr || finish.residual_stride == 4);
}

template <typename V, typename Rows>
void dense_rows_at(const DenseRows& task) {
  if (are_few<V>(task)) return dense_rows_of_few<V, Rows>(task);
  for_vectors<V>(task.width, [&](auto n) {
    if constexpr (n == 1 && V::kNarrowVectors > 0) {
      if (task.channels <= V::kHeldWeights) {
        unrolled<V::kHeldWeights>([&](auto c) __attribute__((always_inline)) {
          if (task.channels == c + 1) multiply_narrow<V, Rows, c + 1>(task);
        });
        return;
      }
    }
    if constexpr (requires { typename V::Half; }) {
      if (task.finish.channels - (n - 1) * V::kLanes <= V::kLanes / 2) return dense_rows_with_half<V, Rows, n>(task);
    }
    const DenseFinish<V, n> finish(task.finish);
    for_row_blocks<V::rows(n)>(task.finish.rows,
                               [&](auto r, int64_t first) { multiply_dense<V, Rows, r, n>(task, finish, first); });
  });
}

template <typename V>
void dense_rows(const DenseRows& task) {
  if constexpr (requires { V::repeat_four; }) {
    if (are_fours<V>(task)) return multiply_fours<V>(task);
  }
  task.input == nullptr ? dense_rows_at<V, RowsInOrder>(task) : dense_rows_at<V, RowsOfEdges>(task);
  if (task.finish.streams) end_streams();
}

}  // namespace
}  // namespace lattice::cpu
