#include "bench/suites.h"

#include <array>

namespace lattice::bench {
namespace {

/// A layer's kind and geometry.
struct Operation {
  const char* kind;
  Triple kernel = 3, stride = 1, padding = 0;
};

constexpr Operation kSubm{"subm", 3};
constexpr Operation kDown{"forward", 2, 2};
constexpr Operation kUp{"inverse", 2, 2};
constexpr Operation kTransposed{"transposed", 2, 2};
constexpr Operation kGenerative{"generative", 2, 2};
constexpr Operation kPointwise{"regular", 1};
constexpr Operation kRegular{"regular", 3, 2, 1};

/// A layer of a network. To time another one, add a line.
struct LayerShape {
  const char* network;
  const char* voxels;
  Operation operation;
  int64_t in_channels, out_channels;
};

const std::vector<LayerShape> kNetworkLayers = {
    // MinkUNet18 (lattice/minkunet.h): each different layer once, in the network's order
    {"minkunet", "kitti", kSubm, 4, 32},
    {"minkunet", "kitti", kDown, 32, 32},
    {"minkunet", "kitti.d1", kSubm, 32, 32},
    {"minkunet", "kitti.d1", kDown, 32, 32},
    {"minkunet", "kitti.d2", kSubm, 32, 64},
    {"minkunet", "kitti.d2", kPointwise, 32, 64},
    {"minkunet", "kitti.d2", kSubm, 64, 64},
    {"minkunet", "kitti.d2", kDown, 64, 64},
    {"minkunet", "kitti.d3", kSubm, 64, 128},
    {"minkunet", "kitti.d3", kSubm, 128, 128},
    {"minkunet", "kitti.d3", kDown, 128, 128},
    {"minkunet", "kitti.d4", kSubm, 128, 256},
    {"minkunet", "kitti.d4", kSubm, 256, 256},
    {"minkunet", "kitti.d3", kUp, 256, 256},
    {"minkunet", "kitti.d3", kSubm, 384, 256},
    {"minkunet", "kitti.d3", kPointwise, 384, 256},
    {"minkunet", "kitti.d3", kSubm, 256, 256},
    {"minkunet", "kitti.d2", kUp, 256, 128},
    {"minkunet", "kitti.d2", kSubm, 192, 128},
    {"minkunet", "kitti.d2", kSubm, 128, 128},
    {"minkunet", "kitti.d1", kUp, 128, 96},
    {"minkunet", "kitti.d1", kSubm, 128, 96},
    {"minkunet", "kitti.d1", kSubm, 96, 96},
    {"minkunet", "kitti", kUp, 96, 96},
    {"minkunet", "kitti", kSubm, 128, 96},
    {"minkunet", "kitti", kSubm, 96, 96},
    {"minkunet", "kitti", kPointwise, 96, 20},
    // The encoder of SECOND and CenterPoint (VoxelResBackBone8x), z last
    {"centerpoint", "centerpoint", kSubm, 5, 16},
    {"centerpoint", "centerpoint", kSubm, 16, 16},
    {"centerpoint", "centerpoint", kRegular, 16, 32},
    {"centerpoint", "centerpoint.r1", kSubm, 32, 32},
    {"centerpoint", "centerpoint.r1", kRegular, 32, 64},
    {"centerpoint", "centerpoint.r2", kSubm, 64, 64},
    {"centerpoint", "centerpoint.r2", {"regular", 3, 2, {1, 1, 0}}, 64, 128},
    {"centerpoint", "centerpoint.r3", kSubm, 128, 128},
    {"centerpoint", "centerpoint.r3", {"regular", {1, 1, 3}, {1, 1, 2}, 0}, 128, 128},
    // VoxelNeXt's heads: classes and numbers of a box
    {"voxelnext", "centerpoint.r3", kPointwise, 128, 10},
    {"voxelnext", "centerpoint.r3", kPointwise, 128, 2},
    {"voxelnext", "centerpoint.r3", kPointwise, 128, 1},
    // A generative decoder in the manner of TRELLIS: every voxel becomes 8, channels halve
    {"decoder", "scannet.d3", kSubm, 256, 256},
    {"decoder", "scannet.d3", kGenerative, 256, 128},
    {"decoder", "scannet.d3", kTransposed, 256, 128},
    {"decoder", "scannet.d3.u1", kSubm, 128, 128},
    {"decoder", "scannet.d3.u1", kTransposed, 128, 64},
    {"decoder", "scannet.d3.u2", kSubm, 64, 64},
    {"decoder", "scannet.d3.u2", kPointwise, 64, 8},
};

constexpr std::array kSets = {"kitti", "scannet", "sweeps", "centerpoint"};
constexpr std::array kRelationSets = {"kitti", "lidar", "scannet", "sweeps", "centerpoint"};
constexpr std::array<int64_t, 6> kChannels = {4, 16, 32, 64, 128, 256};

CaseSpec layer(const LayerShape& shape) {
  const Operation& operation = shape.operation;
  return {.suite = "layer",
          .group = shape.network,
          .voxels = shape.voxels,
          .kind = operation.kind,
          .kernel = operation.kernel,
          .stride = operation.stride,
          .padding = operation.padding,
          .in_channels = shape.in_channels,
          .out_channels = shape.out_channels};
}

/// Every kind with every number of channels on every set, and the kernel of 3 on a network's coarsest level as well:
/// few rows.
std::vector<CaseSpec> layer_cases() {
  std::vector<CaseSpec> cases;
  for (const Operation& operation : {kSubm, kDown, kUp, kTransposed, kRegular, kPointwise}) {
    for (const char* voxels : kSets) {
      for (const int64_t channels : kChannels) cases.push_back(layer({"sweep", voxels, operation, channels, channels}));
    }
  }
  for (const int64_t channels : kChannels) cases.push_back(layer({"sweep", "kitti.d4", kSubm, channels, channels}));
  for (const LayerShape& shape : kNetworkLayers) cases.push_back(layer(shape));
  return cases;
}

std::vector<CaseSpec> relation_cases() {
  std::vector<CaseSpec> cases;
  for (const Operation& operation : {kSubm, kDown, kRegular, kTransposed, kUp}) {
    for (const char* voxels : kRelationSets) {
      CaseSpec spec = layer({"sweep", voxels, operation, 0, 0});
      spec.suite = "relation";
      cases.push_back(spec);
    }
  }
  return cases;
}

std::vector<CaseSpec> scan_cases(const std::string& suite, const std::vector<std::string>& scans) {
  std::vector<CaseSpec> cases;
  for (const std::string& scan : scans) cases.push_back({.suite = suite, .voxels = scan});
  return cases;
}

std::vector<CaseSpec> cases_of(const std::string& suite) {
  if (suite == "layer") return layer_cases();
  if (suite == "relation") return relation_cases();
  if (suite == "voxelize") return scan_cases(suite, {"kitti", "lidar", "scannet", "sweeps"});
  return scan_cases(suite, {"kitti", "scannet", "centerpoint"});
}

}  // namespace

std::vector<CaseSpec> suite_cases(const std::string& suite, const std::vector<std::string>& precisions,
                                  const std::vector<int>& threads) {
  const bool has_weights = suite == "layer" || suite == "network";
  std::vector<CaseSpec> cases;
  for (const CaseSpec& row : cases_of(suite)) {
    for (const std::string& precision : has_weights ? precisions : std::vector<std::string>{"float32"}) {
      for (const int count : threads) {
        CaseSpec spec = row;
        spec.precision = precision;
        spec.threads = count;
        cases.push_back(spec);
      }
    }
  }
  return cases;
}

}  // namespace lattice::bench
