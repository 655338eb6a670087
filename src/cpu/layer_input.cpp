#include "cpu/layer_input.h"

#include <algorithm>

namespace lattice::cpu {
namespace {

// Values a task: enough to pay for its start.
constexpr int64_t kTaskValues = int64_t{1} << 15;

}  // namespace

void LayerInput::read(const Tensor& x, const Kernels& kernels, const IntegerRoute* route, int32_t limit,
                      const PanelWeight& weight, Workers& workers) {
  if (x.dtype() == DType::f32) {
    floats_ = x.data<float>();
  } else {
    auto* wide = wide_.take<float>(x.elements());
    const auto* from = static_cast<const uint16_t*>(x.raw());
    const auto widen = x.dtype() == DType::f16 ? kernels.widen_f16 : kernels.widen_bf16;
    workers.for_blocks(x.elements(), kTaskValues, [&](int64_t first, int64_t last) {
      widen({.from = from + first, .to = wide + first, .count = last - first});
    });
    floats_ = wide;
  }
  integers_ = {};
  if (route != nullptr) quantize(x.size(0), x.size(1), *route, limit, weight, workers);
}

void LayerInput::quantize(int64_t rows, int64_t channels, const IntegerRoute& route, int32_t limit,
                          const PanelWeight& weight, Workers& workers) {
  const int64_t groups = weight.groups();
  const int64_t row_bytes = groups * weight.group_size() * route.activation_bytes;
  auto* q = q_.take<uint8_t>(rows * row_bytes);
  auto* scales = scales_.take<float>(rows * groups);
  auto* sums = sums_.take<float>(rows * groups);
  auto* exact = exact_.take<uint8_t>(rows);
  workers.for_blocks(rows, std::max<int64_t>(1, kTaskValues / channels), [&](int64_t first, int64_t last) {
    route.quantize({.x = floats_ + first * channels,
                    .rows = last - first,
                    .channels = channels,
                    .groups = groups,
                    .group_size = weight.group_size(),
                    .limit = limit,
                    .q = q + first * row_bytes,
                    .scales = scales + first * groups,
                    .sums = sums + first * groups,
                    .exact = exact + first});
  });
  const bool some_are_exact = std::find(exact, exact + rows, 1) != exact + rows;
  integers_ = {.route = &route, .q = q, .scales = scales, .sums = sums, .exact = some_are_exact ? exact : nullptr};
}

}  // namespace lattice::cpu
