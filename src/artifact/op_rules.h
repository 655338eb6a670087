#pragma once

// What the verifier demands of each operation beyond its row in the table; op_table.cpp names these functions.

namespace lattice::artifact {

class OperationCheck;

void verify_weight(const OperationCheck& op);
void verify_make(const OperationCheck& op);
void verify_decompose(const OperationCheck& op);
void verify_with_features(const OperationCheck& op);
void verify_same_dtype(const OperationCheck& op);
void verify_conv(const OperationCheck& op);
void verify_submanifold(const OperationCheck& op);
void verify_generative(const OperationCheck& op);
void verify_global_pool(const OperationCheck& op);
void verify_voxelize(const OperationCheck& op);
void verify_devoxelize(const OperationCheck& op);
void verify_linear(const OperationCheck& op);
void verify_embedding(const OperationCheck& op);
void verify_elementwise(const OperationCheck& op);
void verify_softmax(const OperationCheck& op);
void verify_activation(const OperationCheck& op);
void verify_norm(const OperationCheck& op);
void verify_cat(const OperationCheck& op);
void verify_bound(const OperationCheck& op);

}  // namespace lattice::artifact
