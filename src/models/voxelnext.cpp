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

}  // namespace

struct VoxelNeXt::Layers {
  DetectorBackbone backbone;
  NormedLayer<Conv3d> flat;
  NormedLayer<SubmConv3d> shared;
  Head heat_map, centre, height, size, rotation, velocity;
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

/// `x` on the finer lattice of `fine`, whose steps are `factor` times smaller, at the same places.
SparseTensor on_finer_lattice(const SparseTensor& x, const SparseTensor& fine, int32_t factor) {
  std::vector<Coord> coords(x.support()->coords().begin(), x.support()->coords().end());
  for (Coord& c : coords) c = {c.batch, c.x * factor, c.y * factor, c.z * factor};
  return {CoordSet::make(std::move(coords), fine.stride(), fine.extent()), x.features()};
}

/// The voxels of a column as one, by sum.
SparseTensor fold_z(Session& session, const SparseTensor& x) {
  const int64_t height = x.extent()->z;
  const ConvGeometry column({.kernel_size = {1, 1, height}, .stride = {1, 1, height}}, "voxelnext");
  return pool3d(session, x, PoolMode::sum, column, SupportRule::regular);
}

template <typename HeadLayers, typename Apply>
SparseTensor run_head(HeadLayers& head, const SparseTensor& x, Apply& apply) {
  return apply(head.last, apply(head.inner, x, Tensor()), Tensor());
}

template <typename Layers, typename Apply>
VoxelNeXt::Outputs run(Layers& layers, Session& session, const SparseTensor& x, Apply apply) {
  std::vector<SparseTensor> stages = run_backbone(layers.backbone, x, apply);
  const SparseTensor& fine = stages[kJoined];
  const SparseTensor joined = add(session, add(session, fine, on_finer_lattice(stages[kJoined + 1], fine, 2)),
                                  on_finer_lattice(stages[kJoined + 2], fine, 4));
  SparseTensor flat = apply(layers.flat, fold_z(session, joined), Tensor());
  SparseTensor shared = apply(layers.shared, flat, Tensor());
  VoxelNeXt::Heads heads = {.heat_map = run_head(layers.heat_map, shared, apply),
                            .centre = run_head(layers.centre, shared, apply).features(),
                            .height = run_head(layers.height, shared, apply).features(),
                            .size = run_head(layers.size, shared, apply).features(),
                            .rotation = run_head(layers.rotation, shared, apply).features(),
                            .velocity = run_head(layers.velocity, shared, apply).features()};
  return {std::move(stages), std::move(flat), std::move(shared), std::move(heads)};
}

template <typename Layers, typename Visit>
void visit_layers(Layers& layers, Visit& visit) {
  visit_backbone(layers.backbone, visit);
  visit(layers.flat);
  visit(layers.shared);
  for (auto* head :
       {&layers.heat_map, &layers.centre, &layers.height, &layers.size, &layers.rotation, &layers.velocity}) {
    visit(head->inner);
    visit(head->last);
  }
}

/// `body` is the source of the part that OpenPCDet calls backbone_3d, `heads` that of the heads.
template <typename Layers>
Layers make_layers(LayerSource& body, LayerSource& heads, int64_t in_channels, int64_t classes) {
  DetectorBackbone backbone = make_backbone(body, in_channels, kStages);
  NormedLayer<Conv3d> flat = make_flat(body);
  NormedLayer<SubmConv3d> shared = make_flat_subm(body, "shared_conv.0", "shared_conv.1");
  // A braced list is evaluated in its order.
  return Layers{std::move(backbone),
                std::move(flat),
                std::move(shared),
                make_head(heads, "hm", classes),
                make_head(heads, "center", 2),
                make_head(heads, "center_z", 1),
                make_head(heads, "dim", 3),
                make_head(heads, "rot", 2),
                make_head(heads, "vel", 2)};
}

}  // namespace

VoxelNeXt VoxelNeXt::seeded(Session& session, const SparseTensor& calibration, uint64_t seed, int64_t classes) {
  check_detector_input("voxelnext", calibration, calibration.channels());
  if (classes < 1) fail(ErrorCode::invalid_argument, "voxelnext: classes {} must be positive", classes);
  const auto source = seeded_layers(seed);
  auto layers = std::make_shared<Layers>(make_layers<Layers>(*source, *source, calibration.channels(), classes));
  run(*layers, session, calibration, LayerCalibration(session));
  return VoxelNeXt(std::move(layers));
}

VoxelNeXt VoxelNeXt::from_spconv(const WeightByName& weight, float eps) {
  constexpr const char* kHeads = "dense_head.heads_list.0.";
  const int64_t classes = weight(std::string(kHeads) + "hm.1.bias").elements();
  const auto body = spconv_layers(weight, "backbone_3d.", eps), heads = spconv_layers(weight, kHeads, eps);
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
  return run(*layers_, session, x, LayerRun(session));
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
  return layers_->heat_map.last.conv.out_channels();
}

}  // namespace lattice
