#pragma once

#include <cstdint>

#include "cpu/kernels/kernels.h"
#include "cpu/panel_weight.h"
#include "cpu/scratch.h"
#include "cpu/workers.h"
#include "lattice/tensor.h"

namespace lattice::cpu {

/// Activations as integers, in the form of a route.
struct QuantizedRows {
  const IntegerRoute* route = nullptr;  // null: not quantized
  const void* q = nullptr;
  const float* scales = nullptr;
  const float* sums = nullptr;
  const uint8_t* exact = nullptr;  // the rows that stay in float32; null where there are none
};

/// What a layer multiplies: float32 rows, and the same rows as integers where a route takes them so. Its memory serves
/// one layer after the other.
class LayerInput {
 public:
  /// Reads `x` for the time until the next call: widened where it is of 16 bits, quantized to +-limit where `route` is
  /// not null.
  void read(const Tensor& x, const Kernels& kernels, const IntegerRoute* route, int32_t limit,
            const PanelWeight& weight, Workers& workers);

  const float* floats() const noexcept { return floats_; }
  const QuantizedRows& integers() const noexcept { return integers_; }

 private:
  void quantize(int64_t rows, int64_t channels, const IntegerRoute& route, int32_t limit, const PanelWeight& weight,
                Workers& workers);

  Scratch wide_, q_, scales_, sums_, exact_;
  const float* floats_ = nullptr;
  QuantizedRows integers_;
};

}  // namespace lattice::cpu
