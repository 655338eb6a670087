#pragma once

#include "cpu/kernels/bf16_rows.h"
#include "cpu/kernels/dense_codes.h"
#include "cpu/kernels/dense_rows.h"
#include "cpu/kernels/finish_rows.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/packed_codes.h"
#include "cpu/kernels/products.h"
#include "cpu/kernels/rounded_rows.h"
#include "cpu/kernels/turned_edges.h"
#include "cpu/kernels/voxel_places.h"

// Puts the table of an instruction set together, or the routes that it adds to another one's. Included by one file an
// instruction set.

namespace lattice::cpu {
namespace {

template <typename V>
constexpr IntegerRoute pair_route() {
  return {.activation_bytes = 2,
          .quantize = quantize_rows<V, WideActivations>,
          .codes = {.code_bytes = 2,
                    .centres = true,
                    .decode = decode_pairs<V>,
                    .product = packed_product<V, IntegerStep<V, 2>>,
                    .dense_rows = dense_codes<V, IntegerStep<V, 2>>}};
}

template <typename V>
constexpr IntegerRoute quad_route() {
  return {.activation_bytes = 1,
          .quantize = quantize_rows<V, BytePlanes<1>>,
          .codes = {.code_bytes = 1,
                    .decode = decode_quads<V>,
                    .product = packed_product<V, IntegerStep<V, 4>>,
                    .dense_rows = dense_codes<V, IntegerStep<V, 4>>}};
}

template <typename V>
constexpr Bf16Route bf16_route() {
  return {.float_product = float_product<V, Bf16Step<V>>,
          .widen_panel = widen_panel,
          .sum_groups = sum_groups,
          .codes = {.code_bytes = 2, .decode = decode_bf16, .product = packed_product<V, Bf16Step<V>>}};
}

template <typename V>
constexpr EdgeRoute edge_route() {
  if constexpr (requires { V::edges; }) {
    return V::edges;
  } else {
    return {.find = nullptr, .count_turned = count_each_turned_edge, .place_turned = place_each_turned_edge};
  }
}

/// The kernels over a policy with its routes; without products of bytes, the narrow route is the wide one.
template <typename V>
constexpr Kernels kernels_of(const char* isa, const IntegerRoute& wide, const IntegerRoute& narrow,
                             const Bf16Route& bf16 = {}) {
  return {.isa = isa,
          .lanes = V::kLanes,
          .panel_width = V::kLanes * V::kVectors,
          .float_product = float_product<V, FloatStep<V>>,
          .decode_floats = decode_floats<V>,
          .wide = wide,
          .narrow = narrow,
          .bf16 = bf16,
          .finish = finish_rows,
          .dense_rows = dense_rows<V>,
          .widen_f16 = V::widen_f16,
          .widen_bf16 = V::widen_bf16,
          .find_voxels = find_voxels<V::kLanes>,
          .edges = edge_route<V>()};
}

}  // namespace
}  // namespace lattice::cpu
