#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lattice/detectors.h"
#include "lattice/nn.h"

// What detectors are made of: convolutions with folded batch norms, in residual blocks and stages.

namespace lattice {

/// A convolution, its folded batch norm (undefined where it has none), and ReLU or none.
template <typename Conv>
struct NormedLayer {
  Conv conv;
  ScaleShift norm;
  bool has_relu = true;

  Epilogue epilogue(Tensor residual) const {
    Epilogue epilogue = {.scale = norm.scale, .shift = norm.shift, .residual = std::move(residual)};
    if (has_relu) epilogue.activation.kind = ActivationKind::relu;
    return epilogue;
  }
};

struct ResidualBlock {
  NormedLayer<SubmConv3d> first, second;
};

struct DetectorStage {
  std::optional<NormedLayer<Conv3d>> down;
  std::vector<ResidualBlock> blocks;
};

/// conv_input and the stages conv1, conv2, ... of both detectors.
struct DetectorBackbone {
  NormedLayer<SubmConv3d> input;
  std::vector<DetectorStage> stages;
};

/// Where weights come from. Names are those of OpenPCDet; kernels are given in x, y, z.
class LayerSource {
 public:
  virtual ~LayerSource() = default;
  /// (C_out, Kx, Ky, Kz, C_in); in_channels 0: as many as the source has.
  virtual Tensor weight(const std::string& name, int64_t in_channels, int64_t out_channels, const Triple& kernel) = 0;
  virtual Tensor bias(const std::string& name, int64_t channels) = 0;
  virtual ScaleShift norm(const std::string& name, int64_t channels) = 0;
};

std::unique_ptr<LayerSource> seeded_layers(uint64_t seed);
/// Of names that start with `prefix`; norms take `eps`.
std::unique_ptr<LayerSource> spconv_layers(const WeightByName& weight, std::string prefix, float eps);

/// Stages of 16, 32, 64, 128, 128, 128 channels, the first `count` of them.
DetectorBackbone make_backbone(LayerSource& source, int64_t in_channels, size_t count);

NormedLayer<Conv3d> make_conv(LayerSource& source, const std::string& conv, const std::string& norm,
                              const Conv3dOptions& options);
NormedLayer<SubmConv3d> make_subm(LayerSource& source, const std::string& conv, const std::string& norm,
                                  const SubmConv3dOptions& options);

/// `x` has an extent and the network's channels; else invalid_argument, naming the network.
void check_detector_input(std::string_view network, const SparseTensor& x, int64_t in_channels);

/// Mean 0 and variance 1 for each channel of `features`; the identity for a channel that does not vary.
ScaleShift unit_norm(const Tensor& features);

// The data flow. apply(layer, x, residual) runs one layer.

template <typename Block, typename Apply>
SparseTensor run_block(Block& block, const SparseTensor& x, Apply& apply) {
  return apply(block.second, apply(block.first, x, Tensor()), x.features());
}

/// The output of every stage.
template <typename Backbone, typename Apply>
std::vector<SparseTensor> run_backbone(Backbone& backbone, const SparseTensor& x, Apply& apply) {
  SparseTensor y = apply(backbone.input, x, Tensor());
  std::vector<SparseTensor> outputs;
  for (auto& stage : backbone.stages) {
    if (stage.down) y = apply(*stage.down, y, Tensor());
    for (auto& block : stage.blocks) y = run_block(block, y, apply);
    outputs.push_back(y);
  }
  return outputs;
}

template <typename Backbone, typename Visit>
void visit_backbone(Backbone& backbone, Visit& visit) {
  visit(backbone.input);
  for (auto& stage : backbone.stages) {
    if (stage.down) visit(*stage.down);
    for (auto& block : stage.blocks) {
      visit(block.first);
      visit(block.second);
    }
  }
}

/// Runs a layer.
class LayerRun {
 public:
  explicit LayerRun(Session& session) : session_(session) {}
  template <typename Conv>
  SparseTensor operator()(const NormedLayer<Conv>& layer, const SparseTensor& x, const Tensor& residual) {
    return layer.conv(session_, x, layer.epilogue(residual));
  }

 private:
  Session& session_;
};

/// Runs a layer that has a norm after it set that norm by its own outputs.
class LayerCalibration {
 public:
  explicit LayerCalibration(Session& session) : session_(session) {}
  template <typename Conv>
  SparseTensor operator()(NormedLayer<Conv>& layer, const SparseTensor& x, const Tensor& residual) {
    if (layer.norm.scale.defined()) layer.norm = unit_norm(layer.conv(session_, x).features().to(DType::f32));
    return layer.conv(session_, x, layer.epilogue(residual));
  }

 private:
  Session& session_;
};

// A quantized module adds no state to its floating one, so it may be kept as that.
struct LayerPacking {
  int64_t bits;
  std::optional<int64_t> group_size;

  void operator()(NormedLayer<Conv3d>& layer) const {
    layer.conv = QuantizedConv3d::from_conv(layer.conv, group_size, bits);
  }
  void operator()(NormedLayer<SubmConv3d>& layer) const {
    layer.conv = QuantizedSubmConv3d::from_conv(layer.conv, group_size, bits);
  }
};

struct LayerBytes {
  int64_t total = 0;
  template <typename Conv>
  void operator()(const NormedLayer<Conv>& layer) {
    total += layer.conv.nbytes();
  }
};

}  // namespace lattice
