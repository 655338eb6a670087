#include "model_scan.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <filesystem>
#include <map>

#include "io/shown_text.h"
#include "lattice/error.h"
#include "lattice/point_file.h"
#include "lattice/safetensors.h"
#include "measure.h"
#include "scan_input.h"

namespace lattice::cli {
namespace {

constexpr const char* kPointInputs[] = {"points", "features", "batch_indices", "active_rows"};
constexpr const char* kVoxelCoords = "coords";
// What is added to a model's results.
constexpr const char* kPointRow = "scan.point_row";
constexpr const char* kVoxelPlaces = "scan.voxel_coords";
constexpr const char* kOrigin = "scan.origin";

const ModelInput* find_input(const Model& model, const std::string& name) {
  for (const ModelInput& input : model.inputs()) {
    if (input.name == name) return &input;
  }
  return nullptr;
}

bool has_inputs(const Model& model, const std::vector<std::string>& names) {
  return model.inputs().size() == names.size() &&
         std::all_of(names.begin(), names.end(), [&](const auto& name) { return find_input(model, name) != nullptr; });
}

std::vector<std::string> voxel_inputs(const std::string& prefix) {
  return {prefix + kVoxelCoords, prefix + "features", prefix + "active"};
}

Tensor one_number(int64_t number) {
  return Tensor::from(std::vector<int32_t>{static_cast<int32_t>(number)}, {1});
}

using Place = std::array<int32_t, 4>;

Place place_at(const Tensor& coords, int64_t row) {
  const int32_t* at = coords.data<int32_t>() + row * 4;
  return {at[0], at[1], at[2], at[3]};
}

std::vector<int32_t> classes_of_rows(const Tensor& output) {
  const Tensor scores = output.to(DType::f32);
  std::vector<int32_t> classes;
  for (int64_t row = 0; row < scores.size(0); ++row) classes.push_back(largest_channel(scores, row));
  return classes;
}

}  // namespace

ModelScan::ModelScan(const Model& model, const ScanSidecar& sidecar) : model_(model), sidecar_(sidecar) {
  takes_points_ = has_inputs(model, {std::begin(kPointInputs), std::end(kPointInputs)});
  std::string features = kPointInputs[1];
  if (!takes_points_) {
    const std::string first = model.inputs().empty() ? "" : model.inputs().front().name;
    if (first.ends_with(kVoxelCoords)) prefix_ = first.substr(0, first.size() - std::string(kVoxelCoords).size());
    if (!has_inputs(model, voxel_inputs(prefix_))) {
      throw Error(ErrorCode::invalid_argument,
                  "run: the model takes neither points (points, features, batch_indices, active_rows) nor voxels "
                  "(NAME_coords, NAME_features, NAME_active); give its tensors by --inputs");
    }
    if (!sidecar.voxel_size) {
      throw Error(ErrorCode::invalid_argument,
                  "run: the model takes voxels, whose size nothing tells; put voxel_size into its scan.json");
    }
    features = voxel_inputs(prefix_)[1];
  }
  const ModelInput& input = *find_input(model, features);
  channels_ = input.shape.size() == 2 ? input.shape[1] : kAnySize;
  const auto named = static_cast<int64_t>(sidecar.columns.size());
  if (channels_ == kAnySize) channels_ = named > 0 ? named : 4;
  if (named > 0 && named != channels_) {
    throw Error(ErrorCode::invalid_argument,
                fmt::format("run: scan.json names {} columns, but {} has {} channels", named, features, channels_));
  }
}

Tensor ModelScan::features_of(const PointCloud& cloud) const {
  if (sidecar_.columns.empty()) {
    if (cloud.values.size(1) < channels_) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("run: the scan has {} columns, but the model takes {}; name columns in scan.json",
                              cloud.values.size(1), channels_));
    }
    return columns_of(cloud, 0, channels_);
  }
  Tensor features = Tensor::empty(DType::f32, {cloud.rows(), channels_});
  for (int64_t c = 0; c < channels_; ++c) {
    const auto at = static_cast<size_t>(c);
    const int64_t column = cloud.column(sidecar_.columns[at]);
    if (column < 0) {
      throw Error(ErrorCode::invalid_argument,
                  fmt::format("run: the scan has no column {}; it has {}", shown(sidecar_.columns[at]),
                              fmt::join(cloud.columns, ", ")));
    }
    const float offset = sidecar_.offset.empty() ? 0.0F : sidecar_.offset[at];
    const float scale = sidecar_.scale.empty() ? 1.0F : sidecar_.scale[at];
    const float* from = cloud.values.data<float>() + column;
    float* to = features.mutable_data<float>() + c;
    for (int64_t row = 0; row < cloud.rows(); ++row) {
      to[row * channels_] = (from[row * cloud.values.size(1)] - offset) * scale;
    }
  }
  return features;
}

Voxels ModelScan::voxels(Session& session, const PointCloud& cloud) const {
  return voxelize(session, columns_of(cloud, 0, 3), features_of(cloud), voxelize_options(sidecar_));
}

NamedTensors ModelScan::inputs(const SparseTensor& voxels) const {
  const std::vector<std::string> names = voxel_inputs(prefix_);
  const ModelInput& input = *find_input(model_, names[1]);
  return {{names[0], voxels.support()->tensor()},
          {names[1], voxels.features().to(input.dtype)},
          {names[2], one_number(voxels.rows())}};
}

NamedTensors ModelScan::inputs(Session& session, const PointCloud& cloud) const {
  if (!takes_points_) return inputs(voxels(session, cloud).tensor);
  return {{kPointInputs[0], columns_of(cloud, 0, 3)},
          {kPointInputs[1], features_of(cloud)},
          {kPointInputs[2], Tensor::zeros(DType::i32, {cloud.rows()})},
          {kPointInputs[3], one_number(cloud.rows())}};
}

NamedTensors ModelScan::run(Session& session, const PointCloud& cloud) const {
  if (takes_points_) return model_.run(session, inputs(session, cloud));
  const Voxels made = voxels(session, cloud);
  NamedTensors results = model_.run(session, inputs(made.tensor));
  // The voxels' own coordinates tell which row of an output a point belongs to.
  results[kPointRow] = Tensor::from(made.point_row, {cloud.rows()});
  results[kVoxelPlaces] = made.tensor.support()->tensor();
  results[kOrigin] = origin_of(cloud);
  return results;
}

bool ModelScan::may_tell_classes(const ModelOutput& output) const {
  if (takes_points_) return !output.sparse && output.shape.size() == 2;
  // A row of a coarser lattice is that of the one voxel in its corner, not of those that it covers.
  return output.sparse && output.stride == Triple(1);
}

void ModelScan::check_point_classes() const {
  const std::vector<ModelOutput>& outputs = model_.outputs();
  if (std::any_of(outputs.begin(), outputs.end(), [&](const auto& output) { return may_tell_classes(output); })) return;
  std::string coarse;
  for (const ModelOutput& output : outputs) {
    if (output.sparse && !takes_points_)
      coarse += fmt::format("; {} has stride {}", output.name, to_string(output.stride));
  }
  throw Error(ErrorCode::unsupported,
              fmt::format("run: no output has a row for each {}, so that points have no class{}; take --format "
                          "safetensors",
                          takes_points_ ? "point" : "voxel", coarse));
}

std::vector<int32_t> ModelScan::point_classes(const NamedTensors& results, const PointCloud& cloud) const {
  for (const ModelOutput& output : model_.outputs()) {
    if (!may_tell_classes(output)) continue;
    if (takes_points_) {
      const Tensor& scores = results.at(output.name);
      if (scores.size(0) == cloud.rows() && scores.size(1) > 0) return classes_of_rows(scores);
      continue;
    }
    const Tensor& coords = results.at(output.name + ".coords");
    const std::vector<int32_t> found_classes = classes_of_rows(results.at(output.name + ".features"));
    std::map<Place, int32_t> class_at;
    for (int64_t row = 0; row < coords.size(0); ++row) {
      class_at[place_at(coords, row)] = found_classes[static_cast<size_t>(row)];
    }
    const Tensor& voxels = results.at(kVoxelPlaces);
    const auto rows = results.at(kPointRow).values<int32_t>();
    std::vector<int32_t> classes(static_cast<size_t>(cloud.rows()), -1);
    for (size_t point = 0; point < rows.size(); ++point) {
      if (rows[point] < 0) continue;
      const auto found = class_at.find(place_at(voxels, rows[point]));
      if (found != class_at.end()) classes[point] = found->second;
    }
    return classes;
  }
  throw Error(ErrorCode::unsupported,
              fmt::format("run: no output has a row for each of the {} points, so that they have no class; take "
                          "--format safetensors",
                          cloud.rows()));
}

Model load_model(const std::string& folder) {
  try {
    return Model::load(folder);
  } catch (const Error& error) {
    const std::string message = error.what();
    if (!message.starts_with("graph.mlir")) throw;
    throw Error(error.code(), (std::filesystem::path(folder) / message).string());
  }
}

NamedTensors tensors_of(const std::string& path) {
  const SafetensorsFile file = SafetensorsFile::read(path);
  NamedTensors tensors;
  for (const std::string& name : file.names()) tensors[name] = file.tensor(name);
  return tensors;
}

NamedTensors read_model_inputs(Session& session, const Model& model, const std::string& folder, const std::string& path,
                               std::optional<int64_t> columns) {
  if (!path.ends_with(".safetensors")) {
    const ScanSidecar sidecar = read_sidecar(folder);
    return ModelScan(model, sidecar).inputs(session, read_points(path, {.columns = columns, .format = {}}));
  }
  return tensors_of(path);
}

DType activations_of(const Model& model) {
  for (const ModelInput& input : model.inputs()) {
    if (input.dtype == DType::f16 || input.dtype == DType::bf16) return input.dtype;
  }
  return DType::f32;
}

}  // namespace lattice::cli
