#pragma once

#include "cpu/kernels/finish_rows.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/packed_rows.h"
#include "cpu/kernels/products.h"

// Puts the table of an instruction set together. Included by one file an instruction set.

namespace lattice::cpu {
namespace {

template <typename V>
constexpr IntegerRoute pair_route() {
  return {.activation_bytes = 2,
          .code_bytes = 2,
          .quantize = quantize_rows<WideActivations>,
          .decode = decode_pairs<V>,
          .product = integer_product<V, Pairs<V>>};
}

template <typename V>
constexpr IntegerRoute quad_route() {
  return {.activation_bytes = 1,
          .code_bytes = 1,
          .quantize = quantize_rows<BytePlanes<1>>,
          .decode = decode_quads<V>,
          .product = integer_product<V, Quads<V>>};
}

/// The kernels over a policy with the two routes; without products of bytes, the narrow route is the wide one.
template <typename V>
constexpr Kernels kernels_of(const char* isa, const IntegerRoute& wide, const IntegerRoute& narrow) {
  return {.isa = isa,
          .lanes = V::kLanes,
          .panel_width = V::kLanes * V::kVectors,
          .float_product = float_product<V>,
          .decode_floats = decode_floats<V>,
          .wide = wide,
          .narrow = narrow,
          .finish = finish_rows,
          .widen_f16 = V::widen_f16,
          .widen_bf16 = V::widen_bf16};
}

}  // namespace
}  // namespace lattice::cpu
