#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <span>
#include <type_traits>
#include <unordered_map>

#include "coord_index.h"
#include "cpu/cpu_backend.h"
#include "cpu/scratch.h"
#include "distinct_coords.h"

namespace lattice::cpu {
namespace {

// 2^31 as a float; every float below it in magnitude fits int32 once it is rounded down, and -2^31 itself does too.
constexpr float kLimit = 2147483648.0F;

// How far ahead of their use features and sums are fetched.
constexpr size_t kPointsAhead = 48;

/// The voxels of those points that have one, in the order of the points.
struct PointVoxels {
  std::span<const Coord> coords;
  PooledVector<int32_t> points = {};  // whose they are; empty where all points have one
  int64_t dropped = 0, out_of_range = 0;
};

/// Leaves the voxels that there are, and tells whose they are.
PooledVector<int32_t> keep_found(std::span<Coord> voxels, size_t found) {
  PooledVector<int32_t> points(found);
  size_t kept = 0;
  for (size_t point = 0; kept < found; ++point) {
    const Coord voxel = voxels[point];
    // Written in any case, behind what was kept so far.
    voxels[kept] = voxel;
    points[kept] = static_cast<int32_t>(point);
    kept += voxel.batch >= 0 ? 1 : 0;
  }
  return points;
}

/// Writes them into `voxels`, which has room for one a point.
PointVoxels find_voxels(const Tensor& points, const VoxelizeOptions& options, const Tensor& batch,
                        const std::optional<Triple>& extent, const Kernels& kernels, Coord* voxels) {
  VoxelSearch search = {.points = points.data<float>(),
                        .count = points.size(0),
                        .origin = {},
                        .voxel_size = {},
                        .batches = batch.defined() ? batch.data<int32_t>() : nullptr,
                        .has_range = extent.has_value(),
                        .last = {},
                        .voxels = reinterpret_cast<int32_t*>(voxels)};
  std::copy(options.origin.begin(), options.origin.end(), search.origin);
  std::copy(options.voxel_size.begin(), options.voxel_size.end(), search.voxel_size);
  if (extent) {  // of at most 2^31 - 1 cells
    search.last[0] = static_cast<int32_t>(extent->x - 1);
    search.last[1] = static_cast<int32_t>(extent->y - 1);
    search.last[2] = static_cast<int32_t>(extent->z - 1);
  }
  const FoundVoxels found = kernels.find_voxels(search);
  const auto count = static_cast<size_t>(search.count - found.dropped - found.out_of_range);
  PointVoxels result = {.coords = {voxels, count}, .dropped = found.dropped, .out_of_range = found.out_of_range};
  const auto all = static_cast<size_t>(search.count);
  if (count < all) result.points = keep_found({voxels, all}, count);
  return result;
}

/// Keeps the first `most` voxels of each batch, and gives the points of the others number -1; their number.
int64_t keep_first_voxels(int64_t most, std::span<const Coord> coords, DistinctRows& rows) {
  std::unordered_map<int32_t, int64_t> kept_of_batch;
  PooledVector<int32_t> kept_number(rows.first_row.size(), -1);
  size_t kept = 0;
  for (size_t number = 0; number < rows.first_row.size(); ++number) {
    const int32_t row = rows.first_row[number];
    if (++kept_of_batch[coords[static_cast<size_t>(row)].batch] > most) continue;
    kept_number[number] = static_cast<int32_t>(kept);
    rows.first_row[kept++] = row;
  }
  if (kept == rows.first_row.size()) return 0;
  rows.first_row.resize(kept);
  int64_t beyond = 0;
  for (int32_t& number : rows.number_of_row) {
    number = kept_number[static_cast<size_t>(number)];
    if (number < 0) ++beyond;
  }
  return beyond;
}

/// Makes rows of those points that have a voxel rows of all points; the number of the others is -1.
void spread_over(int64_t count, const PooledVector<int32_t>& points, DistinctRows& rows) {
  PooledVector<int32_t> number_of_point(static_cast<size_t>(count), -1);
  for (size_t row = 0; row < points.size(); ++row) {
    number_of_point[static_cast<size_t>(points[row])] = rows.number_of_row[row];
  }
  rows.number_of_row = std::move(number_of_point);
  for (int32_t& row : rows.first_row) row = points[static_cast<size_t>(row)];
  for (int32_t& row : rows.repeated) row = points[static_cast<size_t>(row)];
}

/// The points of voxels, which hold at least one each.
struct PointCounts {
  PooledVector<int32_t> of_voxel;
  PooledVector<int32_t> shared = {};  // voxels with several points
  int64_t beyond = 0;                 // points that do not count
};

/// Counts up to `most` points a voxel, and leaves those of `rows.repeated` that count.
PointCounts count_points(int64_t most, DistinctRows& rows) {
  PointCounts counts = {.of_voxel = PooledVector<int32_t>(rows.first_row.size(), 1)};
  counts.shared.resize(std::min(rows.first_row.size(), rows.repeated.size()) + 1);
  size_t kept = 0, shared = 0;
  for (const int32_t point : rows.repeated) {
    const int32_t voxel = rows.number_of_row[static_cast<size_t>(point)];
    if (voxel < 0) continue;
    int32_t& count = counts.of_voxel[static_cast<size_t>(voxel)];
    if (count == most) {
      ++counts.beyond;
      continue;
    }
    // Written in any case, behind what was found so far.
    counts.shared[shared] = voxel;
    shared += count == 1 ? 1 : 0;
    ++count;
    rows.repeated[kept++] = point;
  }
  rows.repeated.resize(kept);
  counts.shared.resize(shared);
  return counts;
}

// A compiler's own vectors ask for each row whether rows overlap, which takes as long as a row.
using Four = float __attribute__((vector_size(16)));
using Two = double __attribute__((vector_size(16)));

template <typename Vector, typename T>
Vector load(const T* from) {
  Vector vector;
  std::memcpy(&vector, from, sizeof(vector));
  return vector;
}
template <typename Vector, typename T>
void store(const Vector& vector, T* to) {
  std::memcpy(to, &vector, sizeof(vector));
}
Two widened(const float* from) {
  return Two{double{from[0]}, double{from[1]}};
}

/// to[c] = from[c].
void widen_row(const float* from, int64_t channels, double* to) {
  int64_t c = 0;
  for (; c + 2 <= channels; c += 2) store(widened(from + c), to + c);
  if (c < channels) to[c] = double{from[c]};
}

/// to[c] += from[c].
void add_row(const float* from, int64_t channels, double* to) {
  int64_t c = 0;
  for (; c + 2 <= channels; c += 2) store(load<Two>(to + c) + widened(from + c), to + c);
  if (c < channels) to[c] += double{from[c]};
}

/// The features of each voxel's first point, added to 0 as a sum begins.
void copy_first(const float* features, int64_t channels, std::span<const int32_t> first_point, float* to) {
  for (size_t i = 0; i < first_point.size(); ++i) {
    if (i + kPointsAhead < first_point.size()) __builtin_prefetch(features + first_point[i + kPointsAhead] * channels);
    const float* const from = features + first_point[i] * channels;
    int64_t c = 0;
    for (; c + 4 <= channels; c += 4) store(load<Four>(from + c) + 0.0F, to + c);
    for (; c < channels; ++c) to[c] = from[c] + 0.0F;
    to += channels;
  }
}

/// Reduces the features of voxels with several points, where those of their first points stand. Most voxels of a scan
/// hold one point: only the others are summed up, in float64.
void reduce_shared(const float* features, int64_t channels, const DistinctRows& rows, const PointCounts& counts,
                   Reduction reduction, float* reduced) {
  if (counts.shared.empty()) return;
  Scratch scratch;
  auto* const sums = scratch.take<double>(static_cast<int64_t>(counts.of_voxel.size()) * channels);
  for (const int64_t voxel : counts.shared) {
    widen_row(reduced + voxel * channels, channels, sums + voxel * channels);
  }
  const size_t repeated = rows.repeated.size();
  const auto voxel_of = [&](size_t i) { return int64_t{rows.number_of_row[static_cast<size_t>(rows.repeated[i])]}; };
  for (size_t i = 0; i < repeated; ++i) {
    if (i + kPointsAhead < repeated) __builtin_prefetch(sums + voxel_of(i + kPointsAhead) * channels, 1);
    add_row(features + rows.repeated[i] * channels, channels, sums + voxel_of(i) * channels);
  }
  for (const int64_t voxel : counts.shared) {
    const double points = reduction == Reduction::mean ? counts.of_voxel[static_cast<size_t>(voxel)] : 1;
    const double* const from = sums + voxel * channels;
    float* const to = reduced + voxel * channels;
    for (int64_t c = 0; c < channels; ++c) to[c] = static_cast<float>(from[c] / points);
  }
}

}  // namespace

Voxels CpuBackend::voxelize(const Tensor& points, const Tensor& features, const VoxelizeOptions& options,
                            const Tensor& batch) {
  const int64_t count = points.size(0), channels = features.size(1);
  const std::optional<Triple> extent = grid_extent(options);
  Scratch scratch;
  const PointVoxels voxels = find_voxels(points, options, batch, extent, kernels_, scratch.take<Coord>(count));
  DistinctRows rows = DistinctRows::of(voxels.coords);
  const int64_t beyond_voxels = options.most_voxels ? keep_first_voxels(*options.most_voxels, voxels.coords, rows) : 0;
  PooledVector<Coord> coords = rows.distinct_coords(voxels.coords);
  if (static_cast<int64_t>(voxels.coords.size()) < count) spread_over(count, voxels.points, rows);
  PointCounts counts = count_points(options.most_points.value_or(-1), rows);
  Tensor reduced = Tensor::empty(DType::f32, {static_cast<int64_t>(counts.of_voxel.size()), channels});
  const float* const from = features.data<float>();
  copy_first(from, channels, rows.first_row, reduced.mutable_data<float>());
  reduce_shared(from, channels, rows, counts, options.reduction, reduced.mutable_data<float>());
  return {.tensor = SparseTensor(CoordSet::make(std::move(coords), 1, extent), std::move(reduced)),
          .point_row = std::move(rows.number_of_row),
          .counts = std::move(counts.of_voxel),
          .dropped = voxels.dropped,
          .out_of_range = voxels.out_of_range,
          .beyond_voxels = beyond_voxels,
          .beyond_points = counts.beyond};
}

Tensor CpuBackend::devoxelize(const SparseTensor& voxels, const Tensor& points, const VoxelizeOptions& options,
                              Interpolation interpolation, const Tensor& batch) {
  const CoordIndex& index = voxels.support()->index();
  const int64_t count = points.size(0);
  const int64_t channels = voxels.channels();
  const float* xyz = points.data<float>();
  const int32_t* batches = batch.defined() ? batch.data<int32_t>() : nullptr;
  Tensor y = Tensor::zeros(voxels.dtype(), {count, channels});
  with_feature_type(voxels.dtype(), [&](auto* type) {
    using T = std::remove_pointer_t<decltype(type)>;
    const T* from = voxels.features().data<T>();
    T* to = y.mutable_data<T>();
    workers_.for_blocks(count, 1024, [&](int64_t first, int64_t last) {
      PooledVector<float> sums(static_cast<size_t>(channels));
      for (int64_t i = first; i < last; ++i) {
        std::array<float, 3> place;
        bool fits = true;
        for (size_t axis = 0; axis < 3; ++axis) {
          // A true division: a reciprocal would put points on a border into other voxels.
          place[axis] = (xyz[i * 3 + static_cast<int64_t>(axis)] - options.origin[axis]) / options.voxel_size[axis];
          fits = fits && place[axis] >= -kLimit && place[axis] < kLimit;
        }
        if (!fits) continue;
        const int64_t in_batch = batches ? batches[i] : 0;
        T* out = to + i * channels;
        if (interpolation == Interpolation::nearest) {
          const auto at = [&](size_t axis) { return static_cast<int64_t>(std::floor(place[axis] + 0.5F)); };
          const int32_t row = index.find(in_batch, at(0), at(1), at(2));
          if (row >= 0) std::copy_n(from + row * channels, channels, out);
          continue;
        }
        std::fill(sums.begin(), sums.end(), 0.0F);
        for (unsigned corner = 0; corner < 8; ++corner) {
          float weight = 1;
          std::array<int64_t, 3> at;
          for (size_t axis = 0; axis < 3; ++axis) {
            const float low = std::floor(place[axis]);
            const bool upper = (corner >> axis & 1U) != 0;
            weight *= upper ? place[axis] - low : 1 - (place[axis] - low);
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
