#pragma once

#include <array>
#include <optional>

#include "lattice/sparse_tensor.h"

namespace lattice {

class Session;

enum class Reduction : uint8_t { mean, sum };
enum class Interpolation : uint8_t { nearest, linear };

struct VoxelizeOptions {
  std::array<float, 3> voxel_size = {0.05F, 0.05F, 0.05F};  ///< metres, > 0
  std::array<float, 3> origin = {0, 0, 0};                  ///< metres
  Reduction reduction = Reduction::mean;

  // What detectors limit; the results are those of spconv's PointToVoxel on the CPU, means of the points that it kept.

  /// The grid's upper corner in metres, above the origin: only voxels of the extent round((upper - origin) /
  /// voxel_size) are kept, and the tensor has that extent.
  std::optional<std::array<float, 3>> upper = {};
  std::optional<int64_t> most_points = {};  ///< a voxel: the first ones count
  std::optional<int64_t> most_voxels = {};  ///< a batch: the first ones are kept
};

struct Voxels {
  SparseTensor tensor;              ///< one row an occupied voxel, in order of first appearance
  PooledVector<int32_t> point_row;  ///< (N): the row of each point, -1 for one without a voxel
  PooledVector<int32_t> counts;     ///< points that count in a voxel
  int64_t dropped = 0;              ///< points that are not finite or whose voxel leaves int32
  int64_t out_of_range = 0;         ///< points outside of the grid that `upper` gives
  int64_t beyond_voxels = 0;        ///< points of voxels beyond most_voxels
  int64_t beyond_points = 0;        ///< points beyond most_points; they keep their voxel's row and add nothing
};

/// Points (N, 3) f32 in metres with features (N, C) f32, both row-major, to voxels:
/// coordinate = floor((point - origin) / voxel_size), in float32 with a true division. `batch` is (N) int32, or
/// undefined where all points are of batch 0. A point's features count in its voxel's mean or sum, added in point order
/// in float64 and rounded once. Throws invalid_argument (shapes, types, voxel_size, limits, a negative batch).
Voxels voxelize(Session& session, const Tensor& points, const Tensor& features, const VoxelizeOptions& options,
                const Tensor& batch = {});

/// The extent of the grid of `options`, none where it has no upper corner. Throws invalid_argument as voxelize does.
std::optional<Triple> grid_extent(const VoxelizeOptions& options);

/// Features at points (N, 3): with p = (point - origin) / voxel_size, nearest reads the voxel floor(p + 0.5), zero
/// where there is none; linear sums over the 8 voxels floor(p) + {0,1}^3 with weights of (1 - frac) or frac per axis,
/// absent corners adding zero, without renormalization. voxel_size is that of the voxels' own steps: their stride and
/// extent are not looked at. A point that is not finite, or of a batch without voxels, gives zeros. Result (N, C) of
/// the voxels' type. Errors as of voxelize. To give each point the value of the voxel holding it, use Voxels::point_row
/// and gather_rows instead.
Tensor devoxelize(Session& session, const SparseTensor& voxels, const Tensor& points, const VoxelizeOptions& options,
                  Interpolation interpolation, const Tensor& batch = {});

/// result[i] = features[rows[i]]; where rows[i] is -1, zeros, or another `fill` rounded to the features' type, which
/// must then be f32, f16 or bf16. Throws out_of_range.
Tensor gather_rows(const Tensor& features, std::span<const int32_t> rows, float fill = 0);

}  // namespace lattice
