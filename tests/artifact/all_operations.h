#pragma once

#include <string>

#include "artifact/graph_text.h"

namespace lattice::artifact {

/// A graph that the verifier accepts, with all 34 operations, one a line, each with all its operands.
inline std::string all_operations_text() {
  constexpr std::string_view kArguments = "%c: $C, %f: $T, %n: $N, %p: $P, %b: $I, %h: $U";
  constexpr std::string_view kBody = R"(
%w = lattice.weight @w {storage_key = "w", layout = #lattice.weight_layout<conv3d_o_xyz_i>, packing = #lattice.packing<dense>} : $W{conv3d}$
%q = lattice.weight @q {storage_key = "q", layout = #lattice.weight_layout<linear_o_i>, packing = #lattice.packing<int4, group_size = 32, scale_dtype = f16, mode = affine>} : $W{linear}$
%v = lattice.weight @v {storage_key = "v", layout = #lattice.weight_layout<bias_c>, packing = #lattice.packing<dense>} : $W{bias}$
%e = lattice.weight @e {storage_key = "e", layout = #lattice.weight_layout<embedding_n_c>, packing = #lattice.packing<dense>} : $W{embedding}$
%k = lattice.weight @k {storage_key = "k", layout = #lattice.weight_layout<channel_c>, packing = #lattice.packing<dense>} : $W{channel}$
%make = lattice.sparse.make %c, %f, %n {stride = array<i64: 1, 1, 1>, coord_order = #lattice.coord<batch_x_y_z>} : ($C, $T, $N) -> $S
%dc, %df, %dn = lattice.sparse.decompose %make : $S -> ($C, $T, $N)
%with = lattice.sparse.with_features %make, %df : ($S, $T) -> $S
%reindex = lattice.sparse.reindex %with, %make {fill = 0x7FC00000 : f32} : ($S, $S) -> $S
%conv = lattice.conv3d %make, %w, %v {kernel_size = array<i64: 2, 2, 2>, stride = array<i64: 2, 2, 2>, padding = array<i64: 0, 0, 0>, dilation = array<i64: 1, 1, 1>, accumulation = "canonical_f32"} : ($S, $W{conv3d}$, $W{bias}$) -> $S
%subm = lattice.subm_conv3d %make, %w, %v {kernel_size = array<i64: 3, 3, 3>, dilation = array<i64: 1, 1, 1>, accumulation = "canonical_f32"} : ($S, $W{conv3d}$, $W{bias}$) -> $S
%nsubm = lattice.normalized_subm_conv3d %make, %w, %v {kernel_size = array<i64: 3, 3, 3>, dilation = array<i64: 1, 1, 1>, eps = 1.0e-8 : f32, accumulation = "canonical_f32"} : ($S, $W{conv3d}$, $W{bias}$) -> $S
%tconv = lattice.target_conv3d %make, %conv, %w, %v {kernel_size = array<i64: 2, 2, 2>, stride = array<i64: 2, 2, 2>, padding = array<i64: 0, 0, 0>, dilation = array<i64: 1, 1, 1>, accumulation = "canonical_f32"} : ($S, $S, $W{conv3d}$, $W{bias}$) -> $S
%up = lattice.conv_transpose3d %conv, %w, %v {kernel_size = array<i64: 2, 2, 2>, stride = array<i64: 2, 2, 2>, padding = array<i64: 0, 0, 0>, dilation = array<i64: 1, 1, 1>, accumulation = "canonical_f32"} : ($S, $W{conv3d}$, $W{bias}$) -> $S
%tup = lattice.target_conv_transpose3d %conv, %make, %w, %v {kernel_size = array<i64: 2, 2, 2>, stride = array<i64: 2, 2, 2>, padding = array<i64: 0, 0, 0>, dilation = array<i64: 1, 1, 1>, accumulation = "canonical_f32"} : ($S, $S, $W{conv3d}$, $W{bias}$) -> $S
%nup = lattice.normalized_conv_transpose3d %conv, %w, %v {kernel_size = array<i64: 2, 2, 2>, stride = array<i64: 2, 2, 2>, padding = array<i64: 0, 0, 0>, dilation = array<i64: 1, 1, 1>, accumulation = "canonical_f32", eps = 1.0e-8 : f32} : ($S, $W{conv3d}$, $W{bias}$) -> $S
%tnup = lattice.target_normalized_conv_transpose3d %conv, %make, %w, %v {kernel_size = array<i64: 2, 2, 2>, stride = array<i64: 2, 2, 2>, padding = array<i64: 0, 0, 0>, dilation = array<i64: 1, 1, 1>, accumulation = "canonical_f32", eps = 1.0e-8 : f32} : ($S, $S, $W{conv3d}$, $W{bias}$) -> $S
%gen = lattice.generative_conv_transpose3d %conv, %w, %v {kernel_size = array<i64: 2, 1, 2>, stride = array<i64: 2, 2, 2>, accumulation = "canonical_f32"} : ($S, $W{conv3d}$, $W{bias}$) -> $S
%ngen = lattice.normalized_generative_conv_transpose3d %conv, %w, %v {kernel_size = array<i64: 2, 1, 2>, stride = array<i64: 2, 2, 2>, eps = 1.0e-8 : f32, accumulation = "canonical_f32"} : ($S, $W{conv3d}$, $W{bias}$) -> $S
%pool = lattice.pool3d %make {mode = #lattice.pool_mode<max>, kernel_size = array<i64: 2, 2, 2>, stride = array<i64: 2, 2, 2>, padding = array<i64: 0, 0, 0>, dilation = array<i64: 1, 1, 1>} : ($S) -> $S
%unpool = lattice.pool_transpose3d %pool, %make {kernel_size = array<i64: 2, 2, 2>, stride = array<i64: 2, 2, 2>, padding = array<i64: 0, 0, 0>, dilation = array<i64: 1, 1, 1>} : ($S, $S) -> $S
%tri = lattice.trilinear_upsample3d %pool, %make {stride = array<i64: 2, 2, 2>} : ($S, $S) -> $S
%global = lattice.global_pool %make {mode = #lattice.pool_mode<avg>, batch_size = -1} : ($S) -> $T
%vox = lattice.voxelize %p, %f, %b, %n {voxel_size = array<f64: 0.1, 2.0e-1, 0.5>, origin = array<f64: -1.0, 0.0, -0.0>, reduction = #lattice.voxel_reduction<mean>, stride = array<i64: 1, 1, 1>} : ($P, $T, $I, $N) -> $S
%devox = lattice.devoxelize %p, %vox, %b, %n {voxel_size = array<f64: 0.1, 2.0e-1, 0.5>, origin = array<f64: -1.0, 0.0, 0.0>, interpolation = #lattice.point_interpolation<linear>} : ($P, $S, $I, $N) -> $T
%lin = lattice.linear %devox, %q, %v : ($T, $W{linear}$, $W{bias}$) -> $T
%emb = lattice.embedding_lookup %b, %e : ($I, $W{embedding}$) -> $T
%elem = lattice.elementwise %lin {kind = "exp"} : ($T) -> $T
%soft = lattice.softmax %elem {axis = -1} : ($T) -> $T
%act = lattice.activation %soft {kind = #lattice.activation<gelu>, approximate = #lattice.gelu_approx<tanh>, alpha = 0.01 : f32, beta = 1.0 : f32, threshold = 0xFF800000 : f32} : ($T) -> $T
%bn = lattice.batch_norm %act, %k, %v, %k, %k {eps = 1.0e-05 : f32} : ($T, $W{channel}$, $W{bias}$, $W{channel}$, $W{channel}$) -> $T
%ln = lattice.layer_norm %bn, %k, %v {eps = 1.0e-05 : f32} : ($T, $W{channel}$, $W{bias}$) -> $T
%rms = lattice.rms_norm %ln, %k {eps = 1.0e-05 : f32} : ($T, $W{channel}$) -> $T
%bin = lattice.sparse.binary %subm, %nsubm {op = #lattice.binary_op<add>, join = #lattice.join<outer>, lhs_fill = 0.0 : f32, rhs_fill = -0.0 : f32} : ($S, $S) -> $S
%cat = lattice.sparse.cat %bin, %subm {join = #lattice.join<inner>} : ($S, $S) -> $S
%bound = lattice.sparse.bound %make {extent = array<i64: -1, 9, 9>} : ($S) -> $S
%rconv = lattice.regular_conv3d %bound, %w, %v {kernel_size = array<i64: 3, 3, 3>, stride = array<i64: 2, 2, 2>, padding = array<i64: 1, 1, 1>, dilation = array<i64: 1, 1, 1>, accumulation = "canonical_f32"} : ($S, $W{conv3d}$, $W{bias}$) -> $S
%rpool = lattice.regular_pool3d %bound {mode = #lattice.pool_mode<sum>, kernel_size = array<i64: 3, 3, 3>, stride = array<i64: 2, 2, 2>, padding = array<i64: 1, 1, 1>, dilation = array<i64: 1, 1, 1>} : ($S) -> $S
%half = lattice.sparse.make %c, %h, %n {stride = array<i64: 1, 1, 1>, coord_order = #lattice.coord<batch_x_y_z>} : ($C, $U, $N) -> $H
return %rms, %cat : $T, $S
)";
  return module_text(kArguments, "($T, $S)", kBody.substr(1), 2, ", lattice.extensions = [\"regular\"]");
}

}  // namespace lattice::artifact
