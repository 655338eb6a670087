#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
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

/// The voxel of a place that fits int32; its batch is 0.
Coord voxel_at(const Lanes& place) {
  const IntLanes truncated = __builtin_convertvector(place, IntLanes);
  return std::bit_cast<Coord>(truncated + (__builtin_convertvector(truncated, Lanes) > place));  // true is -1
}

/// The voxels of points, one behind the other.
struct FoundVoxels {
  size_t count = 0;                       // of points that have one
  int64_t dropped = 0, out_of_range = 0;  // of the others
};

/// Writes each point's voxel, and which of them it is, or -1, to point_row.
template <bool HasBatches, bool HasExtent>
FoundVoxels find_voxels(const float* xyz, int64_t count, FindPlace find_place, const int32_t* batches,
                        const Triple& extent, Coord* voxels, int32_t* point_row) {
  FoundVoxels found;
  for (int64_t i = 0; i < count; ++i) {
    Lanes place;
    if (!find_place(xyz + i * 3, place)) {
      ++found.dropped;
      continue;
    }
    Coord voxel = voxel_at(place);
    if constexpr (HasBatches) voxel.batch = batches[i];
    if (HasExtent && !lies_inside(voxel, extent)) {
      ++found.out_of_range;
      continue;
    }
    voxels[found.count] = voxel;
    point_row[i] = static_cast<int32_t>(found.count++);
  }
  return found;
}

/// to[c] += from[c].
void add_row(const float* from, int64_t channels, double* to) {
  using FourDoubles = double __attribute__((vector_size(32)));
  int64_t c = 0;
  for (; c + 4 <= channels; c += 4) {
    Lanes values;
    FourDoubles sums;
    std::memcpy(&values, from + c, sizeof(values));
    std::memcpy(&sums, to + c, sizeof(sums));
    sums += __builtin_convertvector(values, FourDoubles);
    std::memcpy(to + c, &sums, sizeof(sums));
  }
  for (; c < channels; ++c) to[c] += double{from[c]};
}

/// Adds the features of each point to those of its voxel, of which it counts the points, up to `most` each; how many
/// points are left out for it.
int64_t add_points(const float* from, std::span<const int32_t> point_row, int64_t channels, int64_t most,
                   int32_t* counts, double* sums) {
  const auto points = static_cast<int64_t>(point_row.size());
  int64_t beyond = 0;
  for (int64_t i = 0; i < points; ++i, from += channels) {
    if (i + kPointsAhead < points && point_row[static_cast<size_t>(i + kPointsAhead)] >= 0) {
      __builtin_prefetch(sums + point_row[static_cast<size_t>(i + kPointsAhead)] * channels, 1);
    }
    const int64_t row = point_row[static_cast<size_t>(i)];
    if (row < 0) continue;
    if (counts[row] == most) {
      ++beyond;
      continue;
    }
    ++counts[row];
    add_row(from, channels, sums + row * channels);
  }
  return beyond;
}

/// Writes rows of sums, each divided by its count, if there are counts.
void reduce(const PooledVector<double>& sums, const int32_t* counts, int64_t channels, float* to) {
  const double* from = sums.data();
  for (const double* const end = from + sums.size(); from < end; from += channels, to += channels) {
    // Most voxels of a scan hold one point; a division takes as long as all else here.
    const int32_t count = counts == nullptr ? 1 : *counts++;
    if (count == 1) {
      for (int64_t c = 0; c < channels; ++c) to[c] = static_cast<float>(from[c]);
    } else {
      for (int64_t c = 0; c < channels; ++c) to[c] = static_cast<float>(from[c] / count);
    }
  }
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
  PooledVector<int32_t> point_row(static_cast<size_t>(count), -1);
  Scratch scratch;
  auto* const voxels = scratch.take<Coord>(count);
  const auto find = [&](auto has_batches, auto has_extent) {
    return find_voxels<has_batches, has_extent>(xyz, count, FindPlace(options), batches, extent.value_or(Triple(0)),
                                                voxels, point_row.data());
  };
  constexpr std::true_type kYes;
  constexpr std::false_type kNo;
  const FoundVoxels points_in =
      batches ? (extent ? find(kYes, kYes) : find(kYes, kNo)) : (extent ? find(kNo, kYes) : find(kNo, kNo));
  DistinctRows found = DistinctRows::of({voxels, points_in.count});
  if (points_in.count == point_row.size()) {
    point_row = std::move(found.of_row);
  } else {
    for (int32_t& row : point_row) row = row < 0 ? row : found.of_row[static_cast<size_t>(row)];
  }
  NumberedCoords coords = std::move(found.distinct);
  int64_t beyond_voxels = 0;
  if (options.most_voxels) beyond_voxels = keep_first_voxels(*options.most_voxels, coords, point_row);
  const auto rows = static_cast<int64_t>(coords.coords.size());
  const int64_t channels = features.size(1);

  PooledVector<int32_t> counts(static_cast<size_t>(rows), 0);
  PooledVector<double> sums(static_cast<size_t>(rows * channels), 0.0);
  const int64_t most_points = options.most_points.value_or(-1);
  const int64_t beyond_points =
      add_points(features.data<float>(), point_row, channels, most_points, counts.data(), sums.data());
  Tensor reduced = Tensor::empty(DType::f32, {rows, channels});
  reduce(sums, options.reduction == Reduction::mean ? counts.data() : nullptr, channels, reduced.mutable_data<float>());
  return {.tensor = SparseTensor(CoordSet::make(std::move(coords), 1, extent), std::move(reduced)),
          .point_row = std::move(point_row),
          .counts = std::move(counts),
          .dropped = points_in.dropped,
          .out_of_range = points_in.out_of_range,
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
