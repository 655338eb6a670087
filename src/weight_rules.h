#pragma once

#include <string_view>

#include "fail.h"
#include "lattice/quantized_weight.h"
#include "lattice/tensor.h"

namespace lattice {

// The rules that floating weights, packed weights and modules share, each stated once; `operation` is who asks.

/// A floating weight is (C_out, Kx, Ky, Kz, C_in), or (C_out, C_in) for a pointwise one, of f32, f16 or bf16, with
/// every size at least 1. Throws invalid_argument.
inline void check_weight(const Tensor& weight, std::string_view operation) {
  if (!is_feature_type(weight.dtype())) {
    fail(ErrorCode::invalid_argument, "{}: the weight is {}, but must be f32, f16 or bf16; convert it with to()",
         operation, name(weight.dtype()));
  }
  if (weight.rank() != 5 && weight.rank() != 2) {
    fail(ErrorCode::invalid_argument,
         "{}: the weight has shape {}, but must be (C_out, Kx, Ky, Kz, C_in), or (C_out, C_in) for kernel size 1; "
         "permute "
         "or reshape it",
         operation, to_string(weight.shape()));
  }
  for (const int64_t size : weight.shape()) {
    if (size < 1) {
      fail(ErrorCode::invalid_argument,
           "{}: the weight has shape {}, but every size must be at least 1; drop the layer", operation,
           to_string(weight.shape()));
    }
  }
}

/// Bits are 4 or 8, groups have 32, 64 or 128 channels. Throws invalid_argument.
inline void check_packing(const PackingOptions& options, std::string_view operation) {
  if (options.bits != 4 && options.bits != 8) {
    fail(ErrorCode::invalid_argument, "{}: bits {} must be 4 or 8; take 8 where 4 loses too much", operation,
         options.bits);
  }
  if (!options.group_size) return;
  const int64_t group_size = *options.group_size;
  if (group_size != 32 && group_size != 64 && group_size != 128) {
    fail(ErrorCode::invalid_argument, "{}: group_size {} must be 32, 64 or 128; leave it unset for the default",
         operation, group_size);
  }
}

}  // namespace lattice
