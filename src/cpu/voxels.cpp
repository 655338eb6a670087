#include <array>
#include <cmath>
#include <limits>

#include "coord_index.h"
#include "cpu/cpu_backend.h"

namespace lattice::cpu {
namespace {

// 2^31 as a float; every float below it in magnitude fits int32 once it is rounded down, and -2^31 itself does too.
constexpr float kLimit = 2147483648.0F;

/// A point's place in steps of the voxels, or false where it is not finite or leaves int32.
bool place_of(const float* point, const VoxelizeOptions& options, std::array<float, 3>& place) {
  for (size_t axis = 0; axis < 3; ++axis) {
    // A true division: a reciprocal would put points on a border into other voxels.
    place[axis] = (point[axis] - options.origin[axis]) / options.voxel_size[axis];
    if (!(std::floor(place[axis]) >= -kLimit && std::floor(place[axis]) < kLimit)) return false;
  }
  return true;
}

}  // namespace

Voxels CpuBackend::voxelize(const Tensor& points, const Tensor& features, const VoxelizeOptions& options,
                            const Tensor& batch) {
  const int64_t count = points.size(0);
  const float* xyz = points.data<float>();
  const int32_t* batches = batch.defined() ? batch.data<int32_t>() : nullptr;
  DistinctCoords voxels(count);
  std::vector<int32_t> point_row(static_cast<size_t>(count), -1);
  int64_t dropped = 0;
  for (int64_t i = 0; i < count; ++i) {
    std::array<float, 3> place;
    if (!place_of(xyz + i * 3, options, place)) {
      ++dropped;
      continue;
    }
    point_row[static_cast<size_t>(i)] =
        voxels.add({batches ? batches[i] : 0, static_cast<int32_t>(std::floor(place[0])),
                    static_cast<int32_t>(std::floor(place[1])), static_cast<int32_t>(std::floor(place[2]))});
  }
  std::vector<Coord> coords = voxels.take();
  const auto rows = static_cast<int64_t>(coords.size());
  const int64_t channels = features.size(1);

  std::vector<int32_t> counts(static_cast<size_t>(rows), 0);
  std::vector<double> sums(static_cast<size_t>(rows * channels), 0.0);
  const float* from = features.data<float>();
  for (int64_t i = 0; i < count; ++i, from += channels) {
    const int32_t row = point_row[static_cast<size_t>(i)];
    if (row < 0) continue;
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
  return {.tensor = SparseTensor(CoordSet::make(std::move(coords)), std::move(reduced)),
          .point_row = std::move(point_row),
          .counts = std::move(counts),
          .dropped = dropped};
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
      std::vector<float> sums(static_cast<size_t>(channels));
      for (int64_t i = first; i < last; ++i) {
        std::array<float, 3> place;
        if (!place_of(xyz + i * 3, options, place)) continue;
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
