#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <tuple>
#include <vector>

#include "artifact/compare.h"

// Concatenations that are written in place: what the plan moves, and that no bit of a result depends on it.

namespace lattice::artifact {
namespace {

const Integers kOne = {1, 1, 1}, kTwo = {2, 2, 2}, kThree = {3, 3, 3}, kZero = {0, 0, 0};

/// The value that a step places, the first column and how many the concatenation has.
using Placed = std::tuple<std::string, int64_t, int64_t>;

class PlacementTest : public ::testing::Test {
 protected:
  struct Value {
    ValueId id;
    int64_t channels;
  };

  Value input(int64_t channels, size_t rows = 40) {
    return {graph_.sparse_input("x" + std::to_string(graph_.inputs.size()), random_coords(random_, rows, 3),
                                random_tensor(random_, {static_cast<int64_t>(rows), channels}, dtype_)),
            channels};
  }
  Value subm(Value x, int64_t channels) {
    return {
        graph_.sparse("subm_conv3d", {x.id, kernel(x.channels, channels, kThree)}, dtype_,
                      {{"kernel_size", kThree}, {"dilation", kOne}, {"accumulation", std::string("canonical_f32")}}),
        channels};
  }
  Value strided(const std::string& name, std::vector<ValueId> operands, Value x, int64_t channels) {
    operands.push_back(kernel(x.channels, channels, kTwo));
    return {graph_.sparse(name, operands, dtype_,
                          {{"kernel_size", kTwo},
                           {"stride", kTwo},
                           {"padding", kZero},
                           {"dilation", kOne},
                           {"accumulation", std::string("canonical_f32")}}),
            channels};
  }
  Value linear(Value x, int64_t channels) {
    const ValueId w =
        graph_.dense_weight(key(), "linear", "linear_o_i", random_tensor(random_, {channels, x.channels}, dtype_));
    return {graph_.on_features("linear", x.id, dtype_, x.channels, {w}, channels), channels};
  }
  Value sum(Value lhs, Value rhs) {
    return {graph_.sparse("sparse.binary", {lhs.id, rhs.id}, dtype_,
                          {{"op", GraphBuilder::word("binary_op", "add")},
                           {"join", GraphBuilder::word("join", "outer")},
                           {"lhs_fill", 0.0F},
                           {"rhs_fill", 0.0F}}),
            lhs.channels};
  }
  Value cat(Value lhs, Value rhs, const std::string& join = "inner") {
    return {graph_.sparse("sparse.cat", {lhs.id, rhs.id}, dtype_, {{"join", GraphBuilder::word("join", join)}}),
            lhs.channels + rhs.channels};
  }

  /// What the plan places, in its order; values by the index that made them.
  std::vector<Placed> placed() const {
    std::vector<Placed> result;
    const Model model = graph_.model();
    for (const Step& step : model.program().plan().steps) {
      if (step.epilogue == nullptr || !step.epilogue->placement) continue;
      const Operation& last = step.fused.empty() ? *step.operation : *step.fused.back();
      result.emplace_back(model.program().graph().values[static_cast<size_t>(last.results[0])].name,
                          step.epilogue->placement->first, step.epilogue->placement->total);
    }
    return result;
  }
  std::string name(Value value) const { return graph_.graph.values[static_cast<size_t>(value.id)].name; }

  /// The bits of output y on every backend are those of a network that must copy, since what it concatenates are
  /// outputs too. (More outputs would change what is fused.)
  void expect_same_as_copied(Value y) {
    GraphBuilder copying = graph_;
    for (const Operation& operation : graph_.graph.operations) {
      if (operation.name != "sparse.cat") continue;
      for (const ValueId operand : operation.operands) {
        copying.output("o" + std::to_string(copying.graph.results.size()), operand);
      }
    }
    copying.output("y", y.id);
    graph_.output("y", y.id);
    for (const BackendKind backend : {BackendKind::cpu, BackendKind::reference}) {
      Session session({.backend = backend, .threads = 2});
      const Tensor found = graph_.model().run(session, graph_.inputs).at("y.features");
      const Tensor expected = copying.model().run(session, graph_.inputs).at("y.features");
      ASSERT_EQ(found.shape(), expected.shape());
      ASSERT_EQ(std::memcmp(found.raw(), expected.raw(), found.nbytes()), 0);
    }
  }

  std::string key() { return "w" + std::to_string(graph_.weights.size()); }
  ValueId kernel(int64_t ins, int64_t outs, const Integers& size) {
    return graph_.dense_weight(key(), "conv3d", "conv3d_o_xyz_i",
                               random_tensor(random_, {outs, size[0], size[1], size[2], ins}, dtype_));
  }

  Random random_{5};
  DType dtype_ = DType::f32;
  GraphBuilder graph_;
};

TEST_F(PlacementTest, both_sides_come_from_layers) {
  for (const DType dtype : {DType::f32, DType::f16}) {
    dtype_ = dtype;
    graph_ = {};
    const Value x = input(5), a = subm(x, 7), b = linear(x, 70), y = cat(a, b);
    expect_same_as_copied(y);
    const std::vector<Placed> found = placed();
    ASSERT_EQ(found.size(), 2U);
    EXPECT_EQ(found[0], Placed(name(a), 0, 77));
    EXPECT_EQ(std::get<1>(found[1]), 7);
    EXPECT_EQ(std::get<2>(found[1]), 77);
  }
}

TEST_F(PlacementTest, a_residual_keeps_rows_of_its_own_width) {
  const Value x = input(6), a = sum(subm(x, 6), x), y = cat(subm(x, 9), a);
  expect_same_as_copied(y);
  EXPECT_EQ(placed().size(), 2U);
  expect_as_evaluated(graph_);
}

TEST_F(PlacementTest, what_is_read_elsewhere_is_copied) {
  const Value x = input(5), fine = subm(x, 8);
  const Value coarse = subm(strided("conv3d", {fine.id}, fine, 8), 6);
  const Value up = strided("target_conv_transpose3d", {coarse.id, fine.id}, coarse, 4);
  expect_same_as_copied(cat(fine, up));
  EXPECT_EQ(placed(), (std::vector<Placed>{{name(up), 8, 12}}));
  expect_as_evaluated(graph_);
}

TEST_F(PlacementTest, an_output_and_a_value_beside_itself_are_copied) {
  const Value x = input(5), a = subm(x, 4), b = subm(x, 4), c = subm(x, 4);
  graph_.output("a", a.id);
  graph_.output("twice", cat(b, b).id);
  graph_.output("y", cat(a, c).id);
  EXPECT_EQ(placed(), (std::vector<Placed>{{name(c), 4, 8}}));
  expect_as_evaluated(graph_);
}

TEST_F(PlacementTest, a_long_way_round_does_not_hold_the_columns) {
  const Value x = input(5), skip = subm(x, 8);
  const Value coarse = subm(strided("conv3d", {x.id}, x, 8), 6);
  const Value up = strided("target_conv_transpose3d", {coarse.id, x.id}, coarse, 4);
  expect_same_as_copied(cat(skip, up));
  EXPECT_EQ(placed(), (std::vector<Placed>{{name(up), 8, 12}}));
  expect_as_evaluated(graph_);
}

TEST_F(PlacementTest, other_supports_are_joined) {
  const Value x = input(5), z = input(5, 30);
  expect_same_as_copied(cat(subm(x, 4), subm(z, 4), "outer"));
  EXPECT_TRUE(placed().empty());
  expect_as_evaluated(graph_);
}

TEST_F(PlacementTest, nested_concatenations) {
  const Value x = input(5), a = subm(x, 4), b = subm(x, 3), c = subm(x, 2);
  expect_same_as_copied(cat(c, cat(a, b)));
  EXPECT_EQ(placed().size(), 3U);
  expect_as_evaluated(graph_);
}

TEST_F(PlacementTest, random_networks) {
  for (int number = 0; number < 40; ++number) {
    random_ = Random(static_cast<uint64_t>(number));
    dtype_ = number % 3 == 0 ? DType::f16 : DType::f32;
    graph_ = {};
    std::vector<Value> values = {input(3)};
    const auto any = [&] {
      return values[static_cast<size_t>(random_.uniform(0, static_cast<double>(values.size())))];
    };
    const auto channels = [&] { return static_cast<int64_t>(random_.uniform(1, 80)); };
    for (int step = 0; step < 7; ++step) {
      const Value x = any();
      switch (static_cast<int>(random_.uniform(0, 5))) {
        case 0:
          values.push_back(linear(x, channels()));
          break;
        case 1:
          values.push_back(sum(subm(any(), x.channels), x));
          break;
        case 2:
          values.push_back(subm(x, channels()));
          break;
        default:
          values.push_back(cat(x, any()));
      }
    }
    expect_same_as_copied(cat(values.back(), subm(any(), channels())));
  }
}

}  // namespace
}  // namespace lattice::artifact
