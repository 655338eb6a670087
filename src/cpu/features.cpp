#include <algorithm>
#include <cmath>
#include <cstring>

#include "activation.h"
#include "combine.h"
#include "cpu/cpu_backend.h"

namespace lattice::cpu {
namespace {

// Rows a task: some 64 KiB of 64 channels, so that a task costs more than its start.
constexpr int64_t kBlockRows = 256;

/// result[row] from x[row], by each(input row, output row).
template <typename Each>
Tensor map_rows(const Tensor& x, Workers& workers, const Each& each) {
  Tensor y = Tensor::empty(x.dtype(), x.shape());
  const int64_t channels = x.size(1);
  with_feature_type(x.dtype(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const T* from = x.data<T>();
    T* to = y.mutable_data<T>();
    workers.for_blocks(x.size(0), kBlockRows, [&](int64_t first, int64_t last) {
      for (int64_t row = first; row < last; ++row) each(from + row * channels, to + row * channels);
    });
  });
  return y;
}

int64_t output_rows(const Tensor& lhs, const JoinedRows* rows) {
  return rows == nullptr ? lhs.size(0) : static_cast<int64_t>(rows->lhs_row.size());
}

/// The row of `x` that output row o reads, or null.
template <typename T>
const T* side(const T* x, int64_t channels, const PooledVector<int32_t>* rows, int64_t o) {
  const int64_t row = rows == nullptr ? o : (*rows)[static_cast<size_t>(o)];
  return row < 0 ? nullptr : x + row * channels;
}

/// The operation is a template's, so that each has a loop that the compiler can vectorize.
template <BinaryOp op>
Tensor combine_rows(const Tensor& lhs, const Tensor& rhs, const JoinedRows* rows, const BinaryOptions& options,
                    Workers& workers) {
  const int64_t channels = lhs.size(1);
  Tensor y = Tensor::empty(lhs.dtype(), {output_rows(lhs, rows), channels});
  with_feature_type(lhs.dtype(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const T* left = lhs.data<T>();
    const T* right = rhs.data<T>();
    T* to = y.mutable_data<T>();
    workers.for_blocks(y.size(0), kBlockRows, [&](int64_t first, int64_t last) {
      for (int64_t o = first; o < last; ++o) {
        const T* a = side(left, channels, rows ? &rows->lhs_row : nullptr, o);
        const T* b = side(right, channels, rows ? &rows->rhs_row : nullptr, o);
        for (int64_t c = 0; c < channels; ++c) {
          const float x = a ? static_cast<float>(a[c]) : options.lhs_fill;
          const float z = b ? static_cast<float>(b[c]) : options.rhs_fill;
          to[o * channels + c] = static_cast<T>(combine(op, x, z));
        }
      }
    });
  });
  return y;
}

}  // namespace

Tensor CpuBackend::binary(const Tensor& lhs, const Tensor& rhs, const JoinedRows* rows, const BinaryOptions& options) {
  switch (options.op) {
    case BinaryOp::add:
      return combine_rows<BinaryOp::add>(lhs, rhs, rows, options, workers_);
    case BinaryOp::sub:
      return combine_rows<BinaryOp::sub>(lhs, rhs, rows, options, workers_);
    case BinaryOp::mul:
      return combine_rows<BinaryOp::mul>(lhs, rhs, rows, options, workers_);
    case BinaryOp::maximum:
      return combine_rows<BinaryOp::maximum>(lhs, rhs, rows, options, workers_);
    case BinaryOp::minimum:
      break;
  }
  return combine_rows<BinaryOp::minimum>(lhs, rhs, rows, options, workers_);
}

Tensor CpuBackend::cat(const Tensor& lhs, const Tensor& rhs, const JoinedRows* rows) {
  const int64_t left_channels = lhs.size(1);
  const int64_t right_channels = rhs.size(1);
  Tensor y = Tensor::empty(lhs.dtype(), {output_rows(lhs, rows), left_channels + right_channels});
  with_feature_type(lhs.dtype(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const T* left = lhs.data<T>();
    const T* right = rhs.data<T>();
    T* out = y.mutable_data<T>();
    const auto put = [](const T* from, int64_t count, T* to) {
      if (from != nullptr) {
        std::copy_n(from, count, to);
      } else {
        std::fill_n(to, count, T{});
      }
    };
    workers_.for_blocks(y.size(0), kBlockRows, [&](int64_t first, int64_t last) {
      for (int64_t o = first; o < last; ++o) {
        T* to = out + o * (left_channels + right_channels);
        put(side(left, left_channels, rows ? &rows->lhs_row : nullptr, o), left_channels, to);
        put(side(right, right_channels, rows ? &rows->rhs_row : nullptr, o), right_channels, to + left_channels);
      }
    });
  });
  return y;
}

void CpuBackend::put(const Tensor& x, const Columns& columns) {
  const size_t element = size_of(x.dtype()), width = static_cast<size_t>(x.size(1)) * element,
               stride = static_cast<size_t>(columns.total) * element;
  const auto* const from = static_cast<const std::byte*>(x.raw());
  auto* const to =
      static_cast<std::byte*>(columns.tensor->mutable_raw()) + static_cast<size_t>(columns.first) * element;
  workers_.for_blocks(x.size(0), kBlockRows, [&](int64_t first, int64_t last) {
    for (auto row = static_cast<size_t>(first); row < static_cast<size_t>(last); ++row) {
      std::memcpy(to + row * stride, from + row * width, width);
    }
  });
}

Tensor CpuBackend::activate(const Tensor& x, const Activation& activation) {
  const int64_t channels = x.size(1);
  return map_rows(x, workers_, [&](const auto* from, auto* to) {
    using T = std::remove_pointer_t<decltype(to)>;
    for (int64_t c = 0; c < channels; ++c) to[c] = static_cast<T>(apply(activation, static_cast<float>(from[c])));
  });
}

Tensor CpuBackend::batch_norm(const Tensor& x, const Tensor& scale, const Tensor& shift, const Tensor& mean,
                              const Tensor& variance, float eps) {
  const int64_t channels = x.size(1);
  const Tensor widened_scale = scale.to(DType::f32);
  const Tensor widened_shift = shift.to(DType::f32);
  const Tensor widened_mean = mean.to(DType::f32);
  const Tensor widened_variance = variance.to(DType::f32);
  PooledVector<float> slope(static_cast<size_t>(channels));
  for (int64_t c = 0; c < channels; ++c) {
    const double deviation = std::sqrt(double{widened_variance.data<float>()[c]} + double{eps});
    slope[static_cast<size_t>(c)] = static_cast<float>(double{widened_scale.data<float>()[c]} / deviation);
  }
  const float* s = slope.data();
  const float* m = widened_mean.data<float>();
  const float* b = widened_shift.data<float>();
  return map_rows(x, workers_, [&](const auto* from, auto* to) {
    using T = std::remove_pointer_t<decltype(to)>;
    for (int64_t c = 0; c < channels; ++c) to[c] = static_cast<T>((static_cast<float>(from[c]) - m[c]) * s[c] + b[c]);
  });
}

Tensor CpuBackend::layer_norm(const Tensor& x, const Tensor& scale, const Tensor& shift, float eps) {
  const int64_t channels = x.size(1);
  const Tensor widened_scale = scale.to(DType::f32);
  const Tensor widened_shift = shift.to(DType::f32);
  const float* s = widened_scale.data<float>();
  const float* b = widened_shift.data<float>();
  return map_rows(x, workers_, [&](const auto* from, auto* to) {
    using T = std::remove_pointer_t<decltype(to)>;
    // The moments in double precision: x - mean cancels where a row's values are close to each other.
    double sum = 0;
    for (int64_t c = 0; c < channels; ++c) sum += static_cast<float>(from[c]);
    const double mean = sum / static_cast<double>(channels);
    double squares = 0;
    for (int64_t c = 0; c < channels; ++c) {
      const double distance = static_cast<float>(from[c]) - mean;
      squares += distance * distance;
    }
    const double slope = 1 / std::sqrt(squares / static_cast<double>(channels) + double{eps});
    for (int64_t c = 0; c < channels; ++c) {
      const auto normal = static_cast<float>((static_cast<float>(from[c]) - mean) * slope);
      to[c] = static_cast<T>(normal * s[c] + b[c]);
    }
  });
}

Tensor CpuBackend::rms_norm(const Tensor& x, const Tensor& scale, float eps) {
  const int64_t channels = x.size(1);
  const Tensor widened_scale = scale.to(DType::f32);
  const float* s = widened_scale.data<float>();
  return map_rows(x, workers_, [&](const auto* from, auto* to) {
    using T = std::remove_pointer_t<decltype(to)>;
    double squares = 0;  // in double precision, whose range holds the square of any float
    for (int64_t c = 0; c < channels; ++c) squares += double{static_cast<float>(from[c])} * static_cast<float>(from[c]);
    const double slope = 1 / std::sqrt(squares / static_cast<double>(channels) + double{eps});
    for (int64_t c = 0; c < channels; ++c) {
      to[c] = static_cast<T>(static_cast<float>(static_cast<float>(from[c]) * slope) * s[c]);
    }
  });
}

Tensor CpuBackend::softmax(const Tensor& x) {
  const int64_t channels = x.size(1);
  return map_rows(x, workers_, [&](const auto* from, auto* to) {
    using T = std::remove_pointer_t<decltype(to)>;
    auto largest = static_cast<float>(from[0]);
    for (int64_t c = 1; c < channels; ++c) largest = std::max(largest, static_cast<float>(from[c]));
    const auto power = [&](int64_t c) { return std::exp(static_cast<float>(from[c]) - largest); };
    double sum = 0;
    for (int64_t c = 0; c < channels; ++c) sum += power(c);
    for (int64_t c = 0; c < channels; ++c) to[c] = static_cast<T>(static_cast<float>(power(c) / sum));
  });
}

Tensor CpuBackend::elementwise(const Tensor& x, ElementwiseKind kind) {
  const int64_t channels = x.size(1);
  return map_rows(x, workers_, [&](const auto* from, auto* to) {
    using T = std::remove_pointer_t<decltype(to)>;
    for (int64_t c = 0; c < channels; ++c) {
      const auto value = static_cast<float>(from[c]);
      to[c] = static_cast<T>(kind == ElementwiseKind::exp ? std::exp(value) : std::nearbyint(value));
    }
  });
}

}  // namespace lattice::cpu
