#include <gtest/gtest.h>

#include "artifact/compare.h"

// Every operation and attribute value, compared with the evaluator that was written from the page: random small inputs
// with negative coordinates, two batches, padding rows, strides, f32 and f16.

namespace lattice::artifact {
namespace {

constexpr Integers kOne = {1, 1, 1}, kTwo = {2, 2, 2}, kThree = {3, 3, 3}, kZero = {0, 0, 0};

class Operations : public ::testing::TestWithParam<DType> {
 protected:
  DType dtype() const { return GetParam(); }

  /// An input of so many channels with `padding` rows behind it.
  ValueId input(GraphBuilder& graph, int64_t channels, const Integers& stride = kOne, size_t rows = 24,
                const std::string& name = "x") {
    const int64_t padding = 3;
    return graph.sparse_input(name, random_coords(random_, rows, 4),
                              random_tensor(random_, {static_cast<int64_t>(rows) + padding, channels}, dtype()), stride,
                              padding);
  }

  ValueId kernel(GraphBuilder& graph, const Integers& size, int64_t ins, int64_t outs) {
    return graph.dense_weight("kernel" + std::to_string(graph.weights.size()), "conv3d", "conv3d_o_xyz_i",
                              random_tensor(random_, {outs, size[0], size[1], size[2], ins}, dtype()));
  }
  ValueId vector(GraphBuilder& graph, const std::string& key, int64_t size, const std::string& family = "channel",
                 bool positive = false) {
    Tensor values = random_tensor(random_, {size});
    for (int64_t i = 0; positive && i < size; ++i) values.mutable_data<float>()[i] += 1.5F;
    return graph.dense_weight(key, family, family == "bias" ? "bias_c" : "channel_c", values.to(dtype()));
  }
  ValueId bias(GraphBuilder& graph, int64_t size) { return vector(graph, "bias", size, "bias"); }

  using Attributes = std::map<std::string, Attribute, std::less<>>;
  static Attributes convolution(const Integers& size, const Integers& stride, const Integers& padding,
                                const Integers& dilation) {
    return {{"kernel_size", size},
            {"stride", stride},
            {"padding", padding},
            {"dilation", dilation},
            {"accumulation", std::string("canonical_f32")}};
  }

  Random random_{7};
};

TEST_P(Operations, Convolution) {
  struct Case {
    Integers size, stride, padding, dilation;
  };
  for (const Case& c : {Case{kThree, kOne, kZero, kOne}, Case{kThree, kOne, kOne, kOne}, Case{kTwo, kTwo, kZero, kOne},
                        Case{{3, 1, 2}, {2, 1, 3}, {1, 0, 2}, {1, 2, 1}}, Case{kOne, kOne, kZero, kOne},
                        Case{kOne, kTwo, kOne, kOne}, Case{kThree, kOne, kZero, {2, 1, 3}}}) {
    for (const char* name : {"conv3d", "regular_conv3d"}) {
      for (const bool with_bias : {false, true}) {
        GraphBuilder graph;
        std::vector<ValueId> operands = {input(graph, 3, {2, 1, 1}), kernel(graph, c.size, 3, 5)};
        if (with_bias) operands.push_back(bias(graph, 5));
        graph.output("y", graph.sparse(name, operands, dtype(), convolution(c.size, c.stride, c.padding, c.dilation)));
        expect_as_evaluated(graph);
      }
    }
  }
}

TEST_P(Operations, RegularWithExtent) {
  for (const Integers& extent : {Integers{9, 7, 8}, Integers{-1, -1, -1}}) {
    for (const char* mode : {"", "sum", "max", "avg"}) {
      GraphBuilder graph;
      std::vector<Coord> coords;
      for (Coord c : random_coords(random_, 20, 3)) coords.push_back({c.batch, c.x + 3, c.y + 3, c.z + 3});
      const ValueId x = graph.sparse_input("x", coords, random_tensor(random_, {20, 2}, dtype()));
      ValueId y = graph.sparse("sparse.bound", {x}, dtype(), {{"extent", extent}});
      y = graph.sparse("subm_conv3d", {y, kernel(graph, kThree, 2, 2)}, dtype(),
                       {{"kernel_size", kThree}, {"dilation", kOne}, {"accumulation", std::string("canonical_f32")}});
      Attributes attributes = convolution(kThree, kTwo, kOne, kOne);
      if (*mode == 0) {
        y = graph.sparse("regular_conv3d", {y, kernel(graph, kThree, 2, 4)}, dtype(), attributes);
      } else {
        attributes.erase("accumulation");
        attributes["mode"] = GraphBuilder::word("pool_mode", mode);
        y = graph.sparse("regular_pool3d", {y}, dtype(), attributes);
      }
      graph.output("y", y);
      expect_as_evaluated(graph);
    }
  }
}

TEST_P(Operations, SubmanifoldAndNormalized) {
  for (const Integers& size : {kThree, kOne, Integers{1, 5, 3}}) {
    for (const Integers& dilation : {kOne, kTwo}) {
      for (const char* name : {"subm_conv3d", "normalized_subm_conv3d"}) {
        GraphBuilder graph;
        Attributes attributes = {
            {"kernel_size", size}, {"dilation", dilation}, {"accumulation", std::string("canonical_f32")}};
        if (name[0] == 'n') attributes["eps"] = 1e-3F;
        graph.output(
            "y", graph.sparse(name, {input(graph, 3), kernel(graph, size, 3, 4), bias(graph, 4)}, dtype(), attributes));
        expect_as_evaluated(graph);
      }
    }
  }
}

TEST_P(Operations, TargetConvolution) {
  GraphBuilder graph;
  const ValueId x = input(graph, 3), target = input(graph, 2, {2, 1, 2}, 15, "target");
  graph.output("y", graph.sparse("target_conv3d", {x, target, kernel(graph, {3, 3, 2}, 3, 4), bias(graph, 4)}, dtype(),
                                 convolution({3, 3, 2}, {2, 1, 2}, {1, 0, 1}, kOne)));
  expect_as_evaluated(graph);
}

TEST_P(Operations, Transposed) {
  struct Case {
    Integers size, stride, padding, dilation;
  };
  for (const Case& c : {Case{kTwo, kTwo, kZero, kOne}, Case{kThree, kTwo, kOne, kOne},
                        Case{{3, 1, 2}, {1, 1, 2}, {2, 0, 0}, {2, 1, 1}}}) {
    for (const char* name : {"conv_transpose3d", "normalized_conv_transpose3d", "target_conv_transpose3d",
                             "target_normalized_conv_transpose3d"}) {
      GraphBuilder graph;
      const std::string text = name;
      std::vector<ValueId> operands = {input(graph, 3, {2, 4, 2}, 12)};
      if (text.starts_with("target")) {
        const Integers finer = {2 / c.stride[0], 4 / c.stride[1], 2 / c.stride[2]};
        operands.push_back(input(graph, 1, finer, 40, "target"));
      }
      operands.push_back(kernel(graph, c.size, 3, 2));
      operands.push_back(bias(graph, 2));
      Attributes attributes = convolution(c.size, c.stride, c.padding, c.dilation);
      if (text.find("normalized") != std::string::npos) attributes["eps"] = 1e-5F;
      graph.output("y", graph.sparse(name, operands, dtype(), attributes));
      expect_as_evaluated(graph);
    }
  }
}

TEST_P(Operations, Generative) {
  for (const char* name : {"generative_conv_transpose3d", "normalized_generative_conv_transpose3d"}) {
    GraphBuilder graph;
    Attributes attributes = {{"kernel_size", Integers{2, 1, 2}},
                             {"stride", Integers{2, 2, 2}},
                             {"accumulation", std::string("canonical_f32")}};
    if (name[0] == 'n') attributes["eps"] = 1e-8F;
    graph.output("y", graph.sparse(name, {input(graph, 3, {4, 2, 2}), kernel(graph, {2, 1, 2}, 3, 2), bias(graph, 2)},
                                   dtype(), attributes));
    expect_as_evaluated(graph);
  }
}

TEST_P(Operations, PackedConvolutions) {
  for (const int64_t bits : {4, 8}) {
    for (const Integers& size : {kThree, kOne}) {
      for (const char* name : {"conv3d", "subm_conv3d", "target_conv3d", "conv_transpose3d",
                               "generative_conv_transpose3d", "regular_conv3d", "normalized_subm_conv3d"}) {
        const std::string text = name;
        if (text == "normalized_subm_conv3d" && size != kOne) continue;
        GraphBuilder graph;
        const bool generative = text == "generative_conv_transpose3d", subm = text.find("subm") != std::string::npos;
        const Integers stride = generative ? size : kOne;
        Attributes attributes = convolution(size, stride, kZero, kOne);
        if (subm || generative) attributes.erase("padding");
        if (subm) attributes.erase("stride");
        if (generative) attributes.erase("dilation");
        if (text.starts_with("normalized")) attributes["eps"] = 1e-3F;
        std::vector<ValueId> operands = {input(graph, 35, {3, 3, 3})};
        if (text.starts_with("target")) operands.push_back(input(graph, 1, {3, 3, 3}, 15, "target"));
        operands.push_back(graph.packed_weight(
            "kernel", "conv3d", "conv3d_o_xyz_i",
            QuantizedWeight::pack(random_tensor(random_, {6, size[0], size[1], size[2], 35}, dtype()),
                                  {.bits = bits, .group_size = 32})));
        operands.push_back(bias(graph, 6));
        graph.output("y", graph.sparse(name, operands, dtype(), attributes));
        expect_as_evaluated(graph);
      }
    }
  }
}

TEST_P(Operations, Pooling) {
  for (const char* mode : {"sum", "max", "avg"}) {
    for (const auto& [size, stride, padding] : {std::tuple(kTwo, kTwo, kZero), std::tuple(kThree, kTwo, kOne),
                                                std::tuple(kThree, kOne, kZero), std::tuple(kOne, kTwo, kZero)}) {
      GraphBuilder graph;
      Attributes attributes = convolution(size, stride, padding, kOne);
      attributes.erase("accumulation");
      attributes["mode"] = GraphBuilder::word("pool_mode", mode);
      graph.output("y", graph.sparse("pool3d", {input(graph, 3)}, dtype(), attributes));
      expect_as_evaluated(graph);
    }
  }
}

TEST_P(Operations, PoolTransposeAndTrilinear) {
  for (const bool with_target : {false, true}) {
    for (const bool trilinear : {false, true}) {
      GraphBuilder graph;
      std::vector<ValueId> operands = {input(graph, 3, {2, 3, 2}, 12)};
      if (with_target) operands.push_back(input(graph, 1, {1, 1, 2}, 40, "target"));
      Attributes attributes = {{"stride", Integers{2, 3, 1}}};
      if (!trilinear) {
        attributes["kernel_size"] = Integers{3, 3, 2};
        attributes["padding"] = Integers{1, 0, 0};
        attributes["dilation"] = Integers{1, 1, 1};
      }
      graph.output(
          "y", graph.sparse(trilinear ? "trilinear_upsample3d" : "pool_transpose3d", operands, dtype(), attributes));
      expect_as_evaluated(graph);
    }
  }
}

TEST_P(Operations, GlobalPool) {
  for (const char* mode : {"sum", "max", "avg"}) {
    for (const int64_t batches : {-1, 1, 2, 4}) {
      if (std::string(mode) == "max" && batches == 4) continue;  // batches 2 and 3 are empty
      GraphBuilder graph;
      const ValueId x = input(graph, 3);
      graph.output("y", graph.dense("global_pool", {x}, dtype(), 3,
                                    {{"mode", GraphBuilder::word("pool_mode", mode)}, {"batch_size", batches}}));
      expect_as_evaluated(graph);
    }
  }
}

TEST_P(Operations, Joins) {
  for (const char* join : {"inner", "left", "right", "outer"}) {
    for (const char* op : {"add", "sub", "mul", "maximum", "minimum", "cat"}) {
      for (const bool same : {false, true}) {
        GraphBuilder graph;
        const ValueId x = input(graph, 3, kTwo, 60), z = same ? x : input(graph, 3, kTwo, 50, "z");
        Attributes attributes = {{"join", GraphBuilder::word("join", join)}};
        const bool cat = std::string(op) == "cat";
        if (!cat) {
          attributes["op"] = GraphBuilder::word("binary_op", op);
          attributes["lhs_fill"] = 0.3F;
          attributes["rhs_fill"] = -1.7F;
        }
        graph.output("y", graph.sparse(cat ? "sparse.cat" : "sparse.binary", {x, z}, dtype(), attributes));
        expect_as_evaluated(graph);
      }
    }
  }
}

// Of operands of two types each fill is one of its own operand's.
TEST(OperationsOfTwoTypes, FillsAreRounded) {
  for (const DType narrow : {DType::f16, DType::bf16}) {
    NamedTensors results[2];
    for (const bool rounded : {false, true}) {
      Random random(5);
      const auto fill = [&](float value) { return rounded ? rounded_to(value, narrow) : value; };
      GraphBuilder graph;
      const auto input = [&](const std::string& name, DType dtype) {
        return graph.sparse_input(name, random_coords(random, 20, 3), random_tensor(random, {20, 3}, dtype), kOne);
      };
      const ValueId x = input("x", narrow), z = input("z", DType::f32);
      graph.output("y", graph.sparse("sparse.binary", {x, z}, DType::f32,
                                     {{"join", GraphBuilder::word("join", "outer")},
                                      {"op", GraphBuilder::word("binary_op", "add")},
                                      {"lhs_fill", fill(0.3F)},
                                      {"rhs_fill", 0.0F}}));
      Session session({.threads = 1});
      graph.model().program().run(session, graph.inputs, results[rounded]);
    }
    EXPECT_THAT(results[0].at("y.features").values<float>(),
                ::testing::ElementsAreArray(results[1].at("y.features").values<float>()))
        << name(narrow);
  }
}

TEST_P(Operations, Reindex) {
  for (const float fill : {0.0F, 2.5F}) {
    GraphBuilder graph;
    const ValueId x = input(graph, 3, kTwo, 60), target = input(graph, 5, kTwo, 50, "target");
    graph.output("y", graph.sparse("sparse.reindex", {x, target}, dtype(), {{"fill", fill}}));
    expect_as_evaluated(graph);
  }
}

TEST_P(Operations, Activations) {
  for (const char* kind : {"relu", "sigmoid", "gelu", "silu", "leaky_relu", "tanh", "softplus"}) {
    for (const char* form : {"none", "precise", "tanh", "fast"}) {
      GraphBuilder graph;
      Tensor x = Tensor::empty(DType::f32, {9, 5});
      for (int64_t i = 0; i < 45; ++i) x.mutable_data<float>()[i] = static_cast<float>(i - 22) / 4;
      const ValueId argument = graph.argument("x", x.to(dtype()));
      graph.output("y", graph.dense("activation", {argument}, dtype(), 5,
                                    {{"kind", GraphBuilder::word("activation", kind)},
                                     {"approximate", GraphBuilder::word("gelu_approx", form)},
                                     {"alpha", 0.2F},
                                     {"beta", 1.5F},
                                     {"threshold", 4.0F}}));
      expect_as_evaluated(graph);
    }
  }
}

TEST_P(Operations, NormsAndLinear) {
  for (const char* name : {"batch_norm", "layer_norm", "rms_norm", "linear"}) {
    GraphBuilder graph;
    const std::string text = name;
    std::vector<ValueId> operands = {graph.argument("x", random_tensor(random_, {11, 6}, dtype()))};
    Attributes attributes = {{"eps", 1e-3F}};
    if (text == "linear") {
      attributes.clear();
      operands.push_back(graph.dense_weight("w", "linear", "linear_o_i", random_tensor(random_, {6, 6}, dtype())));
      operands.push_back(bias(graph, 6));
    } else {
      operands.push_back(vector(graph, "scale", 6));
      if (text != "rms_norm") operands.push_back(bias(graph, 6));
      if (text == "batch_norm") {
        operands.push_back(vector(graph, "mean", 6));
        operands.push_back(vector(graph, "var", 6, "channel", true));
      }
    }
    graph.output("y", graph.dense(name, operands, dtype(), 6, attributes));
    expect_as_evaluated(graph);
  }
}

INSTANTIATE_TEST_SUITE_P(Types, Operations, ::testing::Values(DType::f32, DType::f16),
                         [](const auto& instance) { return std::string(name(instance.param)); });

}  // namespace
}  // namespace lattice::artifact
