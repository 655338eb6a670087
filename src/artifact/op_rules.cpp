#include "artifact/op_rules.h"

namespace lattice::artifact {
void verify_weight(const OperationCheck&) {}
void verify_make(const OperationCheck&) {}
void verify_decompose(const OperationCheck&) {}
void verify_with_features(const OperationCheck&) {}
void verify_reindex(const OperationCheck&) {}
void verify_conv(const OperationCheck&) {}
void verify_submanifold(const OperationCheck&) {}
void verify_generative(const OperationCheck&) {}
void verify_pool(const OperationCheck&) {}
void verify_upsample(const OperationCheck&) {}
void verify_global_pool(const OperationCheck&) {}
void verify_voxelize(const OperationCheck&) {}
void verify_devoxelize(const OperationCheck&) {}
void verify_linear(const OperationCheck&) {}
void verify_embedding(const OperationCheck&) {}
void verify_elementwise(const OperationCheck&) {}
void verify_softmax(const OperationCheck&) {}
void verify_activation(const OperationCheck&) {}
void verify_norm(const OperationCheck&) {}
void verify_binary(const OperationCheck&) {}
void verify_cat(const OperationCheck&) {}
void verify_bound(const OperationCheck&) {}
}  // namespace lattice::artifact
