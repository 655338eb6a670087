#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lattice/detectors.h"
#include "lattice/model_builder.h"
#include "lattice/nn.h"

// What detectors are made of: convolutions with folded batch norms, in residual blocks and stages.

namespace lattice {

/// A convolution, its folded batch norm (undefined where it has none), and ReLU or none.
template <typename Conv>
struct NormedLayer {
  Conv conv;
  ScaleShift norm;
  bool has_relu = true;

  Epilogue epilogue(Tensor residual = {}) const {
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

// The data flow, whatever a value is. apply(layer, x) is one layer with its norm and activation, apply(layer, x,
// residual) one that adds a value of its own support between the two.

/// The output of every stage.
template <typename Backbone, typename Value, typename Apply>
std::vector<Value> run_backbone(Backbone& backbone, const Value& x, Apply& apply) {
  Value y = apply(backbone.input, x);
  std::vector<Value> outputs;
  for (auto& stage : backbone.stages) {
    if (stage.down) y = apply(*stage.down, y);
    for (auto& block : stage.blocks) y = apply(block.second, apply(block.first, y), y);
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
  template <typename Conv, typename... Residual>
  SparseTensor operator()(const NormedLayer<Conv>& layer, const SparseTensor& x, const Residual&... residual) {
    return layer.conv(session_, x, layer.epilogue(residual.features()...));
  }
  Session& session() const { return session_; }

 private:
  Session& session_;
};

/// Runs a layer that has a norm after it set that norm by its own outputs.
class LayerCalibration {
 public:
  explicit LayerCalibration(Session& session) : session_(session) {}
  template <typename Conv, typename... Residual>
  SparseTensor operator()(NormedLayer<Conv>& layer, const SparseTensor& x, const Residual&... residual) {
    if (layer.norm.scale.defined()) layer.norm = unit_norm(layer.conv(session_, x).features().to(DType::f32));
    return layer.conv(session_, x, layer.epilogue(residual.features()...));
  }
  Session& session() const { return session_; }

 private:
  Session& session_;
};

/// A value of a builder, and its place among lattices.
struct ExportedValue {
  ModelBuilder::Value value;
  Triple stride, extent;
};

/// Exports a layer; layers are numbered.
class LayerExport {
 public:
  explicit LayerExport(ModelBuilder& builder) : builder_(builder) {}

  /// The network's input of `channels` at stride 1.
  ExportedValue input(int64_t channels, const Triple& extent);
  template <typename... Residual>
  ExportedValue operator()(const NormedLayer<SubmConv3d>& layer, const ExportedValue& x, const Residual&... residual) {
    return {exported(layer, x, residual...), x.stride, x.extent};
  }
  template <typename... Residual>
  ExportedValue operator()(const NormedLayer<Conv3d>& layer, const ExportedValue& x, const Residual&... residual) {
    const ConvGeometry& geometry = layer.conv.geometry();
    return {exported(layer, x, residual...), geometry.coarser_stride(x.stride, "exported"),
            geometry.regular_extent(x.extent, "exported")};
  }
  ModelBuilder& builder() const { return builder_; }

 private:
  template <typename Conv, typename... Residual>
  ModelBuilder::Value exported(const NormedLayer<Conv>& layer, const ExportedValue& x, const Residual&... residual) {
    const std::string name = "layer" + std::to_string(++layers_);
    ModelBuilder::Value y = builder_.layer(name, layer.conv, x.value);
    if (layer.norm.scale.defined()) y = builder_.norm(name + ".norm", layer.norm, y);
    ((y = builder_.add(y, residual.value)), ...);
    return layer.has_relu ? builder_.activate({.kind = ActivationKind::relu}, y) : y;
  }

  ModelBuilder& builder_;
  int layers_ = 0;
};

/// Outputs conv1, conv2, ... of a builder.
void output_stages(ModelBuilder& builder, const std::vector<ExportedValue>& stages);

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
