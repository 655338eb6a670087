// Layers computed by spconv (see the README beside the vectors): coordinates compare as sets, features joined by
// coordinate within 1e-6 of the layer's largest value, on both backends.
#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>

#include "lattice/conv.h"
#include "lattice/safetensors.h"
#include "lattice/session.h"
#include "shared_data.h"

namespace lattice {
namespace {

using Json = nlohmann::json;

Triple triple(const Json& sizes) {
  return {sizes.at(0).get<int64_t>(), sizes.at(1).get<int64_t>(), sizes.at(2).get<int64_t>()};
}

/// spconv's weight in the logical layout; where kernel and stride are 1 its memory is a (C_in, C_out) matrix.
ConvWeight weight_of(const Json& layer, const SafetensorsFile& file) {
  const Tensor weight = file.tensor("weight");
  if (!layer.contains("weight_memory")) return ConvWeight(weight);
  const int64_t outs = layer.at("out_channels"), ins = layer.at("in_channels");
  Tensor dense = Tensor::empty(DType::f32, {outs, ins});
  for (int64_t in = 0; in < ins; ++in) {
    for (int64_t out = 0; out < outs; ++out) {
      dense.mutable_data<float>()[out * ins + in] = weight.data<float>()[in * outs + out];
    }
  }
  return ConvWeight(dense);
}

SparseTensor run(Session& session, const Json& layer, const SafetensorsFile& file) {
  const SparseTensor x(file.tensor("indices_in"), file.tensor("features_in"), 1, triple(layer.at("spatial_shape_in")));
  const std::string op = layer.at("op");
  const bool is_subm = op == "subm_conv";
  // spconv's submanifold convolution ignores its padding.
  const ConvGeometry geometry({.kernel_size = triple(layer.at("kernel")),
                               .stride = triple(layer.at("stride")),
                               .padding = is_subm ? Triple(0) : triple(layer.at("padding")),
                               .dilation = triple(layer.at("dilation"))},
                              "spconv vectors");
  const ConvWeight weight = weight_of(layer, file);
  if (is_subm) return subm_conv3d(session, x, weight, geometry);
  if (op == "conv") return conv3d(session, x, weight, geometry, nullptr, {}, SupportRule::regular);
  const Triple& stride = geometry.stride();
  const Support coarse = CoordSet::make(file.tensor("indices_in"), stride, triple(layer.at("spatial_shape_in")));
  const Support fine = CoordSet::make(file.tensor("indices_out"), 1, triple(layer.at("spatial_shape_out")));
  return conv_transpose3d(session, SparseTensor(coarse, x.features()), weight, geometry, fine);
}

/// Feature rows by coordinate; batch, place.
std::map<Coord, const float*> rows_of(std::span<const Coord> coords, const Tensor& features) {
  std::map<Coord, const float*> rows;
  for (size_t row = 0; row < coords.size(); ++row) {
    rows[coords[row]] = features.data<float>() + static_cast<int64_t>(row) * features.size(1);
  }
  return rows;
}

void check(const SparseTensor& y, const Json& layer, const SafetensorsFile& file) {
  const Tensor expected = file.tensor("features_out");
  const Support support = CoordSet::make(file.tensor("indices_out"));
  const auto expected_rows = rows_of(support->coords(), expected);
  const auto rows = rows_of(y.support()->coords(), y.features());
  ASSERT_EQ(y.rows(), layer.at("rows_out").get<int64_t>());
  ASSERT_EQ(rows.size(), expected_rows.size());
  EXPECT_EQ(y.extent(), triple(layer.at("spatial_shape_out")));
  float largest = 0;
  for (const float value : expected.values<float>()) largest = std::max(largest, std::abs(value));
  ASSERT_GT(largest, 0);
  for (const auto& [coord, row] : expected_rows) {
    const auto found = rows.find(coord);
    ASSERT_NE(found, rows.end()) << to_string(coord);
    for (int64_t c = 0; c < expected.size(1); ++c) {
      ASSERT_NEAR(found->second[c], row[c], 1e-6 * largest) << to_string(coord) << ", channel " << c;
    }
  }
}

class SpconvVectors : public testing::TestWithParam<BackendKind> {};

TEST_P(SpconvVectors, AreMet) {
  const auto folder = shared_data("spconv");
  if (!folder) GTEST_SKIP() << "no shared data: spconv";
  std::ifstream manifest(*folder / "manifest.json");
  const Json layers = Json::parse(manifest).at("cases");
  ASSERT_EQ(layers.size(), 20U);
  Session session({.backend = GetParam(), .threads = 2});
  for (const Json& layer : layers) {
    SCOPED_TRACE(layer.at("file").get<std::string>());
    const SafetensorsFile file = SafetensorsFile::open(*folder / layer.at("file").get<std::string>());
    check(run(session, layer, file), layer, file);
  }
}

INSTANTIATE_TEST_SUITE_P(Backends, SpconvVectors, testing::Values(BackendKind::cpu, BackendKind::reference),
                         [](const auto& kind) { return kind.param == BackendKind::cpu ? "cpu" : "reference"; });

}  // namespace
}  // namespace lattice
