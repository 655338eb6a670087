#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <span>
#include <unordered_map>

#include "coord_index.h"
#include "cpu/cpu_backend.h"
#include "distinct_coords.h"

namespace lattice::cpu {
namespace {

// 2^31 as a float; every float below it in magnitude fits int32 once it is rounded down, and -2^31 itself does too.
constexpr float kLimit = 2147483648.0F;

// How far ahead of its use a voxel's sum is fetched.
constexpr int64_t kPointsAhead = 16;

/// Numbers in the order of a Coord: batch, x, y, z.
using Lanes = float __attribute__((vector_size(16)));
using IntLanes = int32_t __attribute__((vector_size(16)));

/// Where points lie, in steps of the voxels.
class FindPlace {
 public:
  explicit FindPlace(const VoxelizeOptions& options)
      : origin_{0, options.origin[0], options.origin[1], options.origin[2]},
        voxel_size_{1, options.voxel_size[0], options.voxel_size[1], options.voxel_size[2]} {}

  /// False where the point is not finite or leaves int32.
  bool operator()(const float* point, Lanes& place) const noexcept {
    // A true division: a reciprocal would put points on a border into other voxels.
    place = (Lanes{0, point[0], point[1], point[2]} - origin_) / voxel_size_;
    const IntLanes fits = (place >= -kLimit) & (place < kLimit);  // floor changes neither
    const auto halves = std::bit_cast<std::array<uint64_t, 2>>(fits);
    return (halves[0] & halves[1]) == ~uint64_t{0};
  }

 private:
  Lanes origin_, voxel_size_;
};

/// The voxel of a place that fits int32.
Coord voxel_at(const Lanes& place, int32_t batch) {
  const IntLanes truncated = __builtin_convertvector(place, IntLanes);
  auto voxel = std::bit_cast<Coord>(truncated + (__builtin_convertvector(truncated, Lanes) > place));  // true is -1
  voxel.batch = batch;
  return voxel;
}

/// Keeps the first `most` voxels of each batch, and gives the points of the others row -1; their number.
int64_t keep_first_voxels(int64_t most, NumberedCoords& voxels, PooledVector<int32_t>& point_row) {
  PooledVector<Coord>& coords = voxels.coords;
  std::unordered_map<int32_t, int64_t> kept_of_batch;
  PooledVector<int32_t> kept_row(coords.size(), -1);
  size_t kept = 0;
  for (size_t row = 0; row < coords.size(); ++row) {
    if (++kept_of_batch[coords[row].batch] > most) continue;
    kept_row[row] = static_cast<int32_t>(kept);
    coords[kept++] = coords[row];
  }
  if (kept == coords.size()) return 0;
  coords.resize(kept);
  voxels.blocks = {};  // some may hold nothing now
  int64_t beyond = 0;
  for (int32_t& row : point_row) {
    if (row < 0) continue;
    row = kept_row[static_cast<size_t>(row)];
    if (row < 0) ++beyond;
  }
  return beyond;
}

}  // namespace

Voxels CpuBackend::voxelize(const Tensor& points, const Tensor& features, const VoxelizeOptions& options,
                            const Tensor& batch) {
  const int64_t count = points.size(0);
  const float* xyz = points.data<float>();
  const int32_t* batches = batch.defined() ? batch.data<int32_t>() : nullptr;
  const std::optional<Triple> extent = grid_extent(options);
  const FindPlace find_place(options);
  PooledVector<int32_t> point_row(static_cast<size_t>(count), -1);
  int64_t dropped = 0, out_of_range = 0, beyond_voxels = 0, beyond_points = 0;
  PooledVector<Coord> voxels;  // of the points that have one
  voxels.reserve(static_cast<size_t>(count));
  for (int64_t i = 0; i < count; ++i) {
    Lanes place;
    if (!find_place(xyz + i * 3, place)) {
      ++dropped;
      continue;
    }
    const Coord voxel = voxel_at(place, batches ? batches[i] : 0);
    if (extent && !lies_inside(voxel, *extent)) {
      ++out_of_range;
      continue;
    }
    point_row[static_cast<size_t>(i)] = static_cast<int32_t>(voxels.size());
    voxels.push_back(voxel);
  }
  DistinctRows found = DistinctRows::of(voxels);
  for (int32_t& row : point_row) row = row < 0 ? row : found.of_row[static_cast<size_t>(row)];
  NumberedCoords coords = std::move(found.distinct);
  if (options.most_voxels) beyond_voxels = keep_first_voxels(*options.most_voxels, coords, point_row);
  const auto rows = static_cast<int64_t>(coords.coords.size());
  const int64_t channels = features.size(1);

  PooledVector<int32_t> counts(static_cast<size_t>(rows), 0);
  PooledVector<double> sums(static_cast<size_t>(rows * channels), 0.0);
  const int64_t most_points = options.most_points.value_or(-1);
  const float* from = features.data<float>();
  for (int64_t i = 0; i < count; ++i, from += channels) {
    if (i + kPointsAhead < count && point_row[static_cast<size_t>(i + kPointsAhead)] >= 0) {
      __builtin_prefetch(&sums[static_cast<size_t>(point_row[static_cast<size_t>(i + kPointsAhead)] * channels)], 1);
    }
    const int32_t row = point_row[static_cast<size_t>(i)];
    if (row < 0) continue;
    if (counts[static_cast<size_t>(row)] == most_points) {
      ++beyond_points;
      continue;
    }
    ++counts[static_cast<size_t>(row)];
    for (int64_t c = 0; c < channels; ++c) sums[static_cast<size_t>(row * channels + c)] += double{from[c]};
  }
  Tensor reduced = Tensor::empty(DType::f32, {rows, channels});
  float* to = reduced.mutable_data<float>();
  for (int64_t row = 0; row < rows; ++row) {
    const double divisor = options.reduction == Reduction::mean ? counts[static_cast<size_t>(row)] : 1;
    for (int64_t c = 0; c < channels; ++c) {
      to[row * channels + c] = static_cast<float>(sums[static_cast<size_t>(row * channels + c)] / divisor);
    }
  }
  return {.tensor = SparseTensor(CoordSet::make(std::move(coords), 1, extent), std::move(reduced)),
          .point_row = std::move(point_row),
          .counts = std::move(counts),
          .dropped = dropped,
          .out_of_range = out_of_range,
          .beyond_voxels = beyond_voxels,
          .beyond_points = beyond_points};
}

Tensor CpuBackend::devoxelize(const SparseTensor& voxels, const Tensor& points, const VoxelizeOptions& options,
                              Interpolation interpolation, const Tensor& batch) {
  const CoordIndex& index = voxels.support()->index();
  const int64_t count = points.size(0);
  const int64_t channels = voxels.channels();
  const float* xyz = points.data<float>();
  const int32_t* batches = batch.defined() ? batch.data<int32_t>() : nullptr;
  const FindPlace find_place(options);
  Tensor y = Tensor::zeros(voxels.dtype(), {count, channels});
  with_feature_type(voxels.dtype(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const T* from = voxels.features().data<T>();
    T* to = y.mutable_data<T>();
    workers_.for_blocks(count, 1024, [&](int64_t first, int64_t last) {
      PooledVector<float> sums(static_cast<size_t>(channels));
      for (int64_t i = first; i < last; ++i) {
        Lanes place;
        if (!find_place(xyz + i * 3, place)) continue;
        const int64_t in_batch = batches ? batches[i] : 0;
        T* out = to + i * channels;
        if (interpolation == Interpolation::nearest) {
          const auto at = [&](size_t axis) { return static_cast<int64_t>(std::floor(place[axis + 1] + 0.5F)); };
          const int32_t row = index.find(in_batch, at(0), at(1), at(2));
          if (row >= 0) std::copy_n(from + row * channels, channels, out);
          continue;
        }
        std::fill(sums.begin(), sums.end(), 0.0F);
        for (unsigned corner = 0; corner < 8; ++corner) {
          float weight = 1;
          std::array<int64_t, 3> at;
          for (size_t axis = 0; axis < 3; ++axis) {
            const float low = std::floor(place[axis + 1]);
            const bool upper = (corner >> axis & 1U) != 0;
            weight *= upper ? place[axis + 1] - low : 1 - (place[axis + 1] - low);
            at[axis] = static_cast<int64_t>(low) + (upper ? 1 : 0);
          }
          const int32_t row = index.find(in_batch, at[0], at[1], at[2]);
          if (row < 0) continue;
          for (int64_t c = 0; c < channels; ++c)
            sums[static_cast<size_t>(c)] += weight * static_cast<float>(from[row * channels + c]);
        }
        for (int64_t c = 0; c < channels; ++c) out[c] = static_cast<T>(sums[static_cast<size_t>(c)]);
      }
    });
  });
  return y;
}

}  // namespace lattice::cpu
