#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "lattice/model.h"
#include "lattice/points.h"
#include "lattice/session.h"
#include "lattice/voxelize.h"
#include "scan_sidecar.h"

namespace lattice::cli {

/// How a model takes a scan: as points (inputs points, features, batch_indices, active_rows) or as voxels (inputs
/// NAME_coords, NAME_features, NAME_active, or without NAME).
class ModelScan {
 public:
  /// Throws invalid_argument where the model takes neither, or voxels without a voxel_size in the sidecar.
  ModelScan(const Model& model, const ScanSidecar& sidecar);

  bool takes_points() const noexcept { return takes_points_; }

  /// What the model takes of a scan.
  NamedTensors inputs(Session& session, const PointCloud& cloud) const;
  /// The scan's voxels, and the inputs that they are; of a model that takes voxels.
  Voxels voxels(Session& session, const PointCloud& cloud) const;
  NamedTensors inputs(const SparseTensor& voxels) const;

  /// What the model gives for a scan. Where it takes voxels, also `scan.voxel_coords` (voxels, 4) i32,
  /// `scan.point_row` (points) i32, the voxel of each point or -1, and `scan.origin` (3) f64, the cloud's.
  NamedTensors run(Session& session, const PointCloud& cloud) const;

  /// The class of each point of the cloud, -1 for none: the largest channel of the first output that has a row for
  /// each point, or that lies on the voxels' own lattice. Throws unsupported where there is no such output.
  std::vector<int32_t> point_classes(const NamedTensors& results, const PointCloud& cloud) const;
  /// Throws unsupported where no results of the model can have such an output.
  void check_point_classes() const;

 private:
  Tensor features_of(const PointCloud& cloud) const;
  bool may_tell_classes(const ModelOutput& output) const;

  const Model& model_;
  const ScanSidecar& sidecar_;
  bool takes_points_ = false;
  std::string prefix_;    // of the voxels' inputs
  int64_t channels_ = 0;  // of the features
};

/// Model::load, whose messages name a graph by its folder too.
Model load_model(const std::string& folder);

/// Every tensor of a .safetensors file, in memory.
NamedTensors tensors_of(const std::string& path);

/// A model's inputs from a .safetensors file, or from a scan as the scan.json of its folder says.
NamedTensors read_model_inputs(Session& session, const Model& model, const std::string& folder, const std::string& path,
                               std::optional<int64_t> columns);

/// The type of a model's activations, as its inputs tell: points are float32 beside any, so 16 bits go first.
DType activations_of(const Model& model);

}  // namespace lattice::cli
