#include <utility>

#include "models/detector_layers.h"

namespace lattice {

struct CenterPointEncoder::Layers {
  DetectorBackbone backbone;
  NormedLayer<Conv3d> out;
};

namespace {

constexpr size_t kStages = 4;

/// conv1 to conv4, then out.
template <typename Layers, typename Value, typename Apply>
std::vector<Value> run(Layers& layers, const Value& x, Apply& apply) {
  std::vector<Value> stages = run_backbone(layers.backbone, x, apply);
  stages.push_back(apply(layers.out, stages.back()));
  return stages;
}

template <typename Layers, typename Visit>
void visit_layers(Layers& layers, Visit& visit) {
  visit_backbone(layers.backbone, visit);
  visit(layers.out);
}

NormedLayer<Conv3d> make_out(LayerSource& source) {
  return make_conv(source, "conv_out.0", "conv_out.1",
                   {.in_channels = 128,
                    .out_channels = 128,
                    .kernel_size = {1, 1, 3},
                    .stride = {1, 1, 2},
                    .bias = false,
                    .support = SupportRule::regular});
}

/// Runs nothing but relations: what layers cost.
class LayerCost {
 public:
  explicit LayerCost(Session& session) : session_(session) {}
  template <typename... Residual>
  SparseTensor operator()(const NormedLayer<SubmConv3d>& layer, const SparseTensor& x, const Residual&...) {
    return cost(layer, x, RelationKind::submanifold);
  }
  template <typename... Residual>
  SparseTensor operator()(const NormedLayer<Conv3d>& layer, const SparseTensor& x, const Residual&...) {
    return cost(layer, x, RelationKind::regular);
  }
  double operations() const { return operations_; }

 private:
  template <typename Conv>
  SparseTensor cost(const NormedLayer<Conv>& layer, const SparseTensor& x, RelationKind kind) {
    const RelatedSupport related = session_.relate(kind, x.support(), layer.conv.geometry(), nullptr, "centerpoint");
    operations_ += 2.0 * static_cast<double>(related.relation->edges()) *
                   static_cast<double>(layer.conv.in_channels() * layer.conv.out_channels());
    return {related.output, Tensor::empty(DType::f32, {related.output->rows(), 1})};
  }

  Session& session_;
  double operations_ = 0;
};

}  // namespace

CenterPointEncoder CenterPointEncoder::seeded(Session& session, const SparseTensor& calibration, uint64_t seed) {
  check_detector_input("centerpoint", calibration, calibration.channels());
  const auto source = seeded_layers(seed);
  DetectorBackbone backbone = make_backbone(*source, calibration.channels(), kStages);
  auto layers = std::make_shared<Layers>(Layers{std::move(backbone), make_out(*source)});
  LayerCalibration calibrate(session);
  run(*layers, calibration, calibrate);
  return CenterPointEncoder(std::move(layers));
}

CenterPointEncoder CenterPointEncoder::from_spconv(const WeightByName& weight, float eps) {
  const auto source = spconv_layers(weight, "", eps);
  DetectorBackbone backbone = make_backbone(*source, 0, kStages);
  return CenterPointEncoder(std::make_shared<Layers>(Layers{std::move(backbone), make_out(*source)}));
}

CenterPointEncoder CenterPointEncoder::quantized(int64_t bits, std::optional<int64_t> group_size) const {
  auto layers = std::make_shared<Layers>(*layers_);
  LayerPacking packing{bits, group_size};
  visit_layers(*layers, packing);
  return CenterPointEncoder(std::move(layers));
}

CenterPointEncoder::Stages CenterPointEncoder::operator()(Session& session, const SparseTensor& x) const {
  check_detector_input("centerpoint", x, in_channels());
  LayerRun apply(session);
  const std::vector<SparseTensor> stages = run(*layers_, x, apply);
  return {stages[0], stages[1], stages[2], stages[3], stages[4]};
}

ModelBuilder CenterPointEncoder::exported(const Triple& extent, bool with_stages) const {
  ModelBuilder builder;
  LayerExport apply(builder);
  const std::vector<ExportedValue> stages = run(*layers_, apply.input(in_channels(), extent), apply);
  builder.output("out", stages.back().value);
  if (with_stages) output_stages(builder, {stages.begin(), stages.end() - 1});
  return builder;
}

double CenterPointEncoder::gflop(Session& session, const Support& x) const {
  LayerCost cost(session);
  const SparseTensor input(x, Tensor::empty(DType::f32, {x->rows(), 1}));
  run(*layers_, input, cost);
  return cost.operations() / 1e9;
}

int64_t CenterPointEncoder::weight_bytes() const {
  LayerBytes bytes;
  visit_layers(*layers_, bytes);
  return bytes.total;
}

int64_t CenterPointEncoder::in_channels() const {
  return layers_->backbone.input.conv.in_channels();
}

}  // namespace lattice
