#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lattice/points.h"
#include "lattice/session.h"
#include "lattice/sparse_tensor.h"
#include "lattice/voxelize.h"

namespace CLI {
class App;
}

namespace lattice::cli {

/// A scan file and the size of its voxels.
struct ScanOptions {
  std::string path;
  std::optional<int64_t> columns;
  std::string format;
  std::vector<float> voxel = {0.05F};
};

/// Whether a subcommand lets the caller choose the voxels.
enum class ScanVoxels : uint8_t { chosen, fixed };

void add_scan_options(CLI::App& app, ScanOptions& options, ScanVoxels voxels = ScanVoxels::chosen);

/// Refuses results that would replace the scan or each other: throws invalid_argument where two of the paths name one
/// file. Empty ones name none.
void check_files_differ(const std::vector<std::string>& paths);

PointCloud read_scan(const ScanOptions& options);

/// The voxel sizes asked for, the origin at zero, means.
VoxelizeOptions voxelize_options(const ScanOptions& options);

/// The cloud's origin as a (3) float64 tensor.
Tensor origin_of(const PointCloud& cloud);

/// Columns first .. first + count - 1 as a (N, count) tensor; zeros where the cloud has fewer columns.
Tensor columns_of(const PointCloud& cloud, int64_t first, int64_t count);

/// The same rows on a new support, each axis' smallest coordinate subtracted. Throws out_of_range where a difference
/// leaves int32.
SparseTensor shifted_to_zero(const SparseTensor& tensor);

/// The same coordinates as a new set, of which nothing is known yet: neither a sorted index nor relations. For
/// measurements, in which a scan must not profit from the run before.
Support renewed(const Support& support);

/// A scan as the network takes it.
struct NetworkInput {
  SparseTensor tensor;              ///< (N, 4) on coordinates shifted to zero
  PooledVector<int32_t> point_row;  ///< the row of each point, -1 for a dropped one
  int64_t dropped = 0;
};

/// Features are the means per voxel of x, y, z and the fourth column (zeros where there is none), each scaled by the
/// range of the scan's points, without the dropped ones, to 0..1; a column without a range gives 0. A fourth value that
/// is not finite counts as 0.
NetworkInput network_input(Session& session, const PointCloud& cloud, const ScanOptions& options);

}  // namespace lattice::cli
