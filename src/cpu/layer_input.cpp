#include "cpu/layer_input.h"

#include <algorithm>

namespace lattice::cpu {
namespace {

// Values a task: enough to pay for its start.
constexpr int64_t kTaskValues = int64_t{1} << 15;

int64_t rows_a_task(int64_t channels) {
  return std::max<int64_t>(1, kTaskValues / channels);
}

/// Of 16-bit floats.
const uint16_t* bits(const Tensor& x) {
  return static_cast<const uint16_t*>(x.raw());
}

/// The rows that a route cannot take, or null where there are none.
const uint8_t* some_exact(const uint8_t* exact, int64_t rows) {
  return std::find(exact, exact + rows, 1) != exact + rows ? exact : nullptr;
}

}  // namespace

std::optional<Rounding> Rounding::in(Numerics numerics, const Kernels& kernels) {
  if (numerics == Numerics::int8) return Rounding{&kernels.narrow, 127};
  if (numerics == Numerics::int16 && !kernels.split.exists()) return Rounding{&kernels.wide, 32767};
  return {};
}

RoundedRows::RoundedRows(const Rounding& rounding, const PanelWeight& weight, int64_t rows, int64_t channels,
                         RowScratch& scratch)
    : rounding_(rounding),
      rows_(rows),
      channels_(channels),
      groups_(weight.groups()),
      group_size_(weight.group_size()),
      q_(scratch.rows.take<uint8_t>(rows * groups_ * group_size_ * rounding.route->activation_bytes)),
      factors_(scratch.factors.take<GroupFactors>(rows * groups_)),
      exact_(scratch.exact.take<uint8_t>(rows)) {}

void RoundedRows::round(const float* x, int64_t first, int64_t last) const {
  const int64_t row_bytes = groups_ * group_size_ * rounding_.route->activation_bytes;
  rounding_.route->quantize({.x = x + first * channels_,
                             .rows = last - first,
                             .channels = channels_,
                             .groups = groups_,
                             .group_size = group_size_,
                             .limit = rounding_.limit,
                             .q = q_ + first * row_bytes,
                             .factors = factors_ + first * groups_,
                             .exact = exact_ + first});
}

PackedRows RoundedRows::packed() const {
  return {.codes = &rounding_.route->codes, .x = q_, .factors = factors_, .exact = some_exact(exact_, rows_)};
}

void LayerInput::read(const Tensor& x, const Kernels& kernels, Numerics numerics, const PanelWeight& weight,
                      Workers& workers) {
  floats_ = nullptr;
  packed_rows_ = {};
  bf16_rows_ = {};
  split_rows_ = nullptr;
  if (numerics == Numerics::bfloat16 && weight.is_packed()) {
    sum_groups(x, kernels.bf16, weight, workers);
    if (packed_rows_.exact != nullptr) widen(x, kernels, workers);
    return;
  }
  if (numerics == Numerics::bfloat16 && weight.is_bf16()) {
    bf16_rows_ = {.x = padded(bits(x), x.size(0), x.size(1), weight.padded_channels(), workers),
                  .stride = weight.padded_channels()};
    return;
  }
  widen(x, kernels, workers);
  if (!weight.is_packed()) return;
  const int64_t rows = x.size(0), channels = x.size(1);
  if (const auto rounding = Rounding::in(numerics, kernels)) {
    const RoundedRows rounded(*rounding, weight, rows, channels, scratch_);
    workers.for_blocks(rows, rows_a_task(channels),
                       [&](int64_t first, int64_t last) { rounded.round(floats_, first, last); });
    packed_rows_ = rounded.packed();
  } else if (numerics == Numerics::int16) {
    split_rows_ = padded(floats_, rows, channels, weight.groups() * weight.group_size(), workers);
  }
}

void LayerInput::widen(const Tensor& x, const Kernels& kernels, Workers& workers) {
  if (x.dtype() == DType::f32) {
    floats_ = x.data<float>();
    return;
  }
  auto* wide = wide_.take<float>(x.elements());
  const uint16_t* from = bits(x);
  const auto widen = x.dtype() == DType::f16 ? kernels.widen_f16 : kernels.widen_bf16;
  workers.for_blocks(x.elements(), kTaskValues, [&](int64_t first, int64_t last) {
    widen({.from = from + first, .to = wide + first, .count = last - first});
  });
  floats_ = wide;
}

template <typename T>
const T* LayerInput::padded(const T* from, int64_t rows, int64_t channels, int64_t row_channels, Workers& workers) {
  const bool is_aligned = reinterpret_cast<uintptr_t>(from) % sizeof(uint32_t) == 0;  // for channels in pairs
  if (channels == row_channels && is_aligned) return from;
  auto* to = scratch_.rows.take<T>(rows * row_channels);
  workers.for_blocks(rows, rows_a_task(row_channels), [&](int64_t first, int64_t last) {
    for (int64_t row = first; row < last; ++row) {
      T* end = std::copy_n(from + row * channels, channels, to + row * row_channels);
      std::fill_n(end, row_channels - channels, T{0});
    }
  });
  return to;
}

void LayerInput::sum_groups(const Tensor& x, const Bf16Route& route, const PanelWeight& weight, Workers& workers) {
  const int64_t rows = x.size(0), groups = weight.groups(), row_channels = groups * weight.group_size();
  const uint16_t* from = padded(bits(x), rows, x.size(1), row_channels, workers);
  auto* factors = scratch_.factors.take<GroupFactors>(rows * groups);
  auto* exact = scratch_.exact.take<uint8_t>(rows);
  workers.for_blocks(rows, rows_a_task(row_channels), [&](int64_t first, int64_t last) {
    route.sum_groups({.x = from + first * row_channels,
                      .rows = last - first,
                      .groups = groups,
                      .group_size = weight.group_size(),
                      .factors = factors + first * groups,
                      .exact = exact + first});
  });
  packed_rows_ = {.codes = &route.codes, .x = from, .factors = factors, .exact = some_exact(exact, rows)};
}

}  // namespace lattice::cpu
