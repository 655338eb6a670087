#pragma once

#include "artifact/planner.h"

namespace lattice::artifact {

// One function an operation: checks it, makes its results' slots and its step.

/// unsupported for features of a sparse value that are not f32, f16 or bf16.
void check_sparse_type(DType dtype);
/// unsupported for features that a convolution or pooling would read and that are neither f32 nor f16.
void check_feature_type(DType dtype);

/// The stride that sparse.make or voxelize gives its value.
Triple value_stride(const Operation& operation);

/// Zeros behind the channels of features (N, C).
Tensor zero_extended(const Tensor& features, int64_t channels);

/// Calls compute with the epilogue of a step; its residual and its columns are what this run has in their slots.
template <typename Compute>
auto with_epilogue(Run& run, const FusedEpilogue& fused, const Compute& compute) {
  if (fused.residual == kNoSlot && !fused.placement) return compute(fused.constant);
  Epilogue epilogue = fused.constant;
  if (fused.residual != kNoSlot) epilogue.residual = run.tensor(fused.residual);
  if (const auto& at = fused.placement) epilogue.columns = {&run.tensor(at->cat), at->first, at->total};
  return compute(epilogue);
}

// execute_sparse.cpp
void bind_make(Planner& planner);
void bind_decompose(Planner& planner);
void bind_with_features(Planner& planner);
void bind_reindex(Planner& planner);
void bind_binary(Planner& planner);
void bind_cat(Planner& planner);
void bind_bound(Planner& planner);

// execute_convolution.cpp
void bind_convolution(Planner& planner);
void bind_normalized(Planner& planner);

// execute_pooling.cpp
void bind_pool(Planner& planner);
void bind_pool_transpose(Planner& planner);
void bind_trilinear(Planner& planner);
void bind_global_pool(Planner& planner);

// execute_points.cpp
void bind_voxelize(Planner& planner);
void bind_devoxelize(Planner& planner);

// execute_dense.cpp
void bind_linear(Planner& planner);
void bind_embedding(Planner& planner);
void bind_elementwise(Planner& planner);
void bind_softmax(Planner& planner);
void bind_activation(Planner& planner);
void bind_batch_norm(Planner& planner);
void bind_layer_norm(Planner& planner);
void bind_rms_norm(Planner& planner);

}  // namespace lattice::artifact
