#include "lattice/model_builder.h"

#include <fmt/format.h>

#include <algorithm>
#include <system_error>
#include <utility>

#include "artifact/graph.h"
#include "artifact/op_table.h"
#include "artifact/program.h"
#include "artifact/text_writer.h"
#include "artifact/verifier.h"
#include "fail.h"
#include "io/output_file.h"
#include "lattice/safetensors.h"

namespace lattice {
namespace {

using artifact::ElementType;
using artifact::Integers;
using artifact::Keyword;
using artifact::ValueId;
using Attributes = std::map<std::string, artifact::Attribute, std::less<>>;

constexpr std::string_view kOperation = "model_builder";

Integers integers(const Triple& triple) {
  return {triple.x, triple.y, triple.z};
}

Keyword keyword(std::string mnemonic, std::string_view value) {
  return {std::move(mnemonic), std::string(value)};
}

artifact::TensorType dense_type(ElementType element, Shape dims) {
  return {element, std::move(dims)};
}

Attributes join_attribute(Join join) {
  return {{"join", keyword("join", name(join))}};
}

/// What every convolution of the format says of its kernel.
Attributes kernel_of(const ConvModule& conv) {
  return {{"kernel_size", integers(conv.geometry().kernel_size())}, {"accumulation", std::string("canonical_f32")}};
}

Attributes attributes_of(const ConvGeometry& geometry) {
  return {{"kernel_size", integers(geometry.kernel_size())},
          {"stride", integers(geometry.stride())},
          {"padding", integers(geometry.padding())},
          {"dilation", integers(geometry.dilation())}};
}

Attributes full_geometry(const ConvModule& conv) {
  Attributes attributes = kernel_of(conv);
  attributes.merge(attributes_of(conv.geometry()));
  return attributes;
}

/// The format's name of a pooling's mode.
std::string_view spelled(PoolMode mode) {
  return mode == PoolMode::average ? "avg" : name(mode);
}

Tensor filled(int64_t channels, float value) {
  Tensor tensor = Tensor::empty(DType::f32, {channels});
  std::fill_n(tensor.mutable_data<float>(), channels, value);
  return tensor;
}

/// The format's name of an activation's kind, and of gelu's approximation.
std::pair<std::string, std::string> spelled(ActivationKind kind) {
  switch (kind) {
    case ActivationKind::gelu:
      return {"gelu", "none"};
    case ActivationKind::gelu_tanh:
      return {"gelu", "tanh"};
    case ActivationKind::gelu_fast:
      return {"gelu", "fast"};
    case ActivationKind::none:
      break;
    default:
      return {std::string(name(kind)), "none"};
  }
  fail(ErrorCode::unsupported, "{}: the format has no activation {}; leave it out", kOperation, name(kind));
}

artifact::TensorType features_type(int64_t channels) {
  return dense_type(ElementType::f32, {artifact::kAnySize, channels});
}

void check_layer_name(const std::string& name) {
  if (!name.empty()) return;
  fail(ErrorCode::invalid_argument, "{}: a layer needs a name; its weights are stored by it", kOperation);
}

}  // namespace

struct ModelBuilder::Parts {
  artifact::Graph graph;
  NamedTensors weights;

  ValueId value(std::string_view prefix, artifact::Type type) {
    graph.values.push_back({.name = fmt::format("{}{}", prefix, graph.values.size()), .type = std::move(type)});
    return static_cast<ValueId>(graph.values.size() - 1);
  }

  ValueId argument(const std::string& name, artifact::TensorType type, artifact::Role role) {
    graph.arguments.push_back(value("a", std::move(type)));
    graph.input_names.push_back(name);
    graph.input_roles.push_back(role);
    return graph.arguments.back();
  }

  std::vector<ValueId> operation(std::string name, std::vector<ValueId> operands,
                                 const std::vector<artifact::Type>& results, Attributes attributes) {
    artifact::Operation operation;
    operation.name = std::move(name);
    operation.operands = std::move(operands);
    operation.attributes = std::move(attributes);
    for (const artifact::Type& type : results) operation.results.push_back(value("v", type));
    const artifact::OperationInfo* row = artifact::find_operation(operation.name);
    if (!row->extension.empty()) graph.extensions = {std::string(row->extension)};
    graph.operations.push_back(operation);
    return operation.results;
  }
  ValueId sparse(std::string name, std::vector<ValueId> operands, Attributes attributes) {
    return operation(std::move(name), std::move(operands), {artifact::SparseType{}}, std::move(attributes)).front();
  }

  void store(const std::string& key, const Tensor& tensor) {
    if (!weights.emplace(key, tensor).second) {
      fail(ErrorCode::invalid_argument, "{}: {} names a tensor already; give each layer a name of its own", kOperation,
           key);
    }
  }

  ValueId weight(const std::string& key, std::string_view family, std::string_view layout, artifact::Packing packing) {
    return operation("weight", {}, {artifact::WeightType{std::string(family), ElementType::f32}},
                     {{"storage_key", key}, {"layout", keyword("weight_layout", layout)}, {"packing", packing}})
        .front();
  }
  ValueId dense_weight(const std::string& key, const Tensor& tensor) {
    store(key, tensor);
    return weight(key, "conv3d", "conv3d_o_xyz_i", {});
  }
  ValueId packed_weight(const std::string& key, const QuantizedWeight& packed) {
    store(key + ".weight", packed.words());
    store(key + ".scales", packed.scales());
    store(key + ".biases", packed.biases());
    return weight(key, "conv3d", "conv3d_o_xyz_i",
                  {.kind = packed.bits() == 4 ? "int4" : "int8",
                   .group_size = packed.group_size(),
                   .scale_dtype = packed.scales().dtype() == DType::f16 ? ElementType::f16 : ElementType::f32,
                   .mode = "affine"});
  }

  /// A convolution of `operands`, which its weight and bias follow.
  ValueId convolution(const std::string& name, std::string operation_name, const ConvModule& conv,
                      std::vector<ValueId> operands, Attributes attributes, bool may_be_packed) {
    check_layer_name(name);
    const std::string key = name + ".weight";
    const ConvWeight& weight = conv.weight();
    if (weight.is_packed()) {
      operands.push_back(may_be_packed ? packed_weight(key, weight.packed())
                                       : dense_weight(key, weight.packed().dequantize().to(DType::f32)));
    } else {
      operands.push_back(dense_weight(key, weight.dense().to(DType::f32)));
    }
    if (conv.bias().defined()) operands.push_back(vector(name + ".bias", "bias", conv.bias().to(DType::f32)));
    return sparse(std::move(operation_name), std::move(operands), std::move(attributes));
  }

  /// A vector of weights, one a channel.
  ValueId vector(const std::string& key, std::string_view family, const Tensor& tensor) {
    store(key, tensor);
    return weight(key, family, family == "bias" ? "bias_c" : "channel_c", {});
  }

  /// Coordinates, features and number of rows.
  std::vector<ValueId> decomposed(ValueId x, int64_t channels) {
    return operation("sparse.decompose", {x},
                     {dense_type(ElementType::i32, {artifact::kAnySize, 4}), features_type(channels),
                      dense_type(ElementType::i32, {1})},
                     {});
  }
  ValueId make(std::vector<ValueId> parts, const Triple& stride) {
    return sparse("sparse.make", std::move(parts),
                  {{"stride", integers(stride)}, {"coord_order", keyword("coord", "batch_x_y_z")}});
  }

  /// An operation on features alone, and the weights that it takes.
  ValueId on_features(std::string name, ValueId x, int64_t channels, Attributes attributes,
                      const std::vector<ValueId>& vectors = {}) {
    std::vector<ValueId> operands = {decomposed(x, channels)[1]};
    operands.insert(operands.end(), vectors.begin(), vectors.end());
    const ValueId changed =
        operation(std::move(name), std::move(operands), {features_type(channels)}, std::move(attributes)).front();
    return sparse("sparse.with_features", {x, changed}, {});
  }
};

ModelBuilder::ModelBuilder() : parts_(std::make_unique<Parts>()) {}
ModelBuilder::~ModelBuilder() = default;
ModelBuilder::ModelBuilder(ModelBuilder&&) noexcept = default;
ModelBuilder& ModelBuilder::operator=(ModelBuilder&&) noexcept = default;

ModelBuilder::Value ModelBuilder::made(int32_t id, int64_t channels) const {
  Value value;
  value.id = id;
  value.channels = channels;
  value.builder = parts_.get();
  return value;
}

int32_t ModelBuilder::id_of(Value value) const {
  if (value.builder != parts_.get()) {
    fail(ErrorCode::invalid_argument, "{}: a value of another builder, or none; take those that this one returned",
         kOperation);
  }
  return value.id;
}

ModelBuilder::Value ModelBuilder::sparse_input(const std::string& name, int64_t channels, const Triple& stride) {
  if (channels < 1) fail(ErrorCode::invalid_argument, "{}: channels {} must be at least 1", kOperation, channels);
  const ValueId coords = parts_->argument(name + "_coords", dense_type(ElementType::i32, {artifact::kAnySize, 4}),
                                          artifact::Role::sparse_coords);
  const ValueId features =
      parts_->argument(name + "_features", features_type(channels), artifact::Role::sparse_features);
  const ValueId active =
      parts_->argument(name + "_active", dense_type(ElementType::i32, {1}), artifact::Role::sparse_active);
  return made(parts_->make({coords, features, active}, stride), channels);
}

ModelBuilder::Value ModelBuilder::layer(const std::string& name, const SubmConv3d& conv, Value x) {
  Attributes attributes = kernel_of(conv);
  attributes["dilation"] = integers(conv.geometry().dilation());
  return made(parts_->convolution(name, "subm_conv3d", conv, {id_of(x)}, std::move(attributes), true),
              conv.out_channels());
}

ModelBuilder::Value ModelBuilder::layer(const std::string& name, const Conv3d& conv, Value x) {
  const bool is_regular = conv.support() == SupportRule::regular;
  return made(
      parts_->convolution(name, is_regular ? "regular_conv3d" : "conv3d", conv, {id_of(x)}, full_geometry(conv), true),
      conv.out_channels());
}

ModelBuilder::Value ModelBuilder::layer(const std::string& name, const Conv3d& conv, Value x, Value target) {
  return made(parts_->convolution(name, "target_conv3d", conv, {id_of(x), id_of(target)}, full_geometry(conv), true),
              conv.out_channels());
}

ModelBuilder::Value ModelBuilder::layer(const std::string& name, const ConvTranspose3d& conv, Value x) {
  return made(parts_->convolution(name, "conv_transpose3d", conv, {id_of(x)}, full_geometry(conv), true),
              conv.out_channels());
}

ModelBuilder::Value ModelBuilder::layer(const std::string& name, const ConvTranspose3d& conv, Value x, Value target) {
  return made(
      parts_->convolution(name, "target_conv_transpose3d", conv, {id_of(x), id_of(target)}, full_geometry(conv), false),
      conv.out_channels());
}

ModelBuilder::Value ModelBuilder::layer(const std::string& name, const GenerativeConvTranspose3d& conv, Value x) {
  Attributes attributes = kernel_of(conv);
  attributes["stride"] = integers(conv.geometry().stride());
  return made(parts_->convolution(name, "generative_conv_transpose3d", conv, {id_of(x)}, std::move(attributes), true),
              conv.out_channels());
}

ModelBuilder::Value ModelBuilder::norm(const std::string& name, const ScaleShift& folded, Value x) {
  check_layer_name(name);
  const ValueId input = id_of(x);
  for (const Tensor* tensor : {&folded.scale, &folded.shift}) {
    if (tensor->shape() == Shape{x.channels}) continue;
    fail(ErrorCode::invalid_argument, "{}: norm {} has a vector of shape {}, but must have ({}), one number a channel",
         kOperation, name, to_string(tensor->shape()), x.channels);
  }
  // With mean 0 and variance + eps = 1, folding gives scale / 1 and shift - 0. Both terms have few bits, so that their
  // sum is exact in every precision.
  constexpr float kEps = 0x1p-10F;
  const std::vector<ValueId> vectors = {
      parts_->vector(name + ".scale", "channel", folded.scale.to(DType::f32)),
      parts_->vector(name + ".shift", "bias", folded.shift.to(DType::f32)),
      parts_->vector(name + ".mean", "channel", Tensor::zeros(DType::f32, {x.channels})),
      parts_->vector(name + ".variance", "channel", filled(x.channels, 1 - kEps)),
  };
  return made(parts_->on_features("batch_norm", input, x.channels, {{"eps", kEps}}, vectors), x.channels);
}

ModelBuilder::Value ModelBuilder::activate(const Activation& activation, Value x) {
  const auto [kind, approximate] = spelled(activation.kind);
  return made(parts_->on_features("activation", id_of(x), x.channels,
                                  {{"kind", keyword("activation", kind)},
                                   {"approximate", keyword("gelu_approx", approximate)},
                                   {"alpha", activation.alpha},
                                   {"beta", activation.beta},
                                   {"threshold", activation.threshold}}),
              x.channels);
}

ModelBuilder::Value ModelBuilder::add(Value lhs, Value rhs, Join join) {
  Attributes attributes = join_attribute(join);
  attributes["op"] = keyword("binary_op", "add");
  attributes["lhs_fill"] = 0.0F;
  attributes["rhs_fill"] = 0.0F;
  return made(parts_->sparse("sparse.binary", {id_of(lhs), id_of(rhs)}, std::move(attributes)), lhs.channels);
}

ModelBuilder::Value ModelBuilder::cat(Value lhs, Value rhs, Join join) {
  return made(parts_->sparse("sparse.cat", {id_of(lhs), id_of(rhs)}, join_attribute(join)),
              lhs.channels + rhs.channels);
}

ModelBuilder::Value ModelBuilder::pool(PoolMode mode, const ConvGeometry& geometry, Value x, SupportRule support) {
  Attributes attributes = attributes_of(geometry);
  attributes["mode"] = keyword("pool_mode", spelled(mode));
  const char* operation = support == SupportRule::regular ? "regular_pool3d" : "pool3d";
  return made(parts_->sparse(operation, {id_of(x)}, std::move(attributes)), x.channels);
}

ModelBuilder::Value ModelBuilder::bound(Value x, const Triple& extent) {
  for (const int64_t size : {extent.x, extent.y, extent.z}) {
    if (size > 0 || size == -1) continue;
    fail(ErrorCode::invalid_argument, "{}: extent {} must be above 0, or -1, on every axis", kOperation,
         to_string(extent));
  }
  return made(parts_->sparse("sparse.bound", {id_of(x)}, {{"extent", integers(extent)}}), x.channels);
}

ModelBuilder::Value ModelBuilder::on_lattice(Value x, const Triple& stride) {
  // Places are physical in a decomposed value, so that making it anew divides them by the other stride.
  return made(parts_->make(parts_->decomposed(id_of(x), x.channels), stride), x.channels);
}

void ModelBuilder::output(const std::string& name, Value value) {
  parts_->graph.results.push_back(id_of(value));
  parts_->graph.output_names.push_back(name);
  parts_->graph.output_roles.push_back(artifact::Role::sparse_tensor);
}

Model ModelBuilder::model() const {
  artifact::verify(parts_->graph, kOperation);
  return artifact::make_model(parts_->graph, [this](const std::string& key) -> std::optional<Tensor> {
    const auto found = parts_->weights.find(key);
    return found == parts_->weights.end() ? std::nullopt : std::optional(found->second);
  });
}

void ModelBuilder::save(const std::filesystem::path& directory) const {
  artifact::verify(parts_->graph, kOperation);
  std::error_code error;
  std::filesystem::create_directories(directory, error);
  if (error) {
    fail(ErrorCode::io, "{}: the folder {} cannot be made: {}", kOperation, directory.string(), error.message());
  }
  // Weights first: a folder without a graph is no model, one whose weights are missing would be a broken one.
  save_safetensors(directory / "weights.safetensors", {parts_->weights.begin(), parts_->weights.end()});
  OutputFile graph(directory / "graph.mlir", kOperation);
  graph.write(artifact::write_graph(parts_->graph));
  graph.commit();
}

}  // namespace lattice
