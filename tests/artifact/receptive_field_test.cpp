#include "artifact/receptive_field.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <limits>

#include "artifact/small_network.h"
#include "lattice/session.h"

namespace lattice::artifact {
namespace {

using ::testing::ElementsAre;

constexpr double kAll = std::numeric_limits<double>::infinity();
constexpr Integers kOne = {1, 1, 1}, kTwo = {2, 2, 2}, kThree = {3, 3, 3};

/// Networks of one channel on one sparse input.
class ReceptiveFieldTest : public ::testing::Test {
 protected:
  ValueId layer(const std::string& name, std::vector<ValueId> operands, const Integers& size, const Integers& stride,
                const Integers& padding = {0, 0, 0}, const Integers& dilation = kOne) {
    std::map<std::string, Attribute, std::less<>> attributes = {{"kernel_size", size}, {"dilation", dilation}};
    if (name != "subm_conv3d") {
      attributes["stride"] = stride;
      attributes["padding"] = padding;
    }
    if (name.find("pool") != std::string::npos) {
      if (name != "pool_transpose3d") attributes["mode"] = GraphBuilder::word("pool_mode", "max");
    } else {
      attributes["accumulation"] = std::string("canonical_f32");
      const std::string key = "w" + std::to_string(graph_.weights.size());
      operands.push_back(graph_.dense_weight(key, "conv3d", "conv3d_o_xyz_i",
                                             Tensor::zeros(DType::f32, {1, size[0], size[1], size[2], 1})));
    }
    return graph_.sparse(name, std::move(operands), DType::f32, attributes);
  }
  ValueId subm(ValueId x, const Integers& size, const Integers& dilation = kOne) {
    return layer("subm_conv3d", {x}, size, kOne, {0, 0, 0}, dilation);
  }

  /// Of the value, as an output.
  ReceptiveField field(ValueId value) {
    graph_.output("y" + std::to_string(graph_.graph.results.size()), value);
    const Model model = graph_.model();
    const Plan& plan = model.program().plan();
    return receptive_fields(plan)[static_cast<size_t>(plan.outputs.back().slots.tensor)];
  }

  GraphBuilder graph_;
  ValueId x_ = graph_.sparse_input("x", {}, Tensor::zeros(DType::f32, {0, 1}));
};

TEST_F(ReceptiveFieldTest, kernels_add_up_on_each_axis) {
  EXPECT_THAT(field(x_), ElementsAre(1, 1, 1));
  const ValueId a = subm(x_, {1, 3, 5});
  EXPECT_THAT(field(a), ElementsAre(1, 3, 5));
  EXPECT_THAT(field(subm(a, kThree, {1, 2, 3})), ElementsAre(3, 7, 11));
}

TEST_F(ReceptiveFieldTest, strides_multiply_what_comes_behind) {
  const ValueId a = layer("conv3d", {x_}, kThree, {2, 2, 1});
  EXPECT_THAT(field(a), ElementsAre(3, 3, 3));
  const ValueId b = layer("pool3d", {a}, kTwo, kTwo);
  EXPECT_THAT(field(b), ElementsAre(5, 5, 4));
  EXPECT_THAT(field(subm(b, kThree)), ElementsAre(13, 13, 8));
}

TEST_F(ReceptiveFieldTest, regular_layers) {
  const ValueId a = layer("regular_conv3d", {x_}, kThree, kTwo, kOne);
  EXPECT_THAT(field(layer("regular_pool3d", {a}, kTwo, kTwo)), ElementsAre(5, 5, 5));
}

TEST_F(ReceptiveFieldTest, a_transposed_layer_shares_the_field_of_a_coarse_row) {
  const ValueId down = layer("conv3d", {x_}, {4, 4, 4}, {4, 4, 4});
  const ValueId up = layer("target_conv_transpose3d", {down, x_}, {4, 4, 4}, {4, 4, 4});
  EXPECT_THAT(field(up), ElementsAre(4, 4, 4));
  // Three rows side by side touch two cells, whole ones.
  EXPECT_THAT(field(subm(up, kThree)), ElementsAre(8, 8, 8));
}

TEST_F(ReceptiveFieldTest, overlapping_transposed_kernels_see_several_coarse_rows) {
  const ValueId down = layer("conv3d", {x_}, kTwo, kTwo);
  EXPECT_THAT(field(layer("conv_transpose3d", {down}, kThree, kTwo, kOne)), ElementsAre(4, 4, 4));
  EXPECT_THAT(field(layer("pool_transpose3d", {down}, kTwo, kTwo)), ElementsAre(2, 2, 2));
  EXPECT_THAT(field(graph_.sparse("trilinear_upsample3d", {down, x_}, DType::f32, {{"stride", kTwo}})),
              ElementsAre(4, 4, 4));
}

TEST_F(ReceptiveFieldTest, where_values_meet_a_row_sees_from_the_lowest_to_the_highest) {
  // 0..1 and -1..1 of the same row, then a sum with 0..3.
  const ValueId even = layer("conv3d", {x_}, kTwo, kOne, {0, 0, 0}), odd = subm(x_, kThree);
  const std::map<std::string, Attribute, std::less<>> join = {{"join", GraphBuilder::word("join", "outer")}};
  const ValueId both = graph_.sparse("sparse.cat", {even, odd}, DType::f32, join);
  EXPECT_THAT(field(both), ElementsAre(3, 3, 3));
  const ValueId far = layer("conv3d", {x_}, {4, 4, 4}, kOne, {0, 0, 0});
  EXPECT_THAT(field(graph_.sparse("sparse.cat", {odd, far}, DType::f32, join)), ElementsAre(5, 5, 5));
}

TEST_F(ReceptiveFieldTest, of_the_small_network) {
  const Model model = SmallNetwork(4).model();
  const Plan& plan = model.program().plan();
  const auto fields = receptive_fields(plan);
  EXPECT_THAT(fields[static_cast<size_t>(plan.outputs[0].slots.tensor)], ElementsAre(8, 8, 8));
  EXPECT_THAT(fields[static_cast<size_t>(plan.outputs[1].slots.tensor)], ElementsAre(kAll, kAll, kAll));
}

/// How far apart the inputs are, on a line of voxels along x, that change one row of the first output.
int64_t widest_influence(const Model& model, int32_t length) {
  std::vector<Coord> line;
  for (int32_t i = 0; i < length; ++i) line.push_back({0, i, 0, 0});
  Session session({.backend = BackendKind::reference});
  const auto outputs = [&](int64_t changed) {
    GraphBuilder graph;
    Random random(2);
    Tensor features = random_tensor(random, {length, 3});
    if (changed >= 0) features.mutable_data<float>()[3 * changed] += 1;
    graph.sparse_input("x", line, features);
    return model.run(session, graph.inputs).at("y.features");
  };
  const Tensor plain = outputs(-1);
  std::vector<int64_t> first(static_cast<size_t>(length), length), last(static_cast<size_t>(length), -1);
  for (int64_t changed = 0; changed < length; ++changed) {
    const Tensor y = outputs(changed);
    const int64_t channels = y.size(1);
    for (int64_t i = 0; i < y.elements(); ++i) {
      if (y.data<float>()[i] == plain.data<float>()[i]) continue;
      const auto row = static_cast<size_t>(i / channels);
      first[row] = std::min(first[row], changed);
      last[row] = std::max(last[row], changed);
    }
  }
  int64_t widest = 0;
  for (size_t row = 0; row < first.size(); ++row) widest = std::max(widest, last[row] - first[row] + 1);
  return widest;
}

TEST_F(ReceptiveFieldTest, is_what_changes_the_network) {
  EXPECT_EQ(widest_influence(SmallNetwork(8).model(), 24), 8);
}

TEST_F(ReceptiveFieldTest, strides_without_a_short_common_multiple_give_a_bound) {
  const Integers size = {512, 1, 1};
  const ValueId down = layer("pool3d", {x_}, kOne, size);
  EXPECT_THAT(field(layer("pool_transpose3d", {down, x_}, size, size)), ElementsAre(512, 1, 1));
}

TEST_F(ReceptiveFieldTest, hostile_kernels_cost_nothing) {
  ValueId x = x_;
  for (int i = 0; i < 3; ++i) x = layer("pool3d", {x}, {1 << 30, 1, 1}, {2, 1, 1}, {0, 0, 0}, {1 << 30, 1, 1});
  EXPECT_GT(field(x)[0], 1e18);
}

TEST_F(ReceptiveFieldTest, points_between_voxels_see_two_on_each_axis) {
  for (const auto& [interpolation, seen] : {std::pair("nearest", 3), std::pair("linear", 4)}) {
    graph_ = {};
    const ValueId points = graph_.argument("points", Tensor::zeros(DType::f32, {4, 3}));
    const ValueId features = graph_.argument("features", Tensor::zeros(DType::f32, {4, 1}));
    const ValueId batches = graph_.argument("batches", Tensor::zeros(DType::i32, {4}));
    const ValueId active = graph_.argument("active", Tensor::zeros(DType::i32, {1}), Role::sparse_active);
    std::map<std::string, Attribute, std::less<>> make = {{"voxel_size", Reals{1, 1, 1}}, {"origin", Reals{0, 0, 0}}};
    auto sample = make;
    make["reduction"] = GraphBuilder::word("voxel_reduction", "mean");
    make["stride"] = kOne;
    sample["interpolation"] = GraphBuilder::word("point_interpolation", interpolation);
    const ValueId voxels =
        subm(graph_.sparse("voxelize", {points, features, batches, active}, DType::f32, make), kThree);
    const ValueId y = graph_.dense("devoxelize", {points, voxels, batches, active}, DType::f32, 1, sample);
    EXPECT_THAT(field(y), ElementsAre(seen, seen, seen)) << interpolation;
  }
}

}  // namespace
}  // namespace lattice::artifact
