#include "bench/voxel_sets.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "cli/scan_input.h"
#include "lattice/error.h"

namespace lattice::bench {
namespace {

struct Scan {
  const char* name;
  const char* file;
  int64_t columns;
  float voxel_size;  // metres
};

constexpr std::array kScans = {
    Scan{"kitti", "kitti_000008.bin", 4, 0.05F},        Scan{"lidar", "nuscenes_lidar_top.bin", 5, 0.05F},
    Scan{"scannet", "scannet_scene0000.bin", 6, 0.05F}, Scan{"scannet_2cm", "scannet_scene0000.bin", 6, 0.02F},
    Scan{"sweeps", "nuscenes_10_sweeps.bin", 5, 0.1F},
};
constexpr const char* kDetectorVoxels = "nuscenes_voxels_bxyz.i32";
constexpr Triple kDetectorExtent(1440, 1440, 41);

/// In $LATTICE_SHARED_DIR, or in the folder `shared` beside the source tree.
std::string scan_path(const char* file) {
  const char* folder = std::getenv("LATTICE_SHARED_DIR");
  return std::filesystem::path(folder != nullptr ? folder : LATTICE_SOURCE_DIR "/../shared") / "scans" / file;
}

/// The frame that a scan's name ends in, which is cut off.
int take_frame(std::string& name) {
  const size_t at = name.find('@');
  if (at == std::string::npos) return 0;
  const std::string digits = name.substr(at + 1);
  if (digits.size() != 1 || digits[0] < '0' || digits[0] >= '0' + kFrames) {
    throw Error(ErrorCode::invalid_argument, fmt::format("bench: {} is no frame; there are {}", name, kFrames));
  }
  name.resize(at);
  return digits[0] - '0';
}

/// Where x and y begin and end, summed up: a coordinate and its mirror image have the same sum.
template <typename T>
struct Mirror {
  T x, y;

  void apply(int frame, T& at_x, T& at_y) const {
    if ((frame & 1) != 0) at_x = x - at_x;
    if ((frame & 2) != 0) at_y = y - at_y;
    if ((frame & 4) != 0) std::swap(at_x, at_y);
  }
};

/// Of the first two columns.
Mirror<float> mirror_of(const Tensor& values) {
  const float* const all = values.data<float>();
  std::array<float, 2> low = {all[0], all[1]}, high = low;
  for (int64_t row = 0; row < values.size(0); ++row) {
    for (size_t axis = 0; axis < 2; ++axis) {
      const float at = all[row * values.size(1) + static_cast<int64_t>(axis)];
      low[axis] = std::min(low[axis], at);
      high[axis] = std::max(high[axis], at);
    }
  }
  return {low[0] + high[0], low[1] + high[1]};
}

const Scan& scan_named(std::string name) {
  take_frame(name);
  const auto* const found = std::find_if(kScans.begin(), kScans.end(), [&](const Scan& s) { return s.name == name; });
  if (found == kScans.end()) throw Error(ErrorCode::invalid_argument, fmt::format("bench: no scan is named {}", name));
  return *found;
}

cli::ScanOptions scan_options(const Scan& scan) {
  return {.path = scan_path(scan.file), .columns = scan.columns, .format = "bin", .voxel = {scan.voxel_size}};
}

Support detector_voxels(int frame) {
  const std::string path = scan_path(kDetectorVoxels);
  std::ifstream file(path, std::ios::binary | std::ios::ate);
  if (!file) throw Error(ErrorCode::io, fmt::format("{}: cannot open", path));
  std::vector<Coord> coords(static_cast<size_t>(file.tellg()) / sizeof(Coord));  // little-endian batch, x, y, z
  file.seekg(0);
  file.read(reinterpret_cast<char*>(coords.data()), static_cast<std::streamsize>(coords.size() * sizeof(Coord)));
  if (!file) throw Error(ErrorCode::io, fmt::format("{}: cannot read", path));
  const Mirror<int32_t> mirror = {static_cast<int32_t>(kDetectorExtent.x - 1),
                                  static_cast<int32_t>(kDetectorExtent.y - 1)};
  for (Coord& c : coords) mirror.apply(frame, c.x, c.y);  // in a square
  return CoordSet::make(std::move(coords), 1, kDetectorExtent);
}

Support scan_voxels(Session& session, const std::string& name) {
  std::string base = name;
  const int frame = take_frame(base);
  if (base == "centerpoint") return detector_voxels(frame);
  const Scan& scan = scan_named(name);
  const Tensor points = cli::columns_of(scan_points(name), 0, 3);
  const VoxelizeOptions options = cli::voxelize_options(scan_options(scan));
  return cli::shifted_to_zero(voxelize(session, points, points, options).tensor).support();
}

/// The set without its stride, so that a step may follow any other.
Support at_unit_stride(const Support& support) {
  const auto coords = support->coords();
  return CoordSet::make(std::vector<Coord>(coords.begin(), coords.end()), 1, support->extent());
}

Support children(const Support& support) {
  std::vector<Coord> coords;
  coords.reserve(static_cast<size_t>(support->rows()) * 8);
  for (const Coord& c : support->coords()) {
    for (int32_t child = 0; child < 8; ++child) {
      coords.push_back({c.batch, c.x * 2 + (child >> 2), c.y * 2 + (child >> 1 & 1), c.z * 2 + (child & 1)});
    }
  }
  return CoordSet::make(std::move(coords));
}

Support step(Session& session, char kind, int64_t number, const Support& support) {
  const auto relate = [&](RelationKind relation, const ConvOptions& options) {
    return at_unit_stride(session.relate(relation, support, ConvGeometry(options), nullptr, "bench").output);
  };
  if (kind == 'd') return relate(RelationKind::forward, {.kernel_size = 2, .stride = 2});
  if (kind == 'u') return children(support);
  const Triple padding = number == 2 ? Triple(1, 1, 0) : Triple(1);
  return relate(RelationKind::regular, {.kernel_size = 3, .stride = 2, .padding = padding});
}

}  // namespace

std::string frame_name(const std::string& name, int frame) {
  const size_t end = std::min(name.find('.'), name.size());
  return fmt::format("{}@{}{}", name.substr(0, end), frame, name.substr(end));
}

PointCloud scan_points(const std::string& scan) {
  PointCloud cloud = cli::read_scan(scan_options(scan_named(scan)));
  std::string base = scan;
  const int frame = take_frame(base);
  const int64_t columns = cloud.values.size(1);
  float* const values = cloud.values.mutable_data<float>();
  const Mirror<float> mirror = mirror_of(cloud.values);
  for (int64_t row = 0; row < cloud.rows(); ++row) {
    mirror.apply(frame, values[row * columns], values[row * columns + 1]);
  }
  return cloud;
}

float scan_voxel_size(const std::string& scan) {
  return scan_named(scan).voxel_size;
}

Support voxel_set(Session& session, const std::string& name) {
  size_t end = name.find('.');
  Support support = scan_voxels(session, name.substr(0, end));
  while (end != std::string::npos) {
    const size_t begin = end + 1;
    end = name.find('.', begin);
    const std::string steps = name.substr(begin, end == std::string::npos ? end : end - begin);
    if (steps.size() != 2 || std::strchr("dru", steps[0]) == nullptr || steps[1] < '1' || steps[1] > '9') {
      throw Error(ErrorCode::invalid_argument, fmt::format("bench: voxels {}: .{} is no step", name, steps));
    }
    for (int64_t i = 0; i < steps[1] - '0'; ++i) support = step(session, steps[0], i, support);
  }
  return support;
}

SparseTensor network_voxels(Session& session, const std::string& scan) {
  return cli::network_input(session, scan_points(scan), scan_options(scan_named(scan))).tensor;
}

}  // namespace lattice::bench
