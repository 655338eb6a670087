#pragma once

#include <array>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lattice/model_builder.h"
#include "lattice/session.h"
#include "lattice/sparse_tensor.h"

namespace lattice {

// LiDAR detectors on the voxels of a scan. Tensors are in x, y, z; spconv and OpenPCDet have z, y, x, and weights that
// are read from them turn their axes. A network is a handle to immutable layers: copies share them, and any thread may
// run one, each with a session of its own. Every layer is convolution, frozen batch norm, ReLU;
// the last of a head is a convolution alone.

/// A tensor of a checkpoint by its name. Throws where there is none of that name.
using WeightByName = std::function<Tensor(const std::string& name)>;

/// The sparse encoder of CenterPoint (VoxelResBackBone8x in OpenPCDet):
///
///   conv1    submanifold k3 to 16; two residual blocks
///   conv2    regular k3 s2 p1 to 32; two residual blocks
///   conv3    regular k3 s2 p1 to 64; two residual blocks
///   conv4    regular k3 s2 p(1, 1, 0) to 128; two residual blocks
///   out      regular k(1, 1, 3) s(1, 1, 2) p0 to 128
///
/// A residual block is relu(norm(conv(relu(norm(conv(x))))) + x) of two submanifold k3 convolutions.
class CenterPointEncoder {
 public:
  /// What each stage gives, finest first.
  struct Stages {
    SparseTensor conv1, conv2, conv3, conv4, out;
  };

  /// Seeded weights, not trained ones: normal, with norms that give each layer zero mean and unit variance on
  /// `calibration`, whose channels the network takes.
  static CenterPointEncoder seeded(Session& session, const SparseTensor& calibration, uint64_t seed);
  /// Weights named as OpenPCDet's backbone_3d names them (conv_input.0.weight, conv1.0.conv1.weight, ...), in spconv
  /// 2.2's layout. `eps` is that of the norms, which no checkpoint holds. Throws what `weight` throws, and
  /// invalid_argument for shapes that do not fit.
  static CenterPointEncoder from_spconv(const WeightByName& weight, float eps = 1e-3F);
  /// The same network with every convolution packed.
  CenterPointEncoder quantized(int64_t bits, std::optional<int64_t> group_size = std::nullopt) const;

  /// `x` has an extent, such as (1440, 1440, 41) on nuScenes, and the channels of the weights; else invalid_argument.
  Stages operator()(Session& session, const SparseTensor& x) const;

  /// The network as an artifact for inputs of `extent`: input `x`, whose coordinates lie in it (see model_builder.h),
  /// output `out`, and with its stages outputs `conv1` to `conv4`. It gives the same bits as the network. Throws
  /// invalid_argument where a size is not above 0, or too small for a layer.
  ModelBuilder exported(const Triple& extent, bool with_stages = false) const;

  /// Multiplications and additions of a run on x's coordinates, 2 * edges * C_in * C_out summed over layers, in 1e9.
  double gflop(Session& session, const Support& x) const;
  int64_t weight_bytes() const;
  int64_t in_channels() const;

 private:
  struct Layers;
  explicit CenterPointEncoder(std::shared_ptr<const Layers> layers) : layers_(std::move(layers)) {}
  std::shared_ptr<const Layers> layers_;
};

/// A box: centre, sizes along its own axes and heading (radians, from x towards y) in metres, velocity in metres a
/// second.
struct Box {
  int64_t label = 0;
  float score = 0;
  float x = 0, y = 0, z = 0;
  float length = 0, width = 0, height = 0;
  float heading = 0;
  float velocity_x = 0, velocity_y = 0;
  int64_t batch = 0;
};

/// How heads become boxes.
struct BoxDecoding {
  std::array<float, 3> voxel_size = {0.075F, 0.075F, 0.2F};
  std::array<float, 3> origin = {-54, -54, -5};
  float least_score = 0.1F;
  int64_t most_boxes = 500;  ///< a batch
};

/// VoxelNeXt, a detector without a dense part: the encoder of CenterPoint to conv4, two more stages of it to 128
/// channels (regular k3 s2 p1), the last three stages' voxels joined by sum at conv4's resolution and folded along z by
/// sum, a flat regular k3 and a flat submanifold k3 layer of 128 channels, and for each head a flat submanifold k3
/// layer and a 1x1 one. After Chen et al., "VoxelNeXt", CVPR 2023; ten nuScenes classes in one group.
class VoxelNeXt {
 public:
  /// Outputs of the heads on the flat voxels at 8 times the input's stride, each (N, channels).
  struct Heads {
    SparseTensor heat_map;  ///< one channel a class, before the sigmoid
    Tensor centre;          ///< 2: from the voxel's corner, in steps of the heads' stride
    Tensor height;          ///< 1: z in metres
    Tensor size;            ///< 3: logarithms of length, width, height
    Tensor rotation;        ///< 2: sine and cosine of the heading
    Tensor velocity;        ///< 2
  };
  /// The heads, and what came before them.
  struct Outputs {
    std::vector<SparseTensor> stages;  ///< conv1 to conv6
    SparseTensor flat, shared;         ///< after the fold and its layer; what the heads read
    Heads heads;
  };

  static VoxelNeXt seeded(Session& session, const SparseTensor& calibration, uint64_t seed, int64_t classes = 10);
  /// Weights named as OpenPCDet names them: backbone_3d.conv_input.0.weight, ...,
  /// dense_head.heads_list.0.hm.0.0.weight.
  static VoxelNeXt from_spconv(const WeightByName& weight, float eps = 1e-3F);
  VoxelNeXt quantized(int64_t bits, std::optional<int64_t> group_size = std::nullopt) const;

  /// `x` as CenterPointEncoder takes it.
  Outputs operator()(Session& session, const SparseTensor& x) const;
  /// Boxes of one run, best first for each batch; equal scores by row, then class.
  std::vector<Box> detect(Session& session, const SparseTensor& x, const BoxDecoding& decoding = {}) const;

  /// The network as an artifact, as CenterPointEncoder::exported: outputs `heat_map`, `centre`, `height`, `size`,
  /// `rotation` and `velocity`, sparse ones on the same voxels, and with its stages `conv1` to `conv6`, `flat` and
  /// `shared`.
  ModelBuilder exported(const Triple& extent, bool with_stages = false) const;
  /// The heads among the results of a model that has those outputs. Throws invalid_argument where it lacks one.
  static Heads heads_of(const Model& model, const NamedTensors& results);

  int64_t weight_bytes() const;
  int64_t in_channels() const;
  int64_t classes() const;

 private:
  struct Layers;
  explicit VoxelNeXt(std::shared_ptr<const Layers> layers) : layers_(std::move(layers)) {}
  std::shared_ptr<const Layers> layers_;
};

/// Boxes from heads: score = sigmoid(heat map); a voxel survives for a class where its score is the largest of its
/// occupied 3x3 neighbours'; of those with at least `least_score` the `most_boxes` best; centre = (voxel + offset) *
/// stride * voxel size + origin.
std::vector<Box> decode_boxes(Session& session, const VoxelNeXt::Heads& heads, const BoxDecoding& decoding);

}  // namespace lattice
