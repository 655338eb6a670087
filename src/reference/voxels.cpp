#include <cmath>
#include <map>

#include "reference/reference.h"

namespace lattice {
namespace {

using Point = std::array<float, 3>;

/// (point - origin) / voxel_size in float32 with a true division: a double or a reciprocal would put points near a
/// voxel's face into other voxels.
Point lattice_point(const float* point, const VoxelizeOptions& options) {
  Point result{};
  for (size_t axis = 0; axis < 3; ++axis) {
    result[axis] = (point[axis] - options.origin[axis]) / options.voxel_size[axis];
  }
  return result;
}

/// The coordinate of whole numbers; nothing where one is not finite or leaves int32.
std::optional<Coord> whole_coord(int32_t batch, const Point& whole) {
  for (const float value : whole) {
    if (!(value >= -0x1p31F && value < 0x1p31F)) return std::nullopt;  // not finite: false, too
  }
  return Coord{batch, static_cast<int32_t>(whole[0]), static_cast<int32_t>(whole[1]), static_cast<int32_t>(whole[2])};
}

Point floor_of(const Point& point) {
  return {std::floor(point[0]), std::floor(point[1]), std::floor(point[2])};
}

int32_t batch_of(const Tensor& batch, int64_t row) {
  return batch.defined() ? batch.data<int32_t>()[row] : 0;
}

bool is_finite(const float* point) {
  return std::isfinite(point[0]) && std::isfinite(point[1]) && std::isfinite(point[2]);
}

/// A voxel and what it counts for.
struct WeightedVoxel {
  std::optional<Coord> coord;
  double weight = 1;
};

std::vector<WeightedVoxel> nearest_voxel(int32_t batch, const Point& p) {
  return {{whole_coord(batch, floor_of({p[0] + 0.5F, p[1] + 0.5F, p[2] + 0.5F}))}};
}

/// The 8 voxels floor(p) + {0,1}^3, weighted by (1 - frac) or frac an axis.
std::vector<WeightedVoxel> surrounding_voxels(int32_t batch, const Point& p) {
  const Point low = floor_of(p);
  const std::optional<Coord> first = whole_coord(batch, low);
  if (!first) return {};
  std::vector<WeightedVoxel> voxels;
  for (const int64_t dx : {0, 1}) {
    for (const int64_t dy : {0, 1}) {
      for (const int64_t dz : {0, 1}) {
        const auto share = [&](size_t axis, int64_t step) {
          const double fraction = double{p[axis]} - double{low[axis]};
          return step == 1 ? fraction : 1 - fraction;
        };
        voxels.push_back({narrowed(batch, {first->x + dx, first->y + dy, first->z + dz}),
                          share(0, dx) * share(1, dy) * share(2, dz)});
      }
    }
  }
  return voxels;
}

}  // namespace

Voxels ReferenceBackend::voxelize(const Tensor& points, const Tensor& features, const VoxelizeOptions& options,
                                  const Tensor& batch) {
  const int64_t channels = features.size(1);
  PooledVector<Coord> coords;
  PooledVector<int32_t> point_row, counts;
  std::vector<double> sums;
  int64_t dropped = 0, out_of_range = 0, beyond_voxels = 0, beyond_points = 0;
  const std::optional<Triple> extent = grid_extent(options);
  std::map<int32_t, int64_t> voxels_of_batch;
  FirstRows voxel_rows;
  for (int64_t point = 0; point < points.size(0); ++point) {
    const Point p = lattice_point(points.data<float>() + 3 * point, options);
    const std::optional<Coord> coord = whole_coord(batch_of(batch, point), floor_of(p));
    if (!coord) {
      point_row.push_back(-1);
      ++dropped;
      continue;
    }
    if (extent && !lies_inside(*coord, *extent)) {
      point_row.push_back(-1);
      ++out_of_range;
      continue;
    }
    if (!voxel_rows.find(*coord)) {
      if (options.most_voxels && voxels_of_batch[coord->batch] == *options.most_voxels) {
        point_row.push_back(-1);
        ++beyond_voxels;
        continue;
      }
      ++voxels_of_batch[coord->batch];
      voxel_rows.insert(*coord, static_cast<int64_t>(coords.size()));
      coords.push_back(*coord);
      counts.push_back(0);
      sums.resize(sums.size() + at(channels), 0.0);
    }
    const int32_t row = *voxel_rows.find(*coord);
    point_row.push_back(row);
    if (options.most_points && counts[at(row)] == *options.most_points) {
      ++beyond_points;
      continue;
    }
    ++counts[at(row)];
    for (int64_t channel = 0; channel < channels; ++channel) {
      sums[at(row * channels + channel)] += double{features.data<float>()[point * channels + channel]};
    }
  }
  if (options.reduction == Reduction::mean) {
    for (size_t i = 0; i < sums.size(); ++i) sums[i] /= counts[i / at(channels)];
  }
  const auto rows = static_cast<int64_t>(coords.size());
  return {
      .tensor = SparseTensor(CoordSet::make(std::move(coords), 1, extent), rounded(sums, DType::f32, {rows, channels})),
      .point_row = std::move(point_row),
      .counts = std::move(counts),
      .dropped = dropped,
      .out_of_range = out_of_range,
      .beyond_voxels = beyond_voxels,
      .beyond_points = beyond_points};
}

Tensor ReferenceBackend::devoxelize(const SparseTensor& voxels, const Tensor& points, const VoxelizeOptions& options,
                                    Interpolation interpolation, const Tensor& batch) {
  const int64_t count = points.size(0), channels = voxels.channels();
  const FirstRows voxel_rows(voxels.support()->coords());
  const std::vector<double> features = widened(voxels.features());
  std::vector<double> values(at(count * channels), 0.0);
  for (int64_t point = 0; point < count; ++point) {
    const float* position = points.data<float>() + 3 * point;
    if (!is_finite(position)) continue;
    const Point p = lattice_point(position, options);
    const int32_t in_batch = batch_of(batch, point);
    for (const WeightedVoxel& voxel :
         interpolation == Interpolation::nearest ? nearest_voxel(in_batch, p) : surrounding_voxels(in_batch, p)) {
      const std::optional<int32_t> row = voxel_rows.find(voxel.coord);
      if (!row) continue;
      for (int64_t channel = 0; channel < channels; ++channel) {
        values[at(point * channels + channel)] += voxel.weight * features[at(*row * channels + channel)];
      }
    }
  }
  return rounded(values, voxels.dtype(), {count, channels});
}

}  // namespace lattice
