// Our detectors beside the same networks in torch with spconv (detectors.py): the same coordinates at every stage, and
// features within 1e-5 of the stage's largest value in float32.
//   LATTICE_SPCONV_DETECTORS=<folder of detectors.py> detectors_against_spconv
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <string>

#include "lattice/detectors.h"
#include "lattice/safetensors.h"

namespace lattice {
namespace {

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
  static std::string folder() {
    const char* folder = std::getenv("LATTICE_SPCONV_DETECTORS");
    if (folder == nullptr) throw std::runtime_error("LATTICE_SPCONV_DETECTORS names no folder");
    return folder;
  }

  SafetensorsFile file_;
};

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
