#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <fstream>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "lattice/model.h"
#include "lattice/safetensors.h"
#include "shared_data.h"

namespace lattice {

struct Tolerance {
  double rtol = 0, atol = 0;
};

/// Of a case of the shared manifest.
inline Tolerance tolerance_of(const std::string& name) {
  std::ifstream file(*shared_data("conformance/manifest.json"));
  const auto manifest = nlohmann::json::parse(file);
  for (const auto& entry : manifest["cases"]) {
    if (entry["name"] == name) return {entry["rtol"], entry["atol"]};
  }
  ADD_FAILURE() << name << " is not in the manifest";
  return {};
}

inline NamedTensors read_tensors(const std::filesystem::path& path) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  NamedTensors tensors;
  for (const std::string& name : file.names()) tensors[name] = file.tensor(name);
  return tensors;
}

/// Rows of features by the coordinate that they belong to.
inline std::map<std::array<int32_t, 4>, std::vector<float>> rows_by_coordinate(const NamedTensors& tensors,
                                                                               const std::string& name) {
  const Tensor &coords = tensors.at(name + ".coords"), &features = tensors.at(name + ".features");
  const int64_t active = tensors.at(name + ".active").data<int32_t>()[0], channels = features.size(1);
  std::map<std::array<int32_t, 4>, std::vector<float>> rows;
  for (int64_t row = 0; row < active; ++row) {
    const int32_t* at = coords.data<int32_t>() + row * 4;
    const float* values = features.data<float>() + row * channels;
    rows[{at[0], at[1], at[2], at[3]}] = {values, values + channels};
  }
  return rows;
}

inline void expect_close(const std::vector<float>& found, const std::vector<float>& expected, const Tolerance& t) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_LE(std::abs(double{found[i]} - double{expected[i]}), t.atol + t.rtol * std::abs(double{expected[i]})) << i;
  }
}

/// The one output of a case, called `output`: dense, or sparse and compared by coordinate.
inline void expect_close(const NamedTensors& found, const NamedTensors& expected, const Tolerance& tolerance) {
  ASSERT_FALSE(expected.empty());
  if (expected.contains("output")) {
    const auto values = [](const NamedTensors& tensors) {
      const auto span = tensors.at("output").values<float>();
      return std::vector<float>(span.begin(), span.end());
    };
    ASSERT_EQ(found.at("output").shape(), expected.at("output").shape());
    return expect_close(values(found), values(expected), tolerance);
  }
  const auto rows = rows_by_coordinate(found, "output"), wanted = rows_by_coordinate(expected, "output");
  ASSERT_EQ(rows.size(), wanted.size());
  for (const auto& [coordinate, values] : wanted) {
    ASSERT_TRUE(rows.contains(coordinate)) << coordinate[1] << ", " << coordinate[2] << ", " << coordinate[3];
    expect_close(rows.at(coordinate), values, tolerance);
  }
}

}  // namespace lattice
