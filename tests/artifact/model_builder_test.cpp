#include "lattice/model_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "artifact/exported_network.h"
#include "artifact/graph_builder.h"
#include "exact_error.h"
#include "io/file_bytes.h"
#include "lattice/minkunet.h"

namespace lattice {
namespace {

using artifact::random_coords;
using artifact::random_tensor;

SparseTensor scene(int64_t channels) {
  Random random(4);
  std::vector<Coord> coords = random_coords(random, 300, 12);
  const auto rows = static_cast<int64_t>(coords.size());
  return {CoordSet::make(std::move(coords)), random_tensor(random, {rows, channels})};
}

TEST(ModelBuilder, EveryLayerRunsAsItsModule) {
  Session session;
  const SparseTensor x = scene(4);
  const SubmConv3d subm({.in_channels = 4, .out_channels = 8});
  const QuantizedConv3d down({.in_channels = 8, .out_channels = 8, .kernel_size = 2, .stride = 2},
                             {.bits = 8, .group_size = 32});
  const ConvTranspose3d up({.in_channels = 8, .out_channels = 6});
  const GenerativeConvTranspose3d grow({.in_channels = 8, .out_channels = 5, .bias = false});
  const Conv3d onto({.in_channels = 8, .out_channels = 3, .kernel_size = 2, .stride = 2});
  ModelBuilder builder;
  const auto in = builder.sparse_input("x", 4);
  const auto stem =
      builder.activate({.kind = ActivationKind::leaky_relu, .alpha = 0.2F}, builder.layer("stem", subm, in));
  const auto coarse = builder.layer("down", down, stem);
  builder.output("up", builder.layer("up", up, coarse));
  builder.output("up_onto", builder.cat(builder.layer("up_onto", up, coarse, stem), stem));
  builder.output("grown", builder.layer("grow", grow, coarse));
  builder.output("onto", builder.add(builder.layer("onto", onto, stem, coarse), builder.layer("onto2", onto, stem)));
  const NamedTensors results = builder.model().run(session, inputs_of(x));

  const SparseTensor h = subm(session, x, {.activation = {.kind = ActivationKind::leaky_relu, .alpha = 0.2F}});
  const SparseTensor c = down(session, h);
  expect_same_bits(results, "up", up(session, c));
  expect_same_bits(results, "up_onto", cat(session, up(session, c, h.support()), h));
  expect_same_bits(results, "grown", grow(session, c));
  expect_same_bits(results, "onto", add(session, onto(session, h, c.support()), onto(session, h)));
}

TEST(ModelBuilder, MinkUNet18BecomesAnArtifactThatRunsTheSame) {
  Session session;
  const SparseTensor x = scene(4);
  const MinkUNet18 network = MinkUNet18::seeded(session, x, 1, 7);
  const TempFolder folder;
  network.exported().save(folder.path());
  expect_same_bits(Model::load(folder.path()).run(session, inputs_of(x)), "logits", network(session, x));

  // Packed, all but the transposed convolutions are the same; those are unpacked.
  Session exact({.numerics = Numerics::float32});
  const MinkUNet18 packed = network.quantized(8);
  packed.exported().save(folder.path());
  const NamedTensors results = Model::load(folder.path()).run(exact, inputs_of(x));
  const SparseTensor expected = packed(exact, x);
  const Tensor& logits = results.at("logits.features");
  for (int64_t i = 0; i < logits.elements(); ++i) {
    ASSERT_NEAR(logits.data<float>()[i], expected.features().data<float>()[i], 1e-3);
  }
}

TEST(ModelBuilder, RegularConvolutionsUseTheExtension) {
  const Conv3d conv({.in_channels = 4, .out_channels = 4, .stride = 2, .padding = 1, .support = SupportRule::regular});
  ModelBuilder builder;
  builder.output("y", builder.layer("conv", conv, builder.sparse_input("x", 4)));
  const TempFolder folder;
  builder.save(folder.path());
  Session session;
  const SparseTensor x = scene(4);
  expect_same_bits(Model::load(folder.path()).run(session, inputs_of(x)), "y", conv(session, x));
}

TEST(ModelBuilder, NormsPoolsAndExtents) {
  Session session;
  const SparseTensor open = scene(4);
  std::vector<Coord> coords(open.support()->coords().begin(), open.support()->coords().end());
  for (Coord& c : coords) c = {c.batch, c.x + 12, c.y + 12, c.z + 12};
  const SparseTensor x(CoordSet::make(std::move(coords), 1, Triple(30, 26, 25)), open.features());
  Random random(6);
  const ScaleShift norm = {random_tensor(random, {8}), random_tensor(random, {8})};
  const SubmConv3d conv({.in_channels = 4, .out_channels = 8});
  const Conv3d down({.in_channels = 8, .out_channels = 8, .stride = 2, .padding = 1, .support = SupportRule::regular});
  const ConvGeometry halves({.kernel_size = 2, .stride = 2}), column({.kernel_size = {1, 1, 13}, .stride = {1, 1, 13}});
  ModelBuilder builder;
  const auto in = builder.bound(builder.sparse_input("x", 4), {30, 26, 25});
  const auto stem = builder.norm("norm", norm, builder.layer("stem", conv, in));
  const auto coarse = builder.layer("down", down, stem);
  builder.output("stem", stem);
  builder.output("average", builder.pool(PoolMode::average, halves, stem));
  builder.output("columns", builder.pool(PoolMode::sum, column, coarse, SupportRule::regular));
  builder.output("joined", builder.add(stem, builder.on_lattice(coarse, 1)));
  builder.output("largest", builder.pool(PoolMode::max, halves, builder.bound(in, -1), SupportRule::regular));
  const Model model = builder.model();
  const NamedTensors results = model.run(session, inputs_of(x));

  const SparseTensor y = conv(session, x, {.scale = norm.scale, .shift = norm.shift}), c = down(session, y);
  expect_same_bits(results, "stem", y);
  expect_same_bits(results, "average", pool3d(session, y, PoolMode::average, halves));
  expect_same_bits(results, "columns", pool3d(session, c, PoolMode::sum, column, SupportRule::regular));
  std::vector<Coord> doubled(c.support()->coords().begin(), c.support()->coords().end());
  for (Coord& each : doubled) each = {each.batch, 2 * each.x, 2 * each.y, 2 * each.z};
  expect_same_bits(results, "joined", add(session, y, {CoordSet::make(std::move(doubled)), c.features()}));
  // The largest coordinate + 1 on each axis is an odd 25 here, whose last plane no kernel of two reads.
  const auto fitted = [&] {
    const auto old = x.support()->coords();
    Coord last = {0, 0, 0, 0};
    for (const Coord& each : old)
      last = {0, std::max(last.x, each.x), std::max(last.y, each.y), std::max(last.z, each.z)};
    return SparseTensor(CoordSet::make({old.begin(), old.end()}, 1, Triple(last.x + 1, last.y + 1, last.z + 1)),
                        x.features());
  }();
  expect_same_bits(results, "largest", pool3d(session, fitted, PoolMode::max, halves, SupportRule::regular));

  const auto extent_of = [&](size_t output) { return model.outputs()[output].extent; };
  EXPECT_EQ(extent_of(0), Triple(30, 26, 25));
  EXPECT_EQ(extent_of(1), std::nullopt);
  EXPECT_EQ(extent_of(2), Triple(15, 13, 1));
  EXPECT_EQ(model.outputs()[2].stride, Triple(2, 2, 26));
  EXPECT_EQ(extent_of(3), std::nullopt);
  EXPECT_EQ(extent_of(4), std::nullopt);  // only a run tells it
  const SparseTensor columns = model.sparse_output(results, "columns");
  EXPECT_EQ(columns.stride(), Triple(2, 2, 26));
  EXPECT_EQ(columns.extent(), Triple(15, 13, 1));
  EXPECT_TRUE(same_bits(columns.features(), results.at("columns.features")));
}

TEST(ModelBuilder, ExtentsGoThroughJoinsAsInARun) {
  ModelBuilder builder;
  const auto x = builder.sparse_input("x", 2), y = builder.sparse_input("y", 2);
  const auto small = builder.bound(x, {8, 9, 10}), same = builder.bound(y, {8, 9, 10}), large = builder.bound(y, 11);
  builder.output("equal", builder.add(small, same));
  builder.output("unequal", builder.add(small, large));
  builder.output("inner", builder.cat(small, large, Join::inner));
  builder.output("left", builder.add(small, large, Join::left));
  builder.output("right", builder.cat(small, large, Join::right));
  const Model model = builder.model();
  std::vector<std::optional<Triple>> extents;
  for (const ModelOutput& output : model.outputs()) extents.push_back(output.extent);
  EXPECT_THAT(extents,
              ::testing::ElementsAre(Triple(8, 9, 10), std::nullopt, Triple(8, 9, 10), Triple(8, 9, 10), Triple(11)));
}

TEST(ModelBuilder, ExtentsWithoutRoomForAKernelAreRefusedBeforeARun) {
  const Conv3d conv({.in_channels = 2, .out_channels = 2, .bias = false, .support = SupportRule::regular});
  ModelBuilder builder;
  builder.output("y", builder.layer("conv", conv, builder.bound(builder.sparse_input("x", 2), {5, 5, 2})));
  expect_error([&] { builder.model(); },
               "graph.mlir: %v6 = regular_conv3d: regular_conv3d: the extent (5, 5, 2) becomes (3, 3, 0) under "
               "kernel_size (3, 3, 3), stride (1, 1, 1), padding (0, 0, 0), dilation (1, 1, 1); each size must stay "
               "positive: pad more or use a smaller kernel",
               ErrorCode::corrupt_file);
}

TEST(ModelBuilder, SparseOutputsAreNamed) {
  ModelBuilder builder;
  builder.output("y", builder.sparse_input("x", 2));
  const Model model = builder.model();
  expect_error([&] { model.sparse_output({}, "z"); }, "model: there is no sparse output z; it has y");
  expect_error([&] { model.sparse_output({}, "y"); },
               "model: the results have no y.coords; pass those of this model's run");
  const Tensor features = Tensor::zeros(DType::f32, {3, 2});
  expect_error(
      [&] {
        model.sparse_output({{"y.coords", Tensor::zeros(DType::i32, {3, 3})}, {"y.features", features}}, "y");
      },
      "model: y.coords is i32 (3, 3), but must be i32 (N, 4); pass what this model's run gave");
  expect_error(
      [&] {
        model.sparse_output({{"y.coords", Tensor::zeros(DType::i64, {3, 4})}, {"y.features", features}}, "y");
      },
      "model: y.coords is i64 (3, 4), but must be i32 (N, 4); pass what this model's run gave");
}

TEST(ModelBuilder, RefusesWhatItCannotWrite) {
  const SubmConv3d conv({.in_channels = 4, .out_channels = 4});
  ModelBuilder builder, other;
  const auto x = builder.sparse_input("x", 4);
  builder.layer("conv", conv, x);
  expect_error([&] { builder.layer("conv", conv, x); },
               "model_builder: conv.weight names a tensor already; give each layer a name of its own");
  expect_error([&] { builder.layer("", conv, x); },
               "model_builder: a layer needs a name; its weights are stored by it");
  expect_error([&] { other.layer("conv", conv, x); },
               "model_builder: a value of another builder, or none; take those that this one returned");
  expect_error([&] { builder.activate({}, x); }, "model_builder: the format has no activation none; leave it out",
               ErrorCode::unsupported);
  expect_error(
      [&] {
        builder.bound(x, {1, 0, -1});
      },
      "model_builder: extent (1, 0, -1) must be above 0, or -1, on every axis");
  const Tensor three = Tensor::zeros(DType::f32, {3});
  expect_error(
      [&] {
        builder.norm("norm", {three, three}, x);
      },
      "model_builder: norm norm has a vector of shape (3), but must have (4), one number a channel");
  expect_error([&] { builder.sparse_input("z", 0); }, "model_builder: channels 0 must be at least 1");
}

}  // namespace
}  // namespace lattice
