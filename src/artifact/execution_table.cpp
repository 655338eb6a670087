#include "artifact/execute.h"

namespace lattice::artifact {
namespace {

/// Every operation but `weight`, which the planner itself takes: a weight is no step.
constexpr std::pair<std::string_view, Bind> kBinds[] = {
    {"sparse.make", bind_make},
    {"sparse.decompose", bind_decompose},
    {"sparse.with_features", bind_with_features},
    {"sparse.reindex", bind_reindex},
    {"conv3d", bind_convolution},
    {"subm_conv3d", bind_convolution},
    {"normalized_subm_conv3d", bind_normalized},
    {"target_conv3d", bind_convolution},
    {"conv_transpose3d", bind_convolution},
    {"target_conv_transpose3d", bind_convolution},
    {"normalized_conv_transpose3d", bind_normalized},
    {"target_normalized_conv_transpose3d", bind_normalized},
    {"generative_conv_transpose3d", bind_convolution},
    {"normalized_generative_conv_transpose3d", bind_normalized},
    {"pool3d", bind_pool},
    {"pool_transpose3d", bind_pool_transpose},
    {"trilinear_upsample3d", bind_trilinear},
    {"global_pool", bind_global_pool},
    {"voxelize", bind_voxelize},
    {"devoxelize", bind_devoxelize},
    {"linear", bind_linear},
    {"embedding_lookup", bind_embedding},
    {"elementwise", bind_elementwise},
    {"softmax", bind_softmax},
    {"activation", bind_activation},
    {"batch_norm", bind_batch_norm},
    {"layer_norm", bind_layer_norm},
    {"rms_norm", bind_rms_norm},
    {"sparse.binary", bind_binary},
    {"sparse.cat", bind_cat},
    {"sparse.bound", bind_bound},
    {"regular_conv3d", bind_convolution},
    {"regular_pool3d", bind_pool},
};

}  // namespace

Bind bind_of(std::string_view operation) {
  return meaning(kBinds, operation, "operation");
}

}  // namespace lattice::artifact
