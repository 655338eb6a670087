#include "scan_input.h"

#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <limits>
#include <span>

#include "lattice/error.h"
#include "lattice/point_file.h"

namespace lattice::cli {
namespace {

constexpr int64_t kNetworkChannels = 4;

struct Range {
  double low = std::numeric_limits<double>::infinity(), high = -std::numeric_limits<double>::infinity();
};
using Ranges = std::array<Range, kNetworkChannels>;

Tensor network_features(const PointCloud& cloud) {
  Tensor features = columns_of(cloud, 0, kNetworkChannels);
  float* values = features.mutable_data<float>();
  for (int64_t i = kNetworkChannels - 1; i < features.elements(); i += kNetworkChannels) {
    if (!std::isfinite(values[i])) values[i] = 0;
  }
  return features;
}

Ranges ranges_of(const Tensor& features, std::span<const int32_t> point_row) {
  Ranges ranges;
  const float* value = features.data<float>();
  for (const int32_t row : point_row) {
    for (Range& range : ranges) {
      const double x = *value++;
      if (row < 0) continue;
      range.low = std::min(range.low, x);
      range.high = std::max(range.high, x);
    }
  }
  return ranges;
}

Tensor scaled_to_unit(const Tensor& means, const Ranges& ranges) {
  Tensor scaled = Tensor::zeros(DType::f32, means.shape());
  const float* in = means.data<float>();
  float* out = scaled.mutable_data<float>();
  for (int64_t i = 0; i < means.elements(); ++i) {
    const Range& range = ranges[static_cast<size_t>(i % kNetworkChannels)];
    if (range.high > range.low) out[i] = static_cast<float>((in[i] - range.low) / (range.high - range.low));
  }
  return scaled;
}

int32_t shifted(int32_t value, int32_t smallest) {
  const int64_t difference = int64_t{value} - smallest;
  if (difference > std::numeric_limits<int32_t>::max()) {
    throw Error(
        ErrorCode::out_of_range,
        fmt::format("voxelize: coordinates {} and {} are too far apart to be shifted to zero; use larger voxels",
                    smallest, value));
  }
  return static_cast<int32_t>(difference);
}

}  // namespace

void add_scan_options(CLI::App& app, ScanOptions& options, ScanVoxels voxels) {
  app.add_option("SCAN", options.path, "Scan: .bin (KITTI, nuScenes, raw float32), .pcd, .ply or .las")->required();
  app.add_option("--columns", options.columns, "float32 values a row of a .bin file (default: 4; .pcd.bin: 5)");
  app.add_option("--format", options.format, "bin, pcd, ply or las (default: by name or content)");
  if (voxels == ScanVoxels::fixed) return;
  app.add_option("--voxel", options.voxel, "Size of a voxel in metres; one number or x,y,z")
      ->delimiter(',')
      ->allow_extra_args(false)  // or it would take a SCAN behind it for a second number
      ->capture_default_str();
}

void check_files_differ(const std::vector<std::string>& paths) {
  namespace fs = std::filesystem;
  for (size_t i = 0; i < paths.size(); ++i) {
    for (size_t j = 0; j < i; ++j) {
      std::error_code ignored;  // of what is not there
      const bool same = fs::path(paths[i]).lexically_normal() == fs::path(paths[j]).lexically_normal() ||
                        fs::equivalent(paths[i], paths[j], ignored);
      if (paths[i].empty() || !same) continue;
      throw Error(
          ErrorCode::invalid_argument,
          fmt::format("{} is named for two files, of which one would replace the other; name it once", paths[i]));
    }
  }
}

PointCloud read_scan(const ScanOptions& options) {
  return read_points(options.path, {.columns = options.columns, .format = options.format});
}

VoxelizeOptions voxelize_options(const ScanOptions& options) {
  const std::vector<float>& size = options.voxel;
  if (size.size() == 3) return {.voxel_size = {size[0], size[1], size[2]}};
  if (size.size() == 1) return {.voxel_size = {size[0], size[0], size[0]}};
  throw Error(ErrorCode::invalid_argument, fmt::format("--voxel takes one number or three, not {}", size.size()));
}

Tensor origin_of(const PointCloud& cloud) {
  return Tensor::from(std::vector<double>(cloud.origin.begin(), cloud.origin.end()), {3});
}

Tensor columns_of(const PointCloud& cloud, int64_t first, int64_t count) {
  Tensor result = Tensor::zeros(DType::f32, {cloud.rows(), count});
  const int64_t stride = cloud.values.size(1), copied = std::clamp<int64_t>(stride - first, 0, count);
  const float* in = cloud.values.data<float>();
  float* out = result.mutable_data<float>();
  for (int64_t row = 0; row < cloud.rows(); ++row) {
    std::copy_n(in + row * stride + first, copied, out + row * count);
  }
  return result;
}

SparseTensor shifted_to_zero(const SparseTensor& tensor) {
  const auto old_coords = tensor.support()->coords();
  std::vector<Coord> coords(old_coords.begin(), old_coords.end());
  constexpr int32_t kLargest = std::numeric_limits<int32_t>::max();
  Coord smallest{0, kLargest, kLargest, kLargest};
  for (const Coord& c : coords) {
    smallest = {0, std::min(smallest.x, c.x), std::min(smallest.y, c.y), std::min(smallest.z, c.z)};
  }
  for (Coord& c : coords) {
    c = {c.batch, shifted(c.x, smallest.x), shifted(c.y, smallest.y), shifted(c.z, smallest.z)};
  }
  return SparseTensor(CoordSet::make(std::move(coords), tensor.stride()), tensor.features());
}

Support renewed(const Support& support) {
  const auto coords = support->coords();
  return CoordSet::make(std::vector<Coord>(coords.begin(), coords.end()), support->stride(), support->extent());
}

NetworkInput network_input(Session& session, const PointCloud& cloud, const ScanOptions& options) {
  const Tensor features = network_features(cloud);
  Voxels voxels = voxelize(session, columns_of(cloud, 0, 3), features, voxelize_options(options));
  const Ranges ranges = ranges_of(features, voxels.point_row);
  const SparseTensor scaled = voxels.tensor.with_features(scaled_to_unit(voxels.tensor.features(), ranges));
  return {shifted_to_zero(scaled), std::move(voxels.point_row), voxels.dropped};
}

}  // namespace lattice::cli
