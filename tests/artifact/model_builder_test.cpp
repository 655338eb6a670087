#include "lattice/model_builder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <filesystem>

#include "artifact/graph_builder.h"
#include "exact_error.h"
#include "lattice/minkunet.h"

namespace lattice {
namespace {

using artifact::random_coords;
using artifact::random_tensor;

/// The inputs of a sparse value `x`.
NamedTensors inputs_of(const SparseTensor& x) {
  return {{"x_coords", x.support()->tensor()},
          {"x_features", x.features()},
          {"x_active", Tensor::from(std::vector<int32_t>{static_cast<int32_t>(x.rows())}, {1})}};
}

SparseTensor scene(int64_t channels) {
  Random random(4);
  std::vector<Coord> coords = random_coords(random, 300, 12);
  const auto rows = static_cast<int64_t>(coords.size());
  return {CoordSet::make(std::move(coords)), random_tensor(random, {rows, channels})};
}

void expect_same_bits(const NamedTensors& results, const std::string& name, const SparseTensor& expected) {
  const Tensor& features = results.at(name + ".features");
  ASSERT_EQ(features.shape(), expected.features().shape());
  EXPECT_EQ(std::memcmp(features.raw(), expected.features().raw(), features.nbytes()), 0);
  const Support physical = CoordSet::make(results.at(name + ".coords"));
  for (int64_t row = 0; row < expected.rows(); ++row) {
    const Coord& c = expected.support()->coords()[static_cast<size_t>(row)];
    const auto at = [](int32_t step, int64_t stride) { return static_cast<int32_t>(step * stride); };
    ASSERT_EQ(
        physical->coords()[static_cast<size_t>(row)],
        (Coord{c.batch, at(c.x, expected.stride().x), at(c.y, expected.stride().y), at(c.z, expected.stride().z)}));
  }
}

class TemporaryFolder {
 public:
  TemporaryFolder() : path_(std::filesystem::temp_directory_path() / "lattice_model_builder_test") {
    std::filesystem::remove_all(path_);
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  const std::filesystem::path& path() const { return path_; }

 private:
  std::filesystem::path path_;
};

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
  const TemporaryFolder folder;
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
  const TemporaryFolder folder;
  builder.save(folder.path());
  Session session;
  const SparseTensor x = scene(4);
  expect_same_bits(Model::load(folder.path()).run(session, inputs_of(x)), "y", conv(session, x));
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
  expect_error([&] { builder.sparse_input("z", 0); }, "model_builder: channels 0 must be at least 1");
}

}  // namespace
}  // namespace lattice
