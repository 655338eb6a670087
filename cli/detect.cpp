#include <fmt/core.h>

#include <array>
#include <memory>

#include "commands.h"
#include "lattice/detectors.h"
#include "lattice/safetensors.h"
#include "measure.h"
#include "progress.h"
#include "run_options.h"
#include "scan_input.h"
#include "top_view.h"

namespace lattice::cli {
namespace {

constexpr std::array<const char*, 10> kNuScenesClasses = {
    "car",        "truck",   "construction_vehicle", "bus",         "trailer", "barrier",
    "motorcycle", "bicycle", "pedestrian",           "traffic_cone"};

// The grid of nuScenes detectors: 1440 x 1440 x 40 voxels, and one more in height, as OpenPCDet's sparse shape has.
constexpr std::array<float, 3> kVoxel = {0.075F, 0.075F, 0.2F};
constexpr std::array<float, 3> kOrigin = {-54, -54, -5};
constexpr std::array<float, 3> kUpper = {54, 54, 3};
constexpr int64_t kChannels = 5;

struct DetectCommand {
  RunOptions run;
  ScanOptions scan;
  std::string weights, picture;
  int64_t bits = 32;
  std::optional<int64_t> group;
  uint64_t seed = 1;
  int64_t repeat = 3;
  float least_score = 0.1F;
  int64_t most_boxes = 500;
};

/// The voxels' features and coordinates in the extent that the network's strided layers count with.
SparseTensor in_network_extent(const Voxels& voxels) {
  const auto coords = voxels.tensor.support()->coords();
  const Triple& grid = *voxels.tensor.extent();
  return {CoordSet::make({coords.begin(), coords.end()}, 1, Triple(grid.x, grid.y, grid.z + 1)),
          voxels.tensor.features()};
}

VoxelNeXt open_network(Session& session, const DetectCommand& command, const SparseTensor& x) {
  if (command.weights.empty()) return VoxelNeXt::seeded(session, x, command.seed);
  const SafetensorsFile file = SafetensorsFile::open(command.weights);
  return VoxelNeXt::from_spconv([&](const std::string& name) { return file.tensor(name); });
}

Json json_of(const Box& box) {
  return {{"label", box.label},
          {"name", kNuScenesClasses.at(static_cast<size_t>(box.label) % 10)},
          {"score", box.score},
          {"centre", {box.x, box.y, box.z}},
          {"size", {box.length, box.width, box.height}},
          {"heading", box.heading},
          {"velocity", {box.velocity_x, box.velocity_y}}};
}

void run_detect(const DetectCommand& command) {
  check_repeat(command.repeat);
  Session session = open_session(command.run);
  Progress progress;
  const PointCloud cloud = read_scan(command.scan);
  const VoxelizeOptions grid = {
      .voxel_size = kVoxel, .origin = kOrigin, .upper = kUpper, .most_points = 10, .most_voxels = 160000};
  progress.show("voxelizing");
  const Voxels voxels = voxelize(session, columns_of(cloud, 0, 3), columns_of(cloud, 0, kChannels), grid);
  const SparseTensor x = in_network_extent(voxels);
  progress.show("weights");
  VoxelNeXt network = open_network(session, command, x);
  if (command.bits != 32) network = network.quantized(command.bits, command.group);
  const BoxDecoding decoding = {
      .voxel_size = kVoxel, .origin = kOrigin, .least_score = command.least_score, .most_boxes = command.most_boxes};
  std::vector<Box> boxes = network.detect(session, x, decoding);  // packs the weights
  std::vector<double> times;
  for (int64_t i = 0; i < command.repeat; ++i) {
    progress.show(fmt::format("run {} of {}", i + 1, command.repeat));
    const SparseTensor again(renewed(x.support()), x.features());
    session.clear_relations();
    times.push_back(time_ms([&] { boxes = network.detect(session, again, decoding); }));
  }
  progress.clear();
  if (!command.picture.empty()) {
    write_png(command.picture, draw_top_view(cloud, boxes, {kOrigin[0], kOrigin[1], kUpper[0] - kOrigin[0]}));
  }
  const char* weights = command.weights.empty() ? "seeded" : "file";
  if (command.run.json) {
    Json json = {{"points", cloud.rows()},
                 {"rows", x.rows()},
                 {"out_of_range", voxels.out_of_range},
                 {"beyond_points", voxels.beyond_points},
                 {"beyond_voxels", voxels.beyond_voxels},
                 {"dropped", voxels.dropped},
                 {"bits", command.bits},
                 {"weights", weights},
                 {"detect_ms", median(times)},
                 {"isa", session.isa()},
                 {"numerics", name(session.numerics())},
                 {"threads", session.threads()},
                 {"boxes", Json::array()}};
    for (const Box& box : boxes) json["boxes"].push_back(json_of(box));
    print_json(json);
    return;
  }
  fmt::print("VoxelNeXt with {} weights, {} bits: {} points, {} voxels, {} boxes of score {} and more, {:.1f} ms\n",
             weights, command.bits, cloud.rows(), x.rows(), boxes.size(), command.least_score, median(times));
  for (size_t i = 0; i < std::min<size_t>(boxes.size(), 10); ++i) {
    const Box& box = boxes[i];
    fmt::print("{:<22} {:.2f}  at ({:.1f}, {:.1f}, {:.1f}) m, {:.1f} x {:.1f} x {:.1f} m, heading {:.2f}\n",
               kNuScenesClasses.at(static_cast<size_t>(box.label) % 10), box.score, box.x, box.y, box.z, box.length,
               box.width, box.height, box.heading);
  }
  if (!command.picture.empty()) fmt::print("wrote {}\n", command.picture);
}

}  // namespace

Action add_detect(CLI::App& app) {
  auto command = std::make_shared<DetectCommand>();
  add_scan_options(app, command->scan, ScanVoxels::fixed);
  app.add_option("--weights", command->weights,
                 "safetensors file of a VoxelNeXt in OpenPCDet's names and spconv 2.2's layout (default: seeded ones, "
                 "which find nothing meaningful)");
  app.add_option("--bits", command->bits, "Bits a weight; 32: floating")
      ->check(CLI::IsMember({32, 8, 4}))
      ->capture_default_str();
  app.add_option("--group", command->group, "Input channels a scale: 32, 64 or 128");
  app.add_option("--seed", command->seed, "Seed of the weights")->capture_default_str();
  app.add_option("--repeat", command->repeat, "Measurements, whose median is shown")->capture_default_str();
  app.add_option("--score", command->least_score, "Least score of a box")->capture_default_str();
  app.add_option("--boxes", command->most_boxes, "Most boxes")->capture_default_str();
  app.add_option("--picture", command->picture, "PNG file to write: the scan and its boxes from above");
  add_run_options(app, command->run);
  return [command] { run_detect(*command); };
}

}  // namespace lattice::cli
