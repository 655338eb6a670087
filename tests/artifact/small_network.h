#pragma once

#include "artifact/graph_builder.h"

namespace lattice::artifact {

/// A small encoder and decoder as exporters write them: two inputs of points, norms and activations between decompose
/// and with_features, a strided level, a way back onto the first level's rows, a skip connection, two outputs.
class SmallNetwork {
 public:
  explicit SmallNetwork(int64_t channels = 8) : channels_(channels) {
    ValueId x = graph_.sparse_input("x", {}, Tensor::zeros(DType::f32, {0, 3}));
    x = block("stem", "subm_conv3d", {x}, 3, {3, 3, 3}, {1, 1, 1});
    ValueId down = block("down", "conv3d", {x}, channels_, {2, 2, 2}, {2, 2, 2});
    const ValueId inner = block("inner", "subm_conv3d", {down}, channels_, {3, 3, 3}, {1, 1, 1});
    down = graph_.sparse("sparse.binary", {inner, down}, DType::f32,
                         {{"op", GraphBuilder::word("binary_op", "add")},
                          {"join", GraphBuilder::word("join", "outer")},
                          {"lhs_fill", 0.0F},
                          {"rhs_fill", 0.0F}});
    const ValueId up = block("up", "target_conv_transpose3d", {down, x}, channels_, {2, 2, 2}, {2, 2, 2});
    const ValueId both =
        graph_.sparse("sparse.cat", {up, x}, DType::f32, {{"join", GraphBuilder::word("join", "inner")}});
    const ValueId y = block("head", "conv3d", {both}, 2 * channels_, {1, 1, 1}, {1, 1, 1});
    graph_.output("y", y);
    graph_.output("pooled",
                  graph_.dense("global_pool", {y}, DType::f32, channels_,
                               {{"mode", GraphBuilder::word("pool_mode", "avg")}, {"batch_size", int64_t{2}}}));
  }

  const GraphBuilder& graph() const { return graph_; }
  Model model() const { return graph_.model(); }

  /// The input that a seed stands for.
  static NamedTensors request(uint64_t seed) {
    GraphBuilder graph;
    request_into(graph, seed);
    return graph.inputs;
  }

 private:
  static void request_into(GraphBuilder& graph, uint64_t seed) {
    Random random(seed);
    const auto rows = static_cast<size_t>(random.uniform(0, 60));
    graph.sparse_input("x", random_coords(random, rows, 4), random_tensor(random, {static_cast<int64_t>(rows) + 2, 3}),
                       {1, 1, 1}, 2);
    graph.graph = {};
  }

  ValueId vector(const std::string& key, double offset, const std::string& family = "channel") {
    Tensor values = random_tensor(random_, {channels_});
    for (int64_t i = 0; i < channels_; ++i) values.mutable_data<float>()[i] += static_cast<float>(offset);
    return graph_.dense_weight(key, family, family == "bias" ? "bias_c" : "channel_c", values);
  }

  /// A convolution, its norm and its activation.
  ValueId block(const std::string& key, const std::string& name, std::vector<ValueId> operands, int64_t ins,
                const Integers& size, const Integers& stride) {
    std::map<std::string, Attribute, std::less<>> attributes = {
        {"kernel_size", size}, {"dilation", Integers{1, 1, 1}}, {"accumulation", std::string("canonical_f32")}};
    if (name != "subm_conv3d") {
      attributes["stride"] = stride;
      attributes["padding"] = Integers{0, 0, 0};
    }
    operands.push_back(graph_.dense_weight(key, "conv3d", "conv3d_o_xyz_i",
                                           random_tensor(random_, {channels_, size[0], size[1], size[2], ins})));
    operands.push_back(vector(key + ".bias", 0, "bias"));
    ValueId y = graph_.sparse(name, operands, DType::f32, attributes);
    y = on_features(y, "batch_norm",
                    {vector(key + ".scale", 0), vector(key + ".shift", 0, "bias"), vector(key + ".mean", 0),
                     vector(key + ".var", 1.5)},
                    {{"eps", 1e-3F}});
    return on_features(y, "activation", {},
                       {{"kind", GraphBuilder::word("activation", "relu")},
                        {"approximate", GraphBuilder::word("gelu_approx", "none")},
                        {"alpha", 0.01F},
                        {"beta", 1.0F},
                        {"threshold", 20.0F}});
  }

  ValueId on_features(ValueId x, const std::string& name, std::vector<ValueId> more,
                      const std::map<std::string, Attribute, std::less<>>& attributes) {
    return graph_.on_features(name, x, DType::f32, channels_, std::move(more), channels_, attributes);
  }

  int64_t channels_;
  Random random_{11};
  GraphBuilder graph_;
};

}  // namespace lattice::artifact
