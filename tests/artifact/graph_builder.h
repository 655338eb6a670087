#pragma once

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <string>
#include <utility>
#include <vector>

#include "artifact/graph.h"
#include "artifact/op_table.h"
#include "artifact/program.h"
#include "artifact/text_writer.h"
#include "artifact/verifier.h"
#include "lattice/quantized_weight.h"
#include "lattice/random.h"
#include "lattice/safetensors.h"

namespace lattice::artifact {

/// Graphs in memory, with their weights and an input for them.
struct GraphBuilder {
  Graph graph;
  NamedTensors weights, inputs;

  static ElementType element(DType dtype) {
    if (dtype == DType::f16) return ElementType::f16;
    if (dtype == DType::bf16) return ElementType::bf16;
    return dtype == DType::i32 ? ElementType::i32 : ElementType::f32;
  }
  static Type dense_type(DType dtype, Shape dims) { return TensorType{element(dtype), std::move(dims)}; }
  static Type sparse_type(DType dtype) { return SparseType{.dtype = element(dtype)}; }
  static Keyword word(std::string mnemonic, std::string value) { return {std::move(mnemonic), std::move(value)}; }

  ValueId value(const std::string& name, Type type) {
    graph.values.push_back({name + std::to_string(graph.values.size()), std::move(type)});
    return static_cast<ValueId>(graph.values.size() - 1);
  }

  ValueId argument(const std::string& name, const Tensor& tensor, Role role = Role::tensor) {
    Shape dims = tensor.shape();
    if (role != Role::sparse_active) dims[0] = kAnySize;
    const ValueId id = value("arg", dense_type(tensor.dtype(), dims));
    graph.arguments.push_back(id);
    graph.input_names.push_back(name);
    graph.input_roles.push_back(role);
    inputs[name] = tensor;
    return id;
  }

  std::vector<ValueId> operation(const std::string& name, std::vector<ValueId> operands, const std::vector<Type>& types,
                                 std::map<std::string, Attribute, std::less<>> attributes = {}) {
    if (find_operation(name)->extension == "regular") graph.extensions = {"regular"};
    Operation operation = {.name = name,
                           .symbol = "",
                           .operands = std::move(operands),
                           .results = {},
                           .attributes = std::move(attributes),
                           .place = {}};
    for (const Type& type : types) operation.results.push_back(value("v", type));
    graph.operations.push_back(operation);
    return operation.results;
  }

  ValueId sparse(const std::string& name, std::vector<ValueId> operands, DType dtype,
                 std::map<std::string, Attribute, std::less<>> attributes = {}) {
    return operation(name, std::move(operands), {sparse_type(dtype)}, std::move(attributes))[0];
  }
  ValueId dense(const std::string& name, std::vector<ValueId> operands, DType dtype, int64_t channels,
                std::map<std::string, Attribute, std::less<>> attributes = {}) {
    return operation(name, std::move(operands), {dense_type(dtype, {kAnySize, channels})}, std::move(attributes))[0];
  }

  /// A dense operation on the features of a sparse value: decompose, the operation with `more` operands, with_features.
  ValueId on_features(const std::string& name, ValueId x, DType dtype, int64_t in_channels, std::vector<ValueId> more,
                      int64_t out_channels, std::map<std::string, Attribute, std::less<>> attributes = {}) {
    const auto parts = operation("sparse.decompose", {x},
                                 {dense_type(DType::i32, {kAnySize, 4}), dense_type(dtype, {kAnySize, in_channels}),
                                  dense_type(DType::i32, {1})});
    more.insert(more.begin(), parts[1]);
    const ValueId y = dense(name, std::move(more), dtype, out_channels, std::move(attributes));
    return sparse("sparse.with_features", {x, y}, dtype);
  }

  /// A sparse input of logical coordinates, with `padding` rows behind it.
  ValueId sparse_input(const std::string& name, const std::vector<Coord>& coords, const Tensor& features,
                       const Integers& stride = {1, 1, 1}, int64_t padding = 0) {
    std::vector<int32_t> rows;
    for (const Coord& c : coords) {
      for (const int64_t v : {int64_t{c.batch}, c.x * stride[0], c.y * stride[1], c.z * stride[2]}) {
        rows.push_back(static_cast<int32_t>(v));
      }
    }
    const auto active = static_cast<int32_t>(coords.size());
    const auto capacity = static_cast<int64_t>(coords.size()) + padding;
    rows.resize(static_cast<size_t>(4 * capacity), 77777);  // what padding holds is nobody's business
    const ValueId c = argument(name + "_coords", Tensor::from(rows, {capacity, 4}), Role::sparse_coords);
    const ValueId f = argument(name + "_features", features, Role::sparse_features);
    const ValueId n = argument(name + "_active", Tensor::from(std::vector<int32_t>{active}, {1}), Role::sparse_active);
    return sparse("sparse.make", {c, f, n}, features.dtype(),
                  {{"stride", stride}, {"coord_order", word("coord", "batch_x_y_z")}});
  }

  ValueId weight(const std::string& key, const std::string& family, const std::string& layout, const Packing& packing) {
    return operation("weight", {}, {WeightType{family, ElementType::f32}},
                     {{"storage_key", key}, {"layout", word("weight_layout", layout)}, {"packing", packing}})[0];
  }
  ValueId dense_weight(const std::string& key, const std::string& family, const std::string& layout,
                       const Tensor& tensor) {
    weights[key] = tensor;
    return weight(key, family, layout, {});
  }
  ValueId packed_weight(const std::string& key, const std::string& family, const std::string& layout,
                        const QuantizedWeight& packed) {
    weights[key + ".weight"] = packed.words();
    weights[key + ".scales"] = packed.scales();
    weights[key + ".biases"] = packed.biases();
    return weight(key, family, layout,
                  {.kind = packed.bits() == 4 ? "int4" : "int8",
                   .group_size = packed.group_size(),
                   .scale_dtype = element(packed.scales().dtype()),
                   .mode = "affine"});
  }

  void output(const std::string& name, ValueId id) {
    graph.results.push_back(id);
    graph.output_names.push_back(name);
    graph.output_roles.push_back(Role::tensor);
  }

  Model model() const {
    verify(graph);
    return make_model(graph, [this](const std::string& key) -> std::optional<Tensor> {
      const auto found = weights.find(key);
      return found == weights.end() ? std::nullopt : std::optional(found->second);
    });
  }
};

/// Writes graph.mlir and weights.safetensors.
inline void write_artifact(const GraphBuilder& builder, const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  std::ofstream(folder / "graph.mlir") << write_graph(builder.graph);
  save_safetensors(folder / "weights.safetensors", {builder.weights.begin(), builder.weights.end()});
}

/// Values in -1..1.
inline Tensor random_tensor(Random& random, Shape shape, DType dtype = DType::f32) {
  Tensor tensor = Tensor::empty(DType::f32, std::move(shape));
  for (int64_t i = 0; i < tensor.elements(); ++i) {
    tensor.mutable_data<float>()[i] = static_cast<float>(random.uniform(-1, 1));
  }
  return tensor.to(dtype);
}

/// Distinct coordinates in -reach..reach on each axis, in any order, of so many batches.
inline std::vector<Coord> random_coords(Random& random, size_t count, int reach, int batches = 2) {
  std::vector<Coord> coords;
  while (coords.size() < count) {
    const auto axis = [&] { return static_cast<int32_t>(std::floor(random.uniform(-reach, reach + 1))); };
    const Coord coord = {static_cast<int32_t>(random.uniform(0, batches)), axis(), axis(), axis()};
    if (std::find(coords.begin(), coords.end(), coord) == coords.end()) coords.push_back(coord);
  }
  return coords;
}

}  // namespace lattice::artifact
