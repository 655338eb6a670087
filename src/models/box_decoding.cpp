#include <algorithm>
#include <cmath>

#include "fail.h"
#include "lattice/detectors.h"
#include "lattice/pool.h"

namespace lattice {
namespace {

/// A voxel that stands out for a class.
struct Peak {
  float score;
  int64_t row, label;
  int32_t batch;
};

float logistic(float x) {
  return 1 / (1 + std::exp(-x));
}

/// The peaks of all batches, best first within each; equal scores by row, then class.
std::vector<Peak> find_peaks(Session& session, const SparseTensor& heat_map, const BoxDecoding& decoding) {
  const ConvGeometry neighbours({.kernel_size = {3, 3, 1}}, "decode_boxes");
  const Tensor largest = pool3d(session, heat_map, PoolMode::max, neighbours).features().to(DType::f32);
  const Tensor values = heat_map.features().to(DType::f32);
  const auto coords = heat_map.support()->coords();
  std::vector<Peak> peaks;
  for (int64_t row = 0; row < heat_map.rows(); ++row) {
    for (int64_t label = 0; label < heat_map.channels(); ++label) {
      const int64_t at = row * heat_map.channels() + label;
      const float score = logistic(values.data<float>()[at]);
      if (values.data<float>()[at] == largest.data<float>()[at] && score >= decoding.least_score) {
        peaks.push_back({score, row, label, coords[static_cast<size_t>(row)].batch});
      }
    }
  }
  std::stable_sort(peaks.begin(), peaks.end(), [](const Peak& a, const Peak& b) {
    return a.batch != b.batch ? a.batch < b.batch : a.score > b.score;
  });
  return peaks;
}

void check(const VoxelNeXt::Heads& heads, const BoxDecoding& decoding) {
  const auto check_head = [&](const char* name, const Tensor& head, int64_t channels) {
    if (head.shape() != Shape{heads.heat_map.rows(), channels}) {
      fail(ErrorCode::invalid_argument, "decode_boxes: {} has shape {}, but must be ({}, {})", name,
           to_string(head.shape()), heads.heat_map.rows(), channels);
    }
  };
  check_head("centre", heads.centre, 2);
  check_head("height", heads.height, 1);
  check_head("size", heads.size, 3);
  check_head("rotation", heads.rotation, 2);
  check_head("velocity", heads.velocity, 2);
  if (decoding.most_boxes < 0) {
    fail(ErrorCode::invalid_argument, "decode_boxes: most_boxes {} must be at least 0", decoding.most_boxes);
  }
}

}  // namespace

std::vector<Box> decode_boxes(Session& session, const VoxelNeXt::Heads& heads, const BoxDecoding& decoding) {
  check(heads, decoding);
  const Tensor centre = heads.centre.to(DType::f32), height = heads.height.to(DType::f32),
               size = heads.size.to(DType::f32), rotation = heads.rotation.to(DType::f32),
               velocity = heads.velocity.to(DType::f32);
  const auto at = [](const Tensor& head, int64_t row, int64_t channel) {
    return head.data<float>()[row * head.size(1) + channel];
  };
  const auto coords = heads.heat_map.support()->coords();
  const Triple& stride = heads.heat_map.stride();
  std::vector<Box> boxes;
  int64_t of_batch = 0;
  int32_t batch = -1;
  for (const Peak& peak : find_peaks(session, heads.heat_map, decoding)) {
    if (peak.batch != batch) {
      batch = peak.batch;
      of_batch = 0;
    }
    if (of_batch++ >= decoding.most_boxes) continue;
    const Coord& place = coords[static_cast<size_t>(peak.row)];
    const auto metres = [&](int32_t step, int64_t channel, int64_t voxels, size_t axis) {
      return (static_cast<float>(step) + at(centre, peak.row, channel)) * static_cast<float>(voxels) *
                 decoding.voxel_size[axis] +
             decoding.origin[axis];
    };
    boxes.push_back({.label = peak.label,
                     .score = peak.score,
                     .x = metres(place.x, 0, stride.x, 0),
                     .y = metres(place.y, 1, stride.y, 1),
                     .z = at(height, peak.row, 0),
                     .length = std::exp(at(size, peak.row, 0)),
                     .width = std::exp(at(size, peak.row, 1)),
                     .height = std::exp(at(size, peak.row, 2)),
                     .heading = std::atan2(at(rotation, peak.row, 0), at(rotation, peak.row, 1)),
                     .velocity_x = at(velocity, peak.row, 0),
                     .velocity_y = at(velocity, peak.row, 1),
                     .batch = batch});
  }
  return boxes;
}

}  // namespace lattice
