// Our detectors beside the same networks in torch with spconv (detectors.py): the same coordinates at every stage, and
// features within 1e-5 of the stage's largest value in float32; and our voxels beside spconv's (voxels.py).
//   LATTICE_SPCONV_DETECTORS=<folder that both wrote to> detectors_against_spconv
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "lattice/detectors.h"
#include "lattice/safetensors.h"
#include "lattice/voxelize.h"

namespace lattice {
namespace {

std::string folder() {
  const char* folder = std::getenv("LATTICE_SPCONV_DETECTORS");
  if (folder == nullptr) throw std::runtime_error("LATTICE_SPCONV_DETECTORS names no folder");
  return folder;
}

class SpconvNetwork {
 public:
  explicit SpconvNetwork(const std::string& name)
      : file_(SafetensorsFile::open(std::filesystem::path(folder()) / (name + ".safetensors"))) {}

  WeightByName weights() const {
    return [this](const std::string& name) { return file_.tensor("weights." + name); };
  }
  SparseTensor input() const {
    return {file_.tensor("input.coords"), file_.tensor("input.features"), 1, Triple(1440, 1440, 41)};
  }

  void expect_stage(const std::string& stage, const SparseTensor& y) const {
    SCOPED_TRACE(stage);
    const Tensor expected = file_.tensor(stage + ".features");
    const Support support = CoordSet::make(file_.tensor(stage + ".coords"));
    ASSERT_EQ(y.rows(), support->rows());
    ASSERT_EQ(y.channels(), expected.size(1));
    std::map<Coord, int64_t> rows;
    for (int64_t row = 0; row < y.rows(); ++row) rows[y.support()->coords()[static_cast<size_t>(row)]] = row;
    ASSERT_EQ(static_cast<int64_t>(rows.size()), y.rows());
    double largest = 0, error = 0;
    for (int64_t row = 0; row < support->rows(); ++row) {
      const auto found = rows.find(support->coords()[static_cast<size_t>(row)]);
      ASSERT_NE(found, rows.end()) << to_string(support->coords()[static_cast<size_t>(row)]);
      for (int64_t c = 0; c < y.channels(); ++c) {
        const double value = expected.data<float>()[row * y.channels() + c];
        largest = std::max(largest, std::abs(value));
        error = std::max(error, std::abs(value - y.features().data<float>()[found->second * y.channels() + c]));
      }
    }
    ASSERT_GT(largest, 0);
    EXPECT_LE(error, 1e-5 * largest);
    std::printf("%-8s %7lld rows, largest difference %.2g of the largest value\n", stage.c_str(),
                static_cast<long long>(y.rows()), error / largest);
  }

 private:
  SafetensorsFile file_;
};

struct VoxelCase {
  const char* name;
  VoxelizeOptions options;
};

TEST(AgainstSpconv, VoxelsAreTheSameInTheSameOrder) {
  const std::array<VoxelCase, 3> cases = {{{"nuscenes",
                                            {.voxel_size = {0.075F, 0.075F, 0.2F},
                                             .origin = {-54, -54, -5},
                                             .upper = {{54, 54, 3}},
                                             .most_points = 10,
                                             .most_voxels = 120000}},
                                           {"few_points",
                                            {.voxel_size = {0.3F, 0.3F, 0.4F},
                                             .origin = {-30, -20, -3},
                                             .upper = {{30, 40, 1}},
                                             .most_points = 2,
                                             .most_voxels = 60000}},
                                           {"few_voxels",
                                            {.voxel_size = {0.1F, 0.1F, 0.2F},
                                             .origin = {-54, -54, -5},
                                             .upper = {{54, 54, 3}},
                                             .most_points = 5,
                                             .most_voxels = 7000}}}};
  const SafetensorsFile file = SafetensorsFile::open(std::filesystem::path(folder()) / "voxels.safetensors");
  const Tensor features = file.tensor("points");
  Tensor points = Tensor::empty(DType::f32, {features.size(0), 3});
  for (int64_t i = 0; i < features.size(0); ++i) {
    std::copy_n(features.data<float>() + i * 5, 3, points.mutable_data<float>() + i * 3);
  }
  Session session;
  for (const auto& [name, options] : cases) {
    SCOPED_TRACE(name);
    const auto tensor = [&](const char* part) { return file.tensor(std::string(name) + part); };
    const Voxels voxels = voxelize(session, points, features, options);
    const Tensor coords = tensor(".coords"), counts = tensor(".counts"), means = tensor(".means");
    ASSERT_EQ(voxels.tensor.rows(), coords.size(0));
    for (int64_t row = 0; row < coords.size(0); ++row) {
      const int32_t* c = coords.data<int32_t>() + 3 * row;
      ASSERT_EQ(voxels.tensor.support()->coords()[static_cast<size_t>(row)], (Coord{0, c[0], c[1], c[2]})) << row;
      ASSERT_EQ(voxels.counts[static_cast<size_t>(row)], counts.data<int32_t>()[row]) << row;
      for (int64_t column = 0; column < 5; ++column) {
        ASSERT_EQ(voxels.tensor.features().data<float>()[row * 5 + column], means.data<float>()[row * 5 + column]);
      }
    }
    std::printf("%-10s %lld voxels; points out of range %lld, beyond the points %lld, beyond the voxels %lld\n", name,
                static_cast<long long>(voxels.tensor.rows()), static_cast<long long>(voxels.out_of_range),
                static_cast<long long>(voxels.beyond_points), static_cast<long long>(voxels.beyond_voxels));
  }
}

TEST(AgainstSpconv, CenterPointEncoderIsTheSame) {
  const SpconvNetwork spconv("centerpoint");
  Session session;
  const auto stages = CenterPointEncoder::from_spconv(spconv.weights())(session, spconv.input());
  spconv.expect_stage("conv1", stages.conv1);
  spconv.expect_stage("conv2", stages.conv2);
  spconv.expect_stage("conv3", stages.conv3);
  spconv.expect_stage("conv4", stages.conv4);
  spconv.expect_stage("out", stages.out);
}

TEST(AgainstSpconv, VoxelNeXtIsTheSame) {
  const SpconvNetwork spconv("voxelnext");
  Session session;
  const auto outputs = VoxelNeXt::from_spconv(spconv.weights())(session, spconv.input());
  for (size_t i = 0; i < outputs.stages.size(); ++i) {
    spconv.expect_stage("conv" + std::to_string(i + 1), outputs.stages[i]);
  }
  spconv.expect_stage("flat", outputs.flat);
  spconv.expect_stage("shared", outputs.shared);
  const auto head = [&](const Tensor& features) { return outputs.shared.with_features(features); };
  spconv.expect_stage("hm", outputs.heads.heat_map);
  spconv.expect_stage("center", head(outputs.heads.centre));
  spconv.expect_stage("center_z", head(outputs.heads.height));
  spconv.expect_stage("dim", head(outputs.heads.size));
  spconv.expect_stage("rot", head(outputs.heads.rotation));
  spconv.expect_stage("vel", head(outputs.heads.velocity));
}

}  // namespace
}  // namespace lattice
