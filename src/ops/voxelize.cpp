#include "lattice/voxelize.h"

#include <fmt/ranges.h>

#include <cmath>
#include <cstring>
#include <limits>

#include "backend.h"
#include "fail.h"
#include "lattice/session.h"

namespace lattice {
namespace {

/// Voxels of the grid along an axis, as spconv counts them: in float32, to nearest.
double cells_along(const VoxelizeOptions& options, size_t axis) {
  return std::round(((*options.upper)[axis] - options.origin[axis]) / options.voxel_size[axis]);
}

void check_grid(std::string_view operation, const VoxelizeOptions& options) {
  for (const float size : options.voxel_size) {
    if (!std::isfinite(size) || size <= 0) {
      fail(ErrorCode::invalid_argument, "{}: voxel_size ({}) must be finite and above 0 on every axis; it is in metres",
           operation, fmt::join(options.voxel_size, ", "));
    }
  }
  for (const float at : options.origin) {
    if (!std::isfinite(at)) {
      fail(ErrorCode::invalid_argument, "{}: origin ({}) must be finite on every axis; it is in metres", operation,
           fmt::join(options.origin, ", "));
    }
  }
}

void check_upper(std::string_view operation, const VoxelizeOptions& options) {
  for (size_t axis = 0; options.upper && axis < 3; ++axis) {
    const double cells = cells_along(options, axis);
    if (!(cells >= 1 && cells <= std::numeric_limits<int32_t>::max())) {
      fail(ErrorCode::invalid_argument,
           "{}: upper ({}) must lie 1 to 2^31 - 1 voxels above origin ({}) on every axis; it is in metres", operation,
           fmt::join(*options.upper, ", "), fmt::join(options.origin, ", "));
    }
  }
}

void check_limits(const VoxelizeOptions& options) {
  if (options.most_points && *options.most_points < 1) {
    fail(ErrorCode::invalid_argument, "voxelize: most_points {} must be at least 1; leave it out for no limit",
         *options.most_points);
  }
  if (options.most_voxels && *options.most_voxels < 1) {
    fail(ErrorCode::invalid_argument, "voxelize: most_voxels {} must be at least 1; leave it out for no limit",
         *options.most_voxels);
  }
}

void check_points(std::string_view operation, const Tensor& points) {
  if (points.dtype() != DType::f32) {
    fail(ErrorCode::invalid_argument,
         "{}: points are {}, but must be f32; subtract a large origin in double, then convert", operation,
         name(points.dtype()));
  }
  if (points.rank() != 2 || points.size(1) != 3) {
    fail(ErrorCode::invalid_argument, "{}: points have shape {}, but must be (N, 3), columns x, y, z", operation,
         to_string(points.shape()));
  }
  if (points.size(0) > CoordSet::kMostRows) {
    fail(ErrorCode::out_of_range, "{}: {} points are more than 2^31 - 1; split them", operation, points.size(0));
  }
}

void check_point_features(const Tensor& features, int64_t points) {
  if (features.dtype() != DType::f32) {
    fail(ErrorCode::invalid_argument, "voxelize: features are {}, but must be f32; convert them with to()",
         name(features.dtype()));
  }
  if (features.rank() != 2 || features.size(0) != points || features.size(1) < 1) {
    fail(ErrorCode::invalid_argument,
         "voxelize: features have shape {}, but must be (N, C) with N = {} points and C >= 1",
         to_string(features.shape()), points);
  }
}

void check_batch(std::string_view operation, const Tensor& batch, int64_t points) {
  if (!batch.defined()) return;
  if (batch.dtype() != DType::i32) {
    fail(ErrorCode::invalid_argument, "{}: batch is {}, but must be i32, one number a point", operation,
         name(batch.dtype()));
  }
  if (batch.rank() != 1 || batch.size(0) != points) {
    fail(ErrorCode::invalid_argument, "{}: batch has shape {}, but must be ({}), one number a point", operation,
         to_string(batch.shape()), points);
  }
}

void check_not_negative(const Tensor& batch) {
  if (!batch.defined()) return;
  const int32_t* const numbers = batch.data<int32_t>();
  for (int64_t row = 0; row < batch.elements(); ++row) {
    if (numbers[row] < 0) {
      fail(ErrorCode::invalid_argument, "voxelize: batch {} of point {} must be at least 0; number the scans from 0",
           numbers[row], row);
    }
  }
}

/// The bytes of one row of `value`; zero bytes are zero in every type.
PooledVector<std::byte> filled_row(const Tensor& features, float value) {
  const auto channels = static_cast<size_t>(features.size(1));
  PooledVector<std::byte> row(channels * size_of(features.dtype()));
  if (value == 0) return row;
  const PooledVector<float> values(channels, value);
  std::memcpy(row.data(), Tensor::from(values, {features.size(1)}).to(features.dtype()).raw(), row.size());
  return row;
}

}  // namespace

std::optional<Triple> grid_extent(const VoxelizeOptions& options) {
  check_grid("grid_extent", options);
  check_upper("grid_extent", options);
  if (!options.upper) return std::nullopt;
  const auto cells = [&](size_t axis) { return static_cast<int64_t>(cells_along(options, axis)); };
  return Triple(cells(0), cells(1), cells(2));
}

Voxels voxelize(Session& session, const Tensor& points, const Tensor& features, const VoxelizeOptions& options,
                const Tensor& batch) {
  check_grid("voxelize", options);
  check_upper("voxelize", options);
  check_limits(options);
  check_points("voxelize", points);
  check_point_features(features, points.size(0));
  check_batch("voxelize", batch, points.size(0));
  check_not_negative(batch);
  return session.backend().voxelize(points, features, options, batch);
}

Tensor devoxelize(Session& session, const SparseTensor& voxels, const Tensor& points, const VoxelizeOptions& options,
                  Interpolation interpolation, const Tensor& batch) {
  check_grid("devoxelize", options);
  check_points("devoxelize", points);
  check_batch("devoxelize", batch, points.size(0));
  return session.backend().devoxelize(voxels, points, options, interpolation, batch);
}

Tensor gather_rows(const Tensor& features, std::span<const int32_t> rows, float fill) {
  if (features.rank() != 2) {
    fail(ErrorCode::invalid_argument, "gather_rows: features have shape {}, but must be (N, C); use reshaped()",
         to_string(features.shape()));
  }
  const int64_t available = features.size(0);
  for (size_t i = 0; i < rows.size(); ++i) {
    if (rows[i] < -1 || rows[i] >= available) {
      fail(ErrorCode::out_of_range, "gather_rows: rows[{}] is {}, but the features have {} rows; -1 asks for zeros", i,
           rows[i], available);
    }
  }
  Tensor result = Tensor::empty(features.dtype(), {static_cast<int64_t>(rows.size()), features.size(1)});
  const size_t row_bytes = static_cast<size_t>(features.size(1)) * size_of(features.dtype());
  if (row_bytes == 0) return result;
  const PooledVector<std::byte> absent = filled_row(features, fill);
  const auto* const from = static_cast<const std::byte*>(features.raw());
  auto* to = static_cast<std::byte*>(result.mutable_raw());
  for (const int32_t row : rows) {
    std::memcpy(to, row < 0 ? absent.data() : from + static_cast<size_t>(row) * row_bytes, row_bytes);
    to += row_bytes;
  }
  return result;
}

}  // namespace lattice
