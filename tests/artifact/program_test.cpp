#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifact/compare.h"
#include "lattice/error.h"

// Operations of one type alone, and what concerns the graph as a whole: fusion, padding, outputs, errors.

namespace lattice::artifact {
namespace {

using ::testing::HasSubstr;
using Attributes = std::map<std::string, Attribute, std::less<>>;

constexpr Integers kOne = {1, 1, 1}, kThree = {3, 3, 3};

Attributes activation(const std::string& kind) {
  return {{"kind", GraphBuilder::word("activation", kind)},
          {"approximate", GraphBuilder::word("gelu_approx", "none")},
          {"alpha", 0.01F},
          {"beta", 1.0F},
          {"threshold", 20.0F}};
}

Attributes subm(const Integers& size) {
  return {{"kernel_size", size}, {"dilation", kOne}, {"accumulation", std::string("canonical_f32")}};
}

Tensor integers(const std::vector<int32_t>& values) {
  return Tensor::from(values, {static_cast<int64_t>(values.size())});
}

class ProgramTest : public ::testing::Test {
 protected:
  ValueId input(const std::string& name, int64_t channels, int64_t padding = 0, size_t rows = 20) {
    return graph_.sparse_input(name, random_coords(random_, rows, 3),
                               random_tensor(random_, {static_cast<int64_t>(rows) + padding, channels}), kOne, padding);
  }
  ValueId kernel(const std::string& key, int64_t ins, int64_t outs) {
    return graph_.dense_weight(key, "conv3d", "conv3d_o_xyz_i", random_tensor(random_, {outs, 3, 3, 3, ins}));
  }
  ValueId vector(const std::string& key, int64_t size, double offset = 0) {
    Tensor values = random_tensor(random_, {size});
    for (int64_t i = 0; i < size; ++i) values.mutable_data<float>()[i] += static_cast<float>(offset);
    return graph_.dense_weight(key, key.ends_with("bias") ? "bias" : "channel",
                               key.ends_with("bias") ? "bias_c" : "channel_c", values);
  }
  ValueId convolution(const std::string& key, ValueId x, int64_t ins, int64_t outs) {
    return graph_.sparse("subm_conv3d", {x, kernel(key, ins, outs), vector(key + ".bias", outs)}, DType::f32,
                         subm(kThree));
  }
  ValueId on_features(const std::string& name, ValueId x, int64_t channels, std::vector<ValueId> more,
                      const Attributes& attributes) {
    return graph_.on_features(name, x, DType::f32, channels, std::move(more), channels, attributes);
  }
  ValueId norm(const std::string& key, ValueId x, int64_t channels) {
    return on_features("batch_norm", x, channels,
                       {vector(key + ".scale", channels), vector(key + ".bias", channels),
                        vector(key + ".mean", channels), vector(key + ".var", channels, 1.5)},
                       {{"eps", 1e-3F}});
  }
  ValueId sum(ValueId lhs, ValueId rhs, const std::string& join) {
    return graph_.sparse("sparse.binary", {lhs, rhs}, DType::f32,
                         {{"op", GraphBuilder::word("binary_op", "add")},
                          {"join", GraphBuilder::word("join", join)},
                          {"lhs_fill", 0.0F},
                          {"rhs_fill", 0.0F}});
  }
  size_t steps() const { return graph_.model().program().plan().steps.size(); }

  template <typename Change>
  void expect_error(ErrorCode code, const std::string& part, const Change& change) {
    GraphBuilder changed = graph_;
    change(changed);
    Session session({.threads = 1});
    try {
      changed.model().run(session, changed.inputs);
      FAIL() << "nothing was refused; expected " << part;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), code) << error.what();
      EXPECT_THAT(error.what(), HasSubstr(part));
    }
  }

  Random random_{3};
  GraphBuilder graph_;
};

TEST_F(ProgramTest, residual_block_is_two_convolutions) {
  ValueId x = input("x", 4);
  ValueId y = on_features("activation", norm("n1", convolution("c1", x, 4, 4), 4), 4, {}, activation("relu"));
  y = norm("n2", convolution("c2", y, 4, 4), 4);
  y = on_features("activation", sum(y, x, "outer"), 4, {}, activation("silu"));
  graph_.output("y", y);
  EXPECT_EQ(steps(), 3U);  // sparse.make and the two
  expect_as_evaluated(graph_);
}

TEST_F(ProgramTest, shortcut_that_comes_after_the_convolution_is_its_residual) {
  const ValueId x = input("x", 4);
  const ValueId y = norm("n", convolution("c", x, 4, 6), 6), shortcut = norm("s", convolution("d", x, 4, 6), 6);
  graph_.output("y", on_features("activation", sum(y, shortcut, "inner"), 6, {}, activation("leaky_relu")));
  EXPECT_EQ(steps(), 3U);
  expect_as_evaluated(graph_);
}

TEST_F(ProgramTest, what_is_used_twice_is_not_fused) {
  const ValueId x = input("x", 4), y = convolution("c", x, 4, 4);
  graph_.output("a", on_features("activation", y, 4, {}, activation("tanh")));
  graph_.output("b", norm("n", y, 4));
  graph_.output("y", y);
  graph_.output("twice", sum(y, y, "left"));
  EXPECT_EQ(steps(), 5U);
  expect_as_evaluated(graph_);
}

TEST_F(ProgramTest, order_of_the_epilogue_is_kept) {
  const ValueId x = input("x", 4);
  ValueId y = on_features("activation", convolution("c", x, 4, 4), 4, {}, activation("sigmoid"));
  graph_.output("y", sum(norm("n", y, 4), x, "right"));  // a norm and a sum behind an activation stay steps
  EXPECT_EQ(steps(), 4U);
  expect_as_evaluated(graph_);
}

TEST_F(ProgramTest, linear_takes_norm_and_activation) {
  const ValueId x = graph_.argument("x", random_tensor(random_, {7, 3}));
  const ValueId w = graph_.dense_weight("w", "linear", "linear_o_i", random_tensor(random_, {5, 3}));
  ValueId y = graph_.dense("linear", {x, w}, DType::f32, 5);
  y = graph_.dense("batch_norm", {y, vector("s", 5), vector("bias", 5), vector("m", 5), vector("v", 5, 1.5)},
                   DType::f32, 5, {{"eps", 1e-3F}});
  graph_.output("y", graph_.dense("activation", {y}, DType::f32, 5, activation("gelu")));
  EXPECT_EQ(steps(), 1U);
  expect_as_evaluated(graph_);
}

TEST_F(ProgramTest, padded_features_come_back) {
  const ValueId x = input("x", 3, 5);
  const ValueId dense = graph_.dense("activation", {graph_.graph.arguments[1]}, DType::f32, 3, activation("relu"));
  graph_.output("y", graph_.sparse("sparse.with_features", {x, dense}, DType::f32));
  graph_.output("dense", dense);
  const ValueId again = graph_.sparse("sparse.make", graph_.graph.arguments, DType::f32,
                                      {{"stride", kOne}, {"coord_order", GraphBuilder::word("coord", "batch_x_y_z")}});
  graph_.output("sum", sum(x, again, "outer"));  // made of the same rows: one support
  expect_as_evaluated(graph_);
}

TEST_F(ProgramTest, decomposed_coordinates_are_physical) {
  const ValueId x = graph_.sparse_input("x", random_coords(random_, 9, 3), random_tensor(random_, {9, 2}), {2, 3, 4});
  const auto parts = graph_.operation(
      "sparse.decompose", {x},
      {GraphBuilder::dense_type(DType::i32, {kAnySize, 4}), GraphBuilder::dense_type(DType::f32, {kAnySize, 2}),
       GraphBuilder::dense_type(DType::i32, {1})});
  graph_.output("coords", parts[0]);
  graph_.output("features", parts[1]);
  graph_.output("active", parts[2]);
  expect_as_evaluated(graph_);
}

TEST_F(ProgramTest, operations_of_f32) {
  const ValueId x =
      graph_.argument("x", Tensor::from(std::vector<float>{-2.5F, -1.5F, 0.5F, 1.5F, 2.5F, 0.2F}, {2, 3}));
  graph_.output("exp", graph_.dense("elementwise", {x}, DType::f32, 3, {{"kind", std::string("exp")}}));
  graph_.output("round", graph_.dense("elementwise", {x}, DType::f32, 3, {{"kind", std::string("round")}}));
  graph_.output("last", graph_.dense("softmax", {x}, DType::f32, 3, {{"axis", int64_t{-1}}}));
  graph_.output("one", graph_.dense("softmax", {x}, DType::f32, 3, {{"axis", int64_t{1}}}));
  const ValueId rows = graph_.argument("rows", integers({0, 4, -1, -5, 2}));
  const ValueId table = graph_.dense_weight("t", "embedding", "embedding_n_c", random_tensor(random_, {5, 3}));
  graph_.output("embedded", graph_.dense("embedding_lookup", {rows, table}, DType::f32, 3));
  expect_as_evaluated(graph_);
}

TEST_F(ProgramTest, packed_linear_with_more_stored_channels_than_features) {
  for (const int64_t bits : {4, 8}) {
    for (const int64_t stored : {35, 90}) {
      graph_ = {};
      Tensor weight = random_tensor(random_, {6, stored});
      const ValueId x = graph_.argument("x", random_tensor(random_, {7, 35}));
      const auto packed = QuantizedWeight::pack(weight, {.bits = bits, .group_size = 32});
      const ValueId w = graph_.packed_weight("w", "linear", "linear_o_i", packed);
      graph_.output("y", graph_.dense("linear", {x, w, vector("bias", 6)}, DType::f32, 6));
      expect_as_evaluated(graph_);
    }
  }
}

TEST_F(ProgramTest, points_and_voxels) {
  for (const char* reduction : {"sum", "mean"}) {
    for (const char* interpolation : {"nearest", "linear"}) {
      graph_ = {};
      std::vector<float> at;
      for (int i = 0; i < 40 * 3; ++i) at.push_back(static_cast<float>(random_.uniform(-2, 2)));
      std::vector<int32_t> batch;
      for (int i = 0; i < 40; ++i) batch.push_back(i % 3);
      const ValueId points = graph_.argument("points", Tensor::from(at, {40, 3}));
      const ValueId features = graph_.argument("features", random_tensor(random_, {40, 2}));
      const ValueId batches = graph_.argument("batches", integers(batch));
      const ValueId active = graph_.argument("active", integers({33}), Role::sparse_active);
      const Attributes grid = {{"voxel_size", Reals{0.7, 0.9, 1.1}}, {"origin", Reals{0.1, -0.3, 0.05}}};
      Attributes make = grid, sample = grid;
      make["reduction"] = GraphBuilder::word("voxel_reduction", reduction);
      make["stride"] = Integers{2, 1, 1};
      sample["interpolation"] = GraphBuilder::word("point_interpolation", interpolation);
      const ValueId voxels = graph_.sparse("voxelize", {points, features, batches, active}, DType::f32, make);
      graph_.output("voxels", voxels);
      graph_.output("y", graph_.dense("devoxelize", {points, voxels, batches, active}, DType::f32, 2, sample));
      expect_as_evaluated(graph_);
    }
  }
}

TEST_F(ProgramTest, types_of_a_sum_are_promoted) {
  const ValueId x = input("x", 3);
  const ValueId z =
      graph_.sparse_input("z", random_coords(random_, 30, 3), random_tensor(random_, {30, 3}, DType::f16));
  const ValueId y = sum(x, z, "outer");
  std::get<float>(graph_.graph.operations.back().attributes["rhs_fill"]) = 0.1F;
  graph_.output("y", y);
  expect_as_evaluated(graph_, 1e-4);  // the fill is rounded to its operand's f16
}

TEST_F(ProgramTest, empty_inputs_give_empty_outputs) {
  const ValueId x = input("x", 4, 3, 0);
  graph_.output("y", convolution("c", x, 4, 4));
  graph_.output("mean", graph_.dense("global_pool", {x}, DType::f32, 4,
                                     {{"mode", GraphBuilder::word("pool_mode", "avg")}, {"batch_size", int64_t{2}}}));
  expect_as_evaluated(graph_);
}

TEST_F(ProgramTest, errors_of_a_run) {
  graph_.output("y", convolution("c", input("x", 4, 2), 4, 4));
  const auto invalid = ErrorCode::invalid_argument;
  expect_error(invalid, "'x_active' is missing; it takes 'x_coords', 'x_features', 'x_active'",
               [](GraphBuilder& g) { g.inputs.erase("x_active"); });
  expect_error(invalid, "no input 'z'", [](GraphBuilder& g) { g.inputs["z"] = integers({1}); });
  expect_error(invalid, "'x_features' is f16",
               [](GraphBuilder& g) { g.inputs["x_features"] = g.inputs["x_features"].to(DType::f16); });
  expect_error(invalid, "'x_coords' has shape", [](GraphBuilder& g) {
    g.inputs["x_coords"] = g.inputs["x_coords"].reshaped({44, 2});
  });
  expect_error(invalid, "23 active rows", [](GraphBuilder& g) { g.inputs["x_active"] = integers({23}); });
  expect_error(invalid, "-1 active rows", [](GraphBuilder& g) { g.inputs["x_active"] = integers({-1}); });
  expect_error(invalid, "rows 3 and 7 both hold", [](GraphBuilder& g) {
    auto* rows = g.inputs["x_coords"].mutable_data<int32_t>();
    std::copy_n(rows + 12, 4, rows + 28);
  });
  graph_ = {};
  graph_.output("y", convolution("c", input("x", 4, 2), 4, 4));
  expect_error(invalid, "batch", [](GraphBuilder& g) { g.inputs["x_coords"].mutable_data<int32_t>()[0] = -1; });
}

// Its type leaves the number of numbers open, so that a run must look.
TEST_F(ProgramTest, points_in_use_are_one_number) {
  const ValueId points = graph_.argument("points", random_tensor(random_, {4, 3}));
  const ValueId batches = graph_.argument("batches", integers({0, 0, 0, 0}));
  const ValueId active = graph_.argument("active", integers({4}));
  const Attributes grid = {{"voxel_size", Reals{1, 1, 1}}, {"origin", Reals{0, 0, 0}}};
  Attributes make = grid, sample = grid;
  make["reduction"] = GraphBuilder::word("voxel_reduction", "sum");
  make["stride"] = kOne;
  sample["interpolation"] = GraphBuilder::word("point_interpolation", "nearest");
  const ValueId voxels = input("voxels", 3);
  graph_.output("voxels", graph_.sparse("voxelize", {points, points, batches, active}, DType::f32, make));
  GraphBuilder sampled = graph_;
  sampled.output("y", sampled.dense("devoxelize", {points, voxels, batches, active}, DType::f32, 3, sample));
  for (const std::vector<int32_t>& numbers : {std::vector<int32_t>{}, {2, 9}}) {
    for (const GraphBuilder& graph : {graph_, sampled}) {
      expect_error(ErrorCode::invalid_argument, "the number of active rows has shape", [&](GraphBuilder& g) {
        g = graph;
        g.inputs["active"] = integers(numbers);
      });
    }
  }
}

// A zero byte would end the message.
TEST_F(ProgramTest, names_are_shown_on_one_line) {
  graph_.argument(std::string("a\0b", 3), integers({1}));
  graph_.output("y", convolution("c", input("x", 4, 2), 4, 4));
  expect_error(ErrorCode::invalid_argument, "input 'a?b' is missing; it takes 'a?b', 'x_coords'",
               [](GraphBuilder& g) { g.inputs.erase(std::string("a\0b", 3)); });
}

TEST_F(ProgramTest, errors_of_a_graph) {
  graph_.output("y", convolution("c", input("x", 4), 4, 4));
  const auto corrupt = ErrorCode::corrupt_file;
  expect_error(corrupt, "weight 'c': weights.safetensors has no", [](GraphBuilder& g) { g.weights.erase("c"); });
  expect_error(corrupt, "weight 'c': it takes 5 channels, but the features have 4", [&](GraphBuilder& g) {
    g.weights["c"] = random_tensor(random_, {4, 3, 3, 3, 5});
  });
  expect_error(corrupt, "kernel_size (3, 3, 3)", [&](GraphBuilder& g) {
    g.weights["c"] = random_tensor(random_, {4, 3, 9, 1, 4});
  });
  expect_error(corrupt, "(C_out, Kx, Ky, Kz, C_in)", [&](GraphBuilder& g) {
    g.weights["c"] = random_tensor(random_, {27, 4, 4});
  });
  expect_error(corrupt, "stored as f16", [](GraphBuilder& g) { g.weights["c"] = g.weights["c"].to(DType::f16); });
  expect_error(corrupt, "weight 'c.bias': it has 3 values",
               [&](GraphBuilder& g) { g.weights["c.bias"] = random_tensor(random_, {3}); });
  expect_error(corrupt, "declared as f16", [](GraphBuilder& g) {
    g.graph.values[static_cast<size_t>(g.graph.results[0])].type = GraphBuilder::sparse_type(DType::f16);
  });
  expect_error(corrupt, "found 'y.coords' twice", [](GraphBuilder& g) { g.output("y.coords", g.graph.arguments[0]); });
  expect_error(ErrorCode::unsupported, "repeat coordinates", [&](GraphBuilder& g) {
    g.output("z",
             g.sparse("generative_conv_transpose3d", {g.graph.results[0], g.graph.operations[1].results[0]}, DType::f32,
                      {{"kernel_size", kThree}, {"stride", kOne}, {"accumulation", std::string("canonical_f32")}}));
  });
}

TEST_F(ProgramTest, huge_requests_are_refused) {
  const ValueId x = input("x", 4);
  graph_.output("y", x);
  expect_error(ErrorCode::out_of_range, "batch_size 4611686018427387904", [&](GraphBuilder& g) {
    g.output("z", g.dense("global_pool", {x}, DType::f32, 4,
                          {{"mode", GraphBuilder::word("pool_mode", "sum")}, {"batch_size", int64_t{1} << 62}}));
  });
  expect_error(ErrorCode::out_of_range, "taps are 2146689000", [&](GraphBuilder& g) {
    const Integers size = {1290, 1290, 1290};
    g.output("z", g.sparse("regular_pool3d", {x}, DType::f32,
                           {{"mode", GraphBuilder::word("pool_mode", "max")},
                            {"kernel_size", size},
                            {"stride", kOne},
                            {"padding", Integers{0, 0, 0}},
                            {"dilation", kOne}}));
  });
  expect_error(ErrorCode::corrupt_file, "stride", [&](GraphBuilder& g) {
    g.output("z", g.sparse("trilinear_upsample3d", {x}, DType::f32, {{"stride", Integers{1 << 10, 1, 1}}}));
  });
  expect_error(ErrorCode::out_of_range, "taps", [&](GraphBuilder& g) {
    const Integers huge = {1 << 20, 1 << 10, 1};  // 2^32 taps
    std::get<Integers>(g.graph.operations[0].attributes["stride"]) = huge;
    g.output("z", g.sparse("trilinear_upsample3d", {x}, DType::f32, {{"stride", huge}}));
  });
}

}  // namespace
}  // namespace lattice::artifact
