#include "artifact/op_table.h"

#include <algorithm>

#include "artifact/op_rules.h"

namespace lattice::artifact {
namespace {

// A row as the schema's own table writes it: `name:kind` or `name?:kind`, parted by spaces.
struct Row {
  std::string_view name, operands, results, attributes;
  void (*verify)(const OperationCheck&);  // null where the row says all
  std::string_view extension = {};
};

constexpr std::string_view kForward =
    "kernel_size:i64_triple stride:i64_triple padding:i64_triple dilation:i64_triple accumulation:str";
constexpr std::string_view kForwardEps =
    "kernel_size:i64_triple stride:i64_triple padding:i64_triple dilation:i64_triple accumulation:str eps:f32";
constexpr std::string_view kPool =
    "mode:pool_mode kernel_size:i64_triple stride:i64_triple padding:i64_triple dilation:i64_triple";
constexpr std::string_view kConv = "input:S weight:W bias?:W";
constexpr std::string_view kTargetConv = "input:S target:S weight:W bias?:W";

constexpr Row kRows[] = {
    {"weight", "sym_name:symbol", "result:W", "storage_key:str layout:weight_layout packing:packing", verify_weight},
    {"sparse.make", "coords:T features:T active:T", "result:S", "stride:i64_triple coord_order:coord", verify_make},
    {"sparse.decompose", "input:S", "coords:T features:T active:T", "", verify_decompose},
    {"sparse.with_features", "input:S features:T", "result:S", "", verify_with_features},
    {"sparse.reindex", "input:S target:S", "result:S", "fill:f32", verify_same_dtype},
    {"conv3d", kConv, "result:S", kForward, verify_conv},
    {"subm_conv3d", kConv, "result:S", "kernel_size:i64_triple dilation:i64_triple accumulation:str",
     verify_submanifold},
    {"normalized_subm_conv3d", kConv, "result:S", "kernel_size:i64_triple dilation:i64_triple eps:f32 accumulation:str",
     verify_submanifold},
    {"target_conv3d", kTargetConv, "result:S", kForward, verify_conv},
    {"conv_transpose3d", kConv, "result:S", kForward, verify_conv},
    {"target_conv_transpose3d", kTargetConv, "result:S", kForward, verify_conv},
    {"normalized_conv_transpose3d", kConv, "result:S", kForwardEps, verify_conv},
    {"target_normalized_conv_transpose3d", kTargetConv, "result:S", kForwardEps, verify_conv},
    {"generative_conv_transpose3d", kConv, "result:S", "kernel_size:i64_triple stride:i64_triple accumulation:str",
     verify_generative},
    {"normalized_generative_conv_transpose3d", kConv, "result:S",
     "kernel_size:i64_triple stride:i64_triple eps:f32 accumulation:str", verify_generative},
    {"pool3d", "input:S", "result:S", kPool, nullptr},
    {"pool_transpose3d", "input:S target?:S", "result:S",
     "kernel_size:i64_triple stride:i64_triple padding:i64_triple dilation:i64_triple", nullptr},
    {"trilinear_upsample3d", "input:S target?:S", "result:S", "stride:i64_triple", nullptr},
    {"global_pool", "input:S", "result:T", "mode:pool_mode batch_size:i64", verify_global_pool},
    {"voxelize", "points:T features:T batch_indices:T active_rows:T", "result:S",
     "voxel_size:f64_triple origin:f64_triple reduction:voxel_reduction stride:i64_triple", verify_voxelize},
    {"devoxelize", "points:T voxels:S batch_indices:T point_active_rows:T", "result:T",
     "voxel_size:f64_triple origin:f64_triple interpolation:point_interpolation", verify_devoxelize},
    {"linear", "input:T weight:W bias?:W", "result:T", "", verify_linear},
    {"embedding_lookup", "input:T weight:W", "result:T", "", verify_embedding},
    {"elementwise", "input:T", "result:T", "kind:str", verify_elementwise},
    {"softmax", "input:T", "result:T", "axis:i64", verify_softmax},
    {"activation", "input:T", "result:T", "kind:activation approximate:gelu_approx alpha:f32 beta:f32 threshold:f32",
     verify_activation},
    {"batch_norm", "input:T scale:W bias:W mean:W var:W", "result:T", "eps:f32", verify_norm},
    {"layer_norm", "input:T scale:W bias:W", "result:T", "eps:f32", verify_norm},
    {"rms_norm", "input:T scale:W", "result:T", "eps:f32", verify_norm},
    {"sparse.binary", "lhs:S rhs:S", "result:S", "op:binary_op join:join lhs_fill:f32 rhs_fill:f32", nullptr},
    {"sparse.cat", "lhs:S rhs:S", "result:S", "join:join", verify_cat},
    {"sparse.bound", "input:S", "result:S", "extent:i64_triple", verify_bound, "regular"},
    {"regular_conv3d", kConv, "result:S", kForward, verify_conv, "regular"},
    {"regular_pool3d", "input:S", "result:S", kPool, nullptr, "regular"},
};

// Calls use(name, kind, optional) for each entry of a list.
template <typename Use>
void for_each_entry(std::string_view list, Use use) {
  while (!list.empty()) {
    const size_t end = std::min(list.find(' '), list.size());
    const size_t colon = list.find(':');
    const bool optional = list[colon - 1] == '?';
    use(list.substr(0, optional ? colon - 1 : colon), list.substr(colon + 1, end - colon - 1), optional);
    list.remove_prefix(std::min(end + 1, list.size()));
  }
}

OperandKind kind_of(std::string_view letter) {
  return letter == "S"   ? OperandKind::sparse
         : letter == "T" ? OperandKind::tensor
         : letter == "W" ? OperandKind::weight
                         : OperandKind::symbol;
}

std::vector<OperandInfo> operands_of(std::string_view list) {
  std::vector<OperandInfo> result;
  for_each_entry(list, [&](std::string_view name, std::string_view kind, bool optional) {
    result.push_back({name, kind_of(kind), optional});
  });
  return result;
}

std::vector<AttributeInfo> attributes_of(std::string_view list) {
  std::vector<AttributeInfo> result;
  for_each_entry(list, [&](std::string_view name, std::string_view kind, bool) { result.push_back({name, kind}); });
  return result;
}

template <typename Table, typename Key>
auto* find_in(const Table& table, Key key, std::string_view name) {
  const auto row = std::find_if(table.begin(), table.end(), [&](const auto& each) { return each.*key == name; });
  return row == table.end() ? nullptr : &*row;
}

}  // namespace

const std::vector<OperationInfo>& operations() {
  static const std::vector<OperationInfo> table = [] {
    std::vector<OperationInfo> result;
    for (const Row& row : kRows) {
      const Assembly assembly = row.name == "weight"             ? Assembly::weight
                                : row.name == "sparse.decompose" ? Assembly::decompose
                                                                 : Assembly::functional;
      result.push_back({row.name, operands_of(row.operands), operands_of(row.results), attributes_of(row.attributes),
                        assembly, row.extension, row.verify});
    }
    return result;
  }();
  return table;
}

const std::vector<KeywordInfo>& keywords() {
  static const std::vector<KeywordInfo> table = {
      {"coord", {"batch_x_y_z"}},
      {"feature_layout", {"row_channel"}},
      {"weight_layout", {"conv3d_o_xyz_i", "linear_o_i", "embedding_n_c", "channel_c", "bias_c"}},
      {"packing", {"dense", "int4", "int8"}},
      {"activation", {"relu", "sigmoid", "gelu", "silu", "leaky_relu", "tanh", "softplus"}},
      {"gelu_approx", {"none", "precise", "tanh", "fast"}},
      {"join", {"inner", "left", "right", "outer"}},
      {"binary_op", {"add", "sub", "mul", "maximum", "minimum"}},
      {"pool_mode", {"sum", "max", "avg"}},
      {"voxel_reduction", {"sum", "mean"}},
      {"point_interpolation", {"nearest", "linear"}},
  };
  return table;
}

const OperationInfo* find_operation(std::string_view name) {
  return find_in(operations(), &OperationInfo::name, name);
}

const KeywordInfo* find_keyword(std::string_view mnemonic) {
  return find_in(keywords(), &KeywordInfo::mnemonic, mnemonic);
}

bool is_extension(std::string_view name) {
  return !name.empty() && find_in(operations(), &OperationInfo::extension, name) != nullptr;
}

size_t OperationInfo::min_operands() const {
  return static_cast<size_t>(std::count_if(operands.begin(), operands.end(), [](const OperandInfo& operand) {
    return operand.kind != OperandKind::symbol && !operand.optional;
  }));
}

size_t OperationInfo::max_operands() const {
  return assembly == Assembly::weight ? 0 : operands.size();
}

const AttributeInfo* OperationInfo::find_attribute(std::string_view attribute) const {
  return find_in(attributes, &AttributeInfo::name, attribute);
}

}  // namespace lattice::artifact
