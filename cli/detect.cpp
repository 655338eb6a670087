#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>

#include "commands.h"
#include "lattice/detectors.h"
#include "lattice/error.h"
#include "lattice/safetensors.h"
#include "measure.h"
#include "model_scan.h"
#include "model_steps.h"
#include "progress.h"
#include "run_options.h"
#include "scan_input.h"
#include "scan_sidecar.h"
#include "top_view.h"

namespace lattice::cli {
namespace {

constexpr const char* kVoxelNeXt = "voxelnext";
constexpr const char* kCenterPoint = "centerpoint";
constexpr int64_t kChannels = 5;

struct DetectCommand {
  RunOptions run;
  ScanOptions scan;
  std::string network = kVoxelNeXt, weights, picture, exported, model;
  int64_t bits = 32;
  std::optional<int64_t> group;
  uint64_t seed = 1;
  int64_t repeat = 3;
  float least_score = 0.1F;
  int64_t most_boxes = 500;
};

/// The grid and classes of nuScenes detectors: 1440 x 1440 x 40 voxels.
ScanSidecar nuscenes() {
  return {.voxel_size = {{0.075F, 0.075F, 0.2F}},
          .origin = {-54, -54, -5},
          .upper = {{54, 54, 3}},
          .most_points = 10,
          .most_voxels = 160000,
          .columns = {},
          .offset = {},
          .scale = {},
          .classes = {"car", "truck", "construction_vehicle", "bus", "trailer", "barrier", "motorcycle", "bicycle",
                      "pedestrian", "traffic_cone"},
          .colours = {}};
}

/// The scan with zeros for what the network takes beyond its columns.
PointCloud with_channels(PointCloud cloud) {
  for (auto column = static_cast<int64_t>(cloud.columns.size()); column < kChannels; ++column) {
    cloud.columns.push_back(fmt::format("zero{}", column));
  }
  cloud.values = columns_of(cloud, 0, static_cast<int64_t>(cloud.columns.size()));
  return cloud;
}

/// The voxels' features and coordinates in the extent that the network's strided layers count with: one more in height
/// than the grid has, as OpenPCDet's sparse shape.
SparseTensor in_network_extent(const Voxels& voxels) {
  const auto coords = voxels.tensor.support()->coords();
  const Triple& grid = *voxels.tensor.extent();
  return {CoordSet::make({coords.begin(), coords.end()}, 1, Triple(grid.x, grid.y, grid.z + 1)),
          voxels.tensor.features()};
}

/// The network's seeded weights, or those of a checkpoint of its encoder alone or of a whole detector.
template <typename Network>
Network open_network(Session& session, const DetectCommand& command, const SparseTensor& x) {
  const auto opened = [&] {
    if (command.weights.empty()) return Network::seeded(session, x, command.seed);
    const SafetensorsFile file = SafetensorsFile::read(command.weights);
    return Network::from_spconv([&](const std::string& name) {
      const std::string in_detector = "backbone_3d." + name;
      return file.tensor(file.contains(in_detector) ? in_detector : name);
    });
  };
  Network network = opened();
  return command.bits == 32 ? network : network.quantized(command.bits, command.group);
}

/// Saves a network that takes voxels of `extent`, and how a scan becomes these.
template <typename Network>
void export_network(const DetectCommand& command, const Network& network, const Triple& extent,
                    const ScanSidecar& sidecar) {
  if (command.exported.empty()) return;
  network.exported(extent).save(command.exported);
  write_sidecar(command.exported, sidecar);
}

/// A detector, seeded, of a checkpoint, or of an artifact.
class Detector {
 public:
  Detector(Session& session, const DetectCommand& command, const PointCloud& cloud)
      : session_(session),
        bits_(command.bits),
        sidecar_(command.model.empty() ? nuscenes() : read_sidecar(command.model)),
        decoding_{.origin = sidecar_.origin, .least_score = command.least_score, .most_boxes = command.most_boxes} {
    if (!command.model.empty()) {
      model_.emplace(load_model(command.model));
      scan_.emplace(*model_, sidecar_);
      if (scan_->takes_points()) {
        throw Error(
            ErrorCode::invalid_argument,
            fmt::format("--model {} takes points; --export writes a detector, which takes voxels", command.model));
      }
    }
    voxels_.emplace(model_ ? scan_->voxels(session, cloud)
                           : voxelize(session, columns_of(cloud, 0, 3), columns_of(cloud, 0, kChannels),
                                      voxelize_options(sidecar_)));
    decoding_.voxel_size = *sidecar_.voxel_size;
    if (model_) return;
    x_.emplace(in_network_extent(*voxels_));
    network_.emplace(open_network<VoxelNeXt>(session, command, *x_));
    export_network(command, *network_, *x_->extent(), sidecar_);
  }
  Detector(const Detector&) = delete;  // its parts refer to each other
  Detector& operator=(const Detector&) = delete;

  const Voxels& voxels() const { return *voxels_; }

  /// From voxels to boxes; nothing that an earlier run has found of the voxels is used.
  std::vector<Box> detect() {
    session_.clear_relations();
    if (model_) {
      const NamedTensors results = model_->run(session_, scan_->inputs(voxels_->tensor));
      return decode_boxes(session_, VoxelNeXt::heads_of(*model_, results), decoding_);
    }
    return network_->detect(session_, {renewed(x_->support()), x_->features()}, decoding_);
  }

  /// Those of a weight of the network; of a model the mean of all that it stores.
  Json bits() const { return model_ ? Json(bits_a_weight(model_->program().plan().weights)) : Json(bits_); }

  std::string name_of(const Box& box) const {
    const auto label = static_cast<size_t>(box.label);
    return label < sidecar_.classes.size() ? sidecar_.classes[label] : std::to_string(label);
  }

  TopViewRange shown_range() const {
    const std::array<float, 3> upper = sidecar_.upper.value_or(*nuscenes().upper);
    return {sidecar_.origin[0], sidecar_.origin[1], upper[0] - sidecar_.origin[0]};
  }

 private:
  Session& session_;
  int64_t bits_;
  ScanSidecar sidecar_;
  BoxDecoding decoding_;
  std::optional<Model> model_;
  std::optional<ModelScan> scan_;
  std::optional<Voxels> voxels_;
  std::optional<SparseTensor> x_;
  std::optional<VoxelNeXt> network_;
};

/// The centre in the file's own coordinates.
std::array<double, 3> centre_of(const PointCloud& cloud, const Box& box) {
  const std::array<float, 3> centre = {box.x, box.y, box.z};
  std::array<double, 3> result = cloud.origin;
  for (size_t axis = 0; axis < 3; ++axis) result[axis] += static_cast<double>(centre[axis]);
  return result;
}

Json json_of(const Detector& detector, const PointCloud& cloud, const Box& box) {
  return {{"label", box.label},
          {"name", detector.name_of(box)},
          {"score", box.score},
          {"centre", centre_of(cloud, box)},
          {"size", {box.length, box.width, box.height}},
          {"heading", box.heading},
          {"velocity", {box.velocity_x, box.velocity_y}}};
}

const char* source_of_weights(const DetectCommand& command) {
  if (!command.model.empty()) return "artifact";
  return command.weights.empty() ? "seeded" : "file";
}

Json summary_of(const DetectCommand& command, const PointCloud& cloud, const Voxels& voxels, const Json& bits) {
  return {{"points", cloud.rows()},
          {"origin", cloud.origin},
          {"rows", voxels.tensor.rows()},
          {"out_of_range", voxels.out_of_range},
          {"beyond_points", voxels.beyond_points},
          {"beyond_voxels", voxels.beyond_voxels},
          {"dropped", voxels.dropped},
          {"bits", bits},
          {"weights", source_of_weights(command)}};
}

void print_boxes(const Detector& detector, const PointCloud& cloud, const std::vector<Box>& boxes) {
  constexpr size_t kMostShown = 10;
  for (size_t i = 0; i < std::min(boxes.size(), kMostShown); ++i) {
    const Box& box = boxes[i];
    const std::array<double, 3> centre = centre_of(cloud, box);
    fmt::print("{:<22} {:.2f}  at ({:.1f}, {:.1f}, {:.1f}) m, {:.1f} x {:.1f} x {:.1f} m, heading {:.2f}\n",
               detector.name_of(box), box.score, centre[0], centre[1], centre[2], box.length, box.width, box.height,
               box.heading);
  }
}

void detect_boxes(const DetectCommand& command, Session& session, const PointCloud& cloud) {
  Progress progress;
  progress.show("voxels and weights");
  Detector detector(session, command, cloud);
  std::vector<Box> boxes = detector.detect();  // packs the weights
  std::vector<double> times;
  for (int64_t i = 0; i < command.repeat; ++i) {
    progress.show(fmt::format("run {} of {}", i + 1, command.repeat));
    times.push_back(time_ms([&] { boxes = detector.detect(); }));
  }
  progress.clear();
  if (!command.picture.empty()) write_png(command.picture, draw_top_view(cloud, boxes, detector.shown_range()));
  if (command.run.json) {
    Json json = summary_of(command, cloud, detector.voxels(), detector.bits());
    json["detect_ms"] = median(times);
    json["isa"] = session.isa();
    json["numerics"] = name(session.numerics());
    json["threads"] = session.threads();
    json["boxes"] = Json::array();
    for (const Box& box : boxes) json["boxes"].push_back(json_of(detector, cloud, box));
    return print_json(json);
  }
  const std::string precision = command.model.empty() ? fmt::format(", {} bits", command.bits) : "";
  fmt::print("VoxelNeXt with {} weights{}: {} points, {} voxels, {} boxes of score {} and more, {:.1f} ms\n",
             source_of_weights(command), precision, cloud.rows(), detector.voxels().tensor.rows(), boxes.size(),
             command.least_score, median(times));
  print_boxes(detector, cloud, boxes);
  for (const std::string* path : {&command.picture, &command.exported}) {
    if (!path->empty()) fmt::print("wrote {}\n", *path);
  }
}

/// CenterPoint's boxes come from a dense head that is not here: its encoder is only written.
void export_encoder(const DetectCommand& command, Session& session, const PointCloud& cloud) {
  if (command.exported.empty() || !command.model.empty()) {
    throw Error(ErrorCode::invalid_argument,
                "--network centerpoint is an encoder without boxes, to be exported; give --export, and run it by "
                "`lattice run`");
  }
  if (!command.picture.empty()) {
    throw Error(ErrorCode::invalid_argument, "--network centerpoint has no boxes to draw; leave out --picture");
  }
  ScanSidecar sidecar = nuscenes();
  sidecar.classes.clear();
  const Voxels voxels =
      voxelize(session, columns_of(cloud, 0, 3), columns_of(cloud, 0, kChannels), voxelize_options(sidecar));
  const SparseTensor x = in_network_extent(voxels);
  const auto network = open_network<CenterPointEncoder>(session, command, x);
  export_network(command, network, *x.extent(), sidecar);
  if (command.run.json) return print_json(summary_of(command, cloud, voxels, command.bits));
  fmt::print("CenterPoint's encoder with {} weights, {} bits: {} points, {} voxels\nwrote {}\n",
             source_of_weights(command), command.bits, cloud.rows(), x.rows(), command.exported);
}

void run_detect(const DetectCommand& command) {
  check_repeat(command.repeat);
  check_files_differ({command.scan.path, command.picture});
  Session session = open_session(command.run);
  const PointCloud cloud = with_channels(read_scan(command.scan));
  if (command.network == kCenterPoint) return export_encoder(command, session, cloud);
  detect_boxes(command, session, cloud);
}

}  // namespace

Action add_detect(CLI::App& app) {
  auto command = std::make_shared<DetectCommand>();
  add_scan_options(app, command->scan, ScanVoxels::fixed);
  app.add_option("--network", command->network,
                 "voxelnext, or centerpoint: the encoder alone, which only --export takes")
      ->check(CLI::IsMember({kVoxelNeXt, kCenterPoint}))
      ->capture_default_str();
  CLI::Option* weights = app.add_option("--weights", command->weights,
                                        "safetensors file of the network in OpenPCDet's names and spconv 2.2's layout "
                                        "(default: seeded ones, which find nothing meaningful)");
  CLI::Option* bits = app.add_option("--bits", command->bits, "Bits a weight; 32: floating")
                          ->check(CLI::IsMember({32, 8, 4}))
                          ->capture_default_str();
  CLI::Option* group = app.add_option("--group", command->group, "Input channels a scale: 32, 64 or 128");
  CLI::Option* seed = app.add_option("--seed", command->seed, "Seed of the weights")->capture_default_str();
  app.add_option("--repeat", command->repeat, "Measurements, whose median is shown")->capture_default_str();
  app.add_option("--score", command->least_score, "Least score of a box")->capture_default_str();
  app.add_option("--boxes", command->most_boxes, "Most boxes")->capture_default_str();
  app.add_option("--picture", command->picture, "PNG file to write: the scan and its boxes from above");
  CLI::Option* exported = app.add_option(
      "--export", command->exported,
      "Folder to write the network to, as an artifact, with the scan.json that `lattice run` voxelizes by");
  app.add_option("--model", command->model,
                 "Folder of an artifact to run in place of the network, such as --export writes")
      ->excludes(weights, bits, group, seed, exported);
  add_run_options(app, command->run);
  return [command] { run_detect(*command); };
}

}  // namespace lattice::cli
