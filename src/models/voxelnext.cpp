#include <array>
#include <span>
#include <utility>

#include "fail.h"
#include "lattice/algebra.h"
#include "lattice/nn2d.h"
#include "lattice/pool.h"
#include "models/detector_layers.h"

namespace lattice {
namespace {

constexpr size_t kStages = 6;
constexpr size_t kJoined = 3;  // conv4: the stage at whose resolution the last three are joined
constexpr int64_t kChannels = 128;

/// A flat submanifold layer, and a 1x1 one to the head's channels.
struct Head {
  NormedLayer<SubmConv3d> inner, last;
};

/// What a head is called in an artifact and in a checkpoint.
struct HeadKind {
  const char* output;
  const char* stored;
  int64_t channels;  // 0: one a class
};

constexpr std::array<HeadKind, 6> kHeads = {{{"heat_map", "hm", 0},
                                             {"centre", "center", 2},
                                             {"height", "center_z", 1},
                                             {"size", "dim", 3},
                                             {"rotation", "rot", 2},
                                             {"velocity", "vel", 2}}};

}  // namespace

struct VoxelNeXt::Layers {
  DetectorBackbone backbone;
  NormedLayer<Conv3d> flat;
  NormedLayer<SubmConv3d> shared;
  std::vector<Head> heads;  // in the order of kHeads
};

namespace {

NormedLayer<Conv3d> make_flat(LayerSource& source) {
  return make_conv(source, "conv_out.0", "conv_out.1",
                   {.in_channels = kChannels,
                    .out_channels = kChannels,
                    .kernel_size = {3, 3, 1},
                    .padding = {1, 1, 0},
                    .bias = false,
                    .support = SupportRule::regular});
}

NormedLayer<SubmConv3d> make_flat_subm(LayerSource& source, const std::string& conv, const std::string& norm) {
  return make_subm(source, conv, norm, {.in_channels = kChannels, .out_channels = kChannels, .kernel_size = {3, 3, 1}});
}

Head make_head(LayerSource& source, const std::string& name, int64_t channels) {
  NormedLayer<SubmConv3d> inner = make_flat_subm(source, name + ".0.0", name + ".0.1");
  Tensor weight = source.weight(name + ".1.weight", kChannels, channels, 1);
  SubmConv3d last({.kernel_size = 1}, std::move(weight), source.bias(name + ".1.bias", channels));
  return {std::move(inner), {std::move(last), {}, false}};
}

/// `x` at the same places on the finer lattice of `fine`.
SparseTensor on_finer_lattice(const SparseTensor& x, const SparseTensor& fine) {
  const auto factor = static_cast<int32_t>(x.stride().x / fine.stride().x);  // the same on every axis
  std::vector<Coord> coords(x.support()->coords().begin(), x.support()->coords().end());
  for (Coord& c : coords) c = {c.batch, c.x * factor, c.y * factor, c.z * factor};
  return {CoordSet::make(std::move(coords), fine.stride(), fine.extent()), x.features()};
}

/// A column of the grid.
ConvGeometry column_of(const Triple& extent) {
  return ConvGeometry({.kernel_size = {1, 1, extent.z}, .stride = {1, 1, extent.z}}, "voxelnext");
}

// Both sums of the network, for tensors and for values of a builder: of a stage and coarser ones at its resolution, and
// of the voxels of each column.

template <typename Apply>
SparseTensor joined(const Apply& apply, const SparseTensor& fine, std::span<const SparseTensor> coarser) {
  SparseTensor sum = fine;
  for (const SparseTensor& x : coarser) sum = add(apply.session(), sum, on_finer_lattice(x, fine));
  return sum;
}
template <typename Apply>
SparseTensor folded(const Apply& apply, const SparseTensor& x) {
  return pool3d(apply.session(), x, PoolMode::sum, column_of(*x.extent()), SupportRule::regular);
}

ExportedValue joined(const LayerExport& apply, const ExportedValue& fine, std::span<const ExportedValue> coarser) {
  ModelBuilder& builder = apply.builder();
  ModelBuilder::Value sum = fine.value;
  for (const ExportedValue& x : coarser) sum = builder.add(sum, builder.on_lattice(x.value, fine.stride));
  // An outer join of values whose extents differ has none; what is coarser lies inside of the finer extent.
  return {builder.bound(sum, fine.extent), fine.stride, fine.extent};
}
ExportedValue folded(const LayerExport& apply, const ExportedValue& x) {
  const ConvGeometry column = column_of(x.extent);
  return {apply.builder().pool(PoolMode::sum, column, x.value, SupportRule::regular),
          column.coarser_stride(x.stride, "exported"), column.regular_extent(x.extent, "exported")};
}

/// What the network computes, whatever a value is.
template <typename Value>
struct Flow {
  std::vector<Value> stages;
  Value flat, shared;
  std::vector<Value> heads;  // in the order of kHeads
};

template <typename Layers, typename Value, typename Apply>
Flow<Value> run(Layers& layers, const Value& x, Apply& apply) {
  std::vector<Value> stages = run_backbone(layers.backbone, x, apply);
  const Value columns = folded(apply, joined(apply, stages[kJoined], std::span(stages).subspan(kJoined + 1)));
  Value flat = apply(layers.flat, columns);
  Value shared = apply(layers.shared, flat);
  std::vector<Value> heads;
  for (auto& head : layers.heads) heads.push_back(apply(head.last, apply(head.inner, shared)));
  return {std::move(stages), std::move(flat), std::move(shared), std::move(heads)};
}

template <typename Layers, typename Visit>
void visit_layers(Layers& layers, Visit& visit) {
  visit_backbone(layers.backbone, visit);
  visit(layers.flat);
  visit(layers.shared);
  for (auto& head : layers.heads) {
    visit(head.inner);
    visit(head.last);
  }
}

/// `body` is the source of the part that OpenPCDet calls backbone_3d, `heads` that of the heads.
template <typename Layers>
Layers make_layers(LayerSource& body, LayerSource& heads, int64_t in_channels, int64_t classes) {
  DetectorBackbone backbone = make_backbone(body, in_channels, kStages);
  NormedLayer<Conv3d> flat = make_flat(body);
  NormedLayer<SubmConv3d> shared = make_flat_subm(body, "shared_conv.0", "shared_conv.1");
  Layers layers{std::move(backbone), std::move(flat), std::move(shared), {}};
  for (const HeadKind& kind : kHeads) {
    layers.heads.push_back(make_head(heads, kind.stored, kind.channels == 0 ? classes : kind.channels));
  }
  return layers;
}

}  // namespace

VoxelNeXt VoxelNeXt::seeded(Session& session, const SparseTensor& calibration, uint64_t seed, int64_t classes) {
  check_detector_input("voxelnext", calibration, calibration.channels());
  if (classes < 1) fail(ErrorCode::invalid_argument, "voxelnext: classes {} must be positive", classes);
  const auto source = seeded_layers(seed);
  auto layers = std::make_shared<Layers>(make_layers<Layers>(*source, *source, calibration.channels(), classes));
  LayerCalibration calibrate(session);
  run(*layers, calibration, calibrate);
  return VoxelNeXt(std::move(layers));
}

VoxelNeXt VoxelNeXt::from_spconv(const WeightByName& weight, float eps) {
  constexpr const char* kPrefix = "dense_head.heads_list.0.";
  const int64_t classes = weight(std::string(kPrefix) + "hm.1.bias").elements();
  const auto body = spconv_layers(weight, "backbone_3d.", eps), heads = spconv_layers(weight, kPrefix, eps);
  return VoxelNeXt(std::make_shared<Layers>(make_layers<Layers>(*body, *heads, 0, classes)));
}

VoxelNeXt VoxelNeXt::quantized(int64_t bits, std::optional<int64_t> group_size) const {
  auto layers = std::make_shared<Layers>(*layers_);
  LayerPacking packing{bits, group_size};
  visit_layers(*layers, packing);
  return VoxelNeXt(std::move(layers));
}

VoxelNeXt::Outputs VoxelNeXt::operator()(Session& session, const SparseTensor& x) const {
  check_detector_input("voxelnext", x, in_channels());
  LayerRun apply(session);
  Flow<SparseTensor> y = run(*layers_, x, apply);
  const auto features = [&](size_t head) { return y.heads[head].features(); };
  Heads heads = {y.heads[0], features(1), features(2), features(3), features(4), features(5)};
  return {std::move(y.stages), std::move(y.flat), std::move(y.shared), std::move(heads)};
}

ModelBuilder VoxelNeXt::exported(const Triple& extent, bool with_stages) const {
  ModelBuilder builder;
  LayerExport apply(builder);
  const Flow<ExportedValue> y = run(*layers_, apply.input(in_channels(), extent), apply);
  for (size_t i = 0; i < kHeads.size(); ++i) builder.output(kHeads[i].output, y.heads[i].value);
  if (!with_stages) return builder;
  output_stages(builder, y.stages);
  builder.output("flat", y.flat.value);
  builder.output("shared", y.shared.value);
  return builder;
}

VoxelNeXt::Heads VoxelNeXt::heads_of(const Model& model, const NamedTensors& results) {
  const auto features = [&](size_t head) { return model.sparse_output(results, kHeads[head].output).features(); };
  return {
      model.sparse_output(results, kHeads[0].output), features(1), features(2), features(3), features(4), features(5)};
}

std::vector<Box> VoxelNeXt::detect(Session& session, const SparseTensor& x, const BoxDecoding& decoding) const {
  return decode_boxes(session, (*this)(session, x).heads, decoding);
}

int64_t VoxelNeXt::weight_bytes() const {
  LayerBytes bytes;
  visit_layers(*layers_, bytes);
  return bytes.total;
}

int64_t VoxelNeXt::in_channels() const {
  return layers_->backbone.input.conv.in_channels();
}
int64_t VoxelNeXt::classes() const {
  return layers_->heads[0].last.conv.out_channels();
}

}  // namespace lattice
