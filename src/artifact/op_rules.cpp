#include "artifact/op_rules.h"

#include <algorithm>
#include <array>
#include <functional>

#include "artifact/op_check.h"
#include "artifact/spelling.h"
#include "io/shown_text.h"

// Conventions (rank, coordinates, features of sparse tensors) have one legal value each, which the verifier demands of
// every value; rules that two of them be equal are met by that. Comparisons are written so that a NaN fails them.

namespace lattice::artifact {
namespace {

struct Family {
  std::string_view name, layout;
  bool packs;
};
constexpr std::array<Family, 5> kFamilies = {{{"conv3d", "conv3d_o_xyz_i", true},
                                              {"linear", "linear_o_i", true},
                                              {"embedding", "embedding_n_c", false},
                                              {"channel", "channel_c", false},
                                              {"bias", "bias_c", false}}};

void require_dtype(const OperationCheck& op, std::string_view sparse_name, ElementType dtype, std::string_view whose) {
  const SparseType& type = op.sparse(sparse_name);
  op.require(type.dtype == dtype, fmt::format("{}'s dtype is that of {}, {}", sparse_name, whose, name(dtype)),
             name(type.dtype));
}

// Both `input` and `result` are matrices of one element type.
void require_matrices(const OperationCheck& op) {
  op.require_rank("input", 2);
  op.require_rank("result", 2);
  op.require_element("result", op.tensor("input").element);
}

void require_float_matrices(const OperationCheck& op) {
  op.require_element("input", ElementType::f32);
  require_matrices(op);
}

void require_points(const OperationCheck& op, std::string_view active) {
  op.require_element("points", ElementType::f32);
  op.require_rank("points", 2);
  op.require_size("points", 1, 3);
  op.require_element("batch_indices", ElementType::i32);
  op.require_rank("batch_indices", 1);
  op.require_same_rows("points", "batch_indices");
  op.require_element(active, ElementType::i32);
  op.require_rank(active, 1);
  op.require_size(active, 0, 1);
}

}  // namespace

void verify_weight(const OperationCheck& op) {
  const WeightType& type = op.weight("result");
  const auto family =
      std::find_if(kFamilies.begin(), kFamilies.end(), [&](const Family& each) { return each.name == type.family; });
  op.require(!op.attribute<std::string>("storage_key").empty(), "storage_key is not empty", "\"\"");
  op.require(family != kFamilies.end(), "the family is conv3d, linear, embedding, channel or bias", shown(type.family));
  op.require(op.keyword("layout") == family->layout,
             fmt::format("the layout of {} is {}", family->name, family->layout), op.keyword("layout"));

  const Packing& packing = op.attribute<Packing>("packing");
  if (packing.kind == "dense") {
    op.require(packing == Packing{}, "dense packing has no group_size, scale_dtype or mode", "some");
    return;
  }
  op.require(family->packs, fmt::format("the packing of {} is dense", family->name), packing.kind);
  op.require(packing.group_size > 0, "group_size is positive", packing.group_size);
  op.require(packing.scale_dtype == ElementType::f16 || packing.scale_dtype == ElementType::f32,
             "scale_dtype is f16 or f32", name(packing.scale_dtype));
  op.require(packing.mode == "affine", "mode is affine", packing.mode);
}

void verify_make(const OperationCheck& op) {
  op.require_element("coords", ElementType::i32);
  op.require_element("active", ElementType::i32);
  op.require_rank("coords", 2);
  op.require(op.tensor("coords").dims[1] == 4, "coords has 4 along axis 1", spell(op.tensor("coords")));
  op.require_rank("features", 2);
  op.require_rank("active", 1);
  op.require(op.tensor("active").dims[0] == 1, "active has 1 along axis 0", spell(op.tensor("active")));
  op.require_same_rows("coords", "features");
  op.require(op.keyword("coord_order") == op.sparse("result").coord, "coord_order is the result's coord",
             op.keyword("coord_order"));
  require_dtype(op, "result", op.tensor("features").element, "features");
}

void verify_decompose(const OperationCheck& op) {
  op.require_element("coords", ElementType::i32);
  op.require_element("active", ElementType::i32);
}

void verify_with_features(const OperationCheck& op) {
  op.require_rank("features", 2);
  require_dtype(op, "result", op.tensor("features").element, "features");
}

void verify_same_dtype(const OperationCheck& op) {
  require_dtype(op, "result", op.sparse("input").dtype, "input");
}

void verify_conv(const OperationCheck& op) {
  op.require_family("weight", "conv3d");
}

void verify_submanifold(const OperationCheck& op) {
  verify_conv(op);
  const Integers& size = op.attribute<Integers>("kernel_size");
  op.require(std::all_of(size.begin(), size.end(), [](int64_t each) { return each % 2 == 1; }),
             "kernel_size is odd on every axis", spell(size));
}

void verify_generative(const OperationCheck& op) {
  verify_conv(op);
  const Integers& size = op.attribute<Integers>("kernel_size");
  const Integers& stride = op.attribute<Integers>("stride");
  if (!std::equal(size.begin(), size.end(), stride.begin(), std::less_equal<>())) {
    op.subject().refuse("kernel_size is at most the stride on every axis, or outputs would repeat coordinates",
                        fmt::format("{} and {}", spell(size), spell(stride)), ErrorCode::unsupported);
  }
}

void verify_global_pool(const OperationCheck& op) {
  const int64_t batches = op.attribute<int64_t>("batch_size");
  op.require(batches >= -1, "batch_size is a number of batches, or -1", batches);
  op.require_rank("result", 2);
  op.require_element("result", op.sparse("input").dtype);
}

void verify_voxelize(const OperationCheck& op) {
  require_points(op, "active_rows");
  op.require_element("features", ElementType::f32);
  op.require_rank("features", 2);
  op.require_same_rows("points", "features");
  require_dtype(op, "result", op.tensor("features").element, "features");
}

void verify_devoxelize(const OperationCheck& op) {
  require_points(op, "point_active_rows");
  op.require_rank("result", 2);
  op.require_element("result", op.sparse("voxels").dtype);
}

void verify_linear(const OperationCheck& op) {
  require_matrices(op);
  op.require_family("weight", "linear");
}

void verify_embedding(const OperationCheck& op) {
  op.require_element("input", ElementType::i32);
  op.require_rank("input", 1);
  op.require_element("result", ElementType::f32);
  op.require_rank("result", 2);
  op.require_family("weight", "embedding");
}

void verify_elementwise(const OperationCheck& op) {
  require_float_matrices(op);
  const std::string& kind = op.attribute<std::string>("kind");
  op.require(kind == "exp" || kind == "round", "kind is \"exp\" or \"round\"", quoted(kind));
}

void verify_softmax(const OperationCheck& op) {
  require_float_matrices(op);
  const int64_t axis = op.attribute<int64_t>("axis");
  op.require(axis == -1 || axis == 1, "axis is -1 or 1", axis);
}

void verify_activation(const OperationCheck& op) {
  require_matrices(op);
  const float alpha = op.attribute<float>("alpha");
  const float beta = op.attribute<float>("beta");
  op.require(alpha >= 0, "alpha is not negative", alpha);
  op.require(beta > 0, "beta is positive", beta);
}

void verify_norm(const OperationCheck& op) {
  require_matrices(op);
}

void verify_cat(const OperationCheck& op) {
  require_dtype(op, "rhs", op.sparse("lhs").dtype, "lhs");
  require_dtype(op, "result", op.sparse("lhs").dtype, "lhs");
}

void verify_bound(const OperationCheck& op) {
  verify_same_dtype(op);
  const Integers& extent = op.attribute<Integers>("extent");
  op.require(std::all_of(extent.begin(), extent.end(), [](int64_t each) { return each > 0 || each == -1; }),
             "extent is positive or -1 on every axis", spell(extent));
}

}  // namespace lattice::artifact
