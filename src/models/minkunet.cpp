#include "lattice/minkunet.h"

#include <array>
#include <cmath>
#include <utility>

#include "fail.h"
#include "lattice/algebra.h"
#include "lattice/nn.h"
#include "lattice/random.h"
#include "models/seeded_weights.h"

namespace lattice {
namespace {

constexpr size_t kStages = 4;
constexpr int64_t kStemChannels = 32;
constexpr std::array<int64_t, kStages> kEncoderChannels = {32, 64, 128, 256};
constexpr std::array<int64_t, kStages> kDecoderChannels = {256, 128, 96, 96};
constexpr std::array<int64_t, kStages> kSkipChannels = {128, 64, 32, 32};
constexpr int kBlocksAStage = 2;
constexpr double kBiasDeviation = 0.1;  // small beside the products, so that the points decide, not the biases

struct Block {
  SubmConv3d first, second;
  std::optional<Conv3d> shortcut;
};
struct Encoder {
  Conv3d down;
  std::vector<Block> blocks;
};
struct Decoder {
  ConvTranspose3d up;
  std::vector<Block> blocks;
};

/// Where a layer stands, for what depends on its relation: for `up` the level that it goes to.
enum class Place : uint8_t { within, down, up, pointwise };

}  // namespace

struct MinkUNet18::Layers {
  SubmConv3d stem;
  std::vector<Encoder> encoders;
  std::vector<Decoder> decoders;
  Conv3d head;
};

namespace {

template <typename Blocks, typename Visit>
void visit_blocks(Blocks& blocks, size_t level, Visit& visit) {
  for (auto& block : blocks) {
    visit(block.first, Place::within, level);
    visit(block.second, Place::within, level);
    if (block.shortcut) visit(*block.shortcut, Place::pointwise, level);
  }
}

/// Calls visit(layer, place, level) for every convolution; level 0 is the finest.
template <typename Layers, typename Visit>
void visit_layers(Layers& layers, Visit visit) {
  visit(layers.stem, Place::within, size_t{0});
  for (size_t level = 0; level < kStages; ++level) {
    visit(layers.encoders[level].down, Place::down, level);
    visit_blocks(layers.encoders[level].blocks, level + 1, visit);
  }
  for (size_t stage = 0; stage < kStages; ++stage) {
    const size_t level = kStages - 1 - stage;
    visit(layers.decoders[stage].up, Place::up, level);
    visit_blocks(layers.decoders[stage].blocks, level, visit);
  }
  visit(layers.head, Place::pointwise, size_t{0});
}

template <typename Blocks, typename Value, typename Flow>
Value run_blocks(Blocks& blocks, Value x, Flow& flow) {
  for (auto& block : blocks) {
    const Value shortcut = block.shortcut ? flow.linear(*block.shortcut, x) : x;
    x = flow.relu_of_sum(block.second, flow.relu(block.first, x), shortcut);
  }
  return x;
}

/// The network's data flow, whatever a value is. Of flow: linear(layer, x), relu(layer, x), relu_of_sum(layer, x,
/// shortcut), relu_onto(layer, x, target) and cat(x, y).
template <typename Layers, typename Value, typename Flow>
Value run(Layers& layers, const Value& x, Flow flow) {
  std::vector<Value> skips = {flow.relu(layers.stem, x)};
  for (auto& encoder : layers.encoders) {
    const Value coarse = flow.relu(encoder.down, skips.back());
    skips.push_back(run_blocks(encoder.blocks, coarse, flow));
  }
  Value y = skips.back();
  skips.pop_back();
  for (auto& decoder : layers.decoders) {
    const Value fine = flow.relu_onto(decoder.up, y, skips.back());
    y = run_blocks(decoder.blocks, flow.cat(fine, skips.back()), flow);
    skips.pop_back();
  }
  return flow.linear(layers.head, y);
}

/// Values are tensors: prepare(layer, inputs...) comes before a layer runs.
template <typename Prepare>
class TensorFlow {
 public:
  TensorFlow(Session& session, Prepare prepare) : session_(session), prepare_(std::move(prepare)) {}

  template <typename Layer>
  SparseTensor linear(Layer& layer, const SparseTensor& x) {
    prepare_(layer, x);
    return layer(session_, x);
  }
  template <typename Layer>
  SparseTensor relu(Layer& layer, const SparseTensor& x) {
    prepare_(layer, x);
    return layer(session_, x, relu_after({}));
  }
  template <typename Layer>
  SparseTensor relu_of_sum(Layer& layer, const SparseTensor& x, const SparseTensor& shortcut) {
    prepare_(layer, x);
    return layer(session_, x, relu_after(shortcut.features()));
  }
  template <typename Layer>
  SparseTensor relu_onto(Layer& layer, const SparseTensor& x, const SparseTensor& target) {
    prepare_(layer, x, target.support());
    return layer(session_, x, target.support(), relu_after({}));
  }
  SparseTensor cat(const SparseTensor& lhs, const SparseTensor& rhs) { return lattice::cat(session_, lhs, rhs); }

 private:
  static Epilogue relu_after(Tensor residual) {
    return {.residual = std::move(residual), .activation = {.kind = ActivationKind::relu}};
  }

  Session& session_;
  Prepare prepare_;
};

/// Values are those of a builder, and layers are numbered.
class ExportFlow {
 public:
  using Value = ModelBuilder::Value;
  explicit ExportFlow(ModelBuilder& builder) : builder_(builder) {}

  template <typename Layer>
  Value linear(const Layer& layer, Value x) {
    return builder_.layer(next_name(), layer, x);
  }
  template <typename Layer>
  Value relu(const Layer& layer, Value x) {
    return builder_.activate(kRelu, linear(layer, x));
  }
  template <typename Layer>
  Value relu_of_sum(const Layer& layer, Value x, Value shortcut) {
    return builder_.activate(kRelu, builder_.add(linear(layer, x), shortcut));
  }
  template <typename Layer>
  Value relu_onto(const Layer& layer, Value x, Value target) {
    return builder_.activate(kRelu, builder_.layer(next_name(), layer, x, target));
  }
  Value cat(Value lhs, Value rhs) { return builder_.cat(lhs, rhs); }

 private:
  static constexpr Activation kRelu = {.kind = ActivationKind::relu};

  std::string next_name() { return "layer" + std::to_string(++layers_); }

  ModelBuilder& builder_;
  int layers_ = 0;
};

/// Normal values that keep the variance of a layer all of whose taps meet an input.
class WeightSource {
 public:
  explicit WeightSource(uint64_t seed) : random_(seed) {}

  Tensor weight(int64_t in_channels, int64_t out_channels, int64_t kernel_size) {
    const int64_t inputs = in_channels * kernel_size * kernel_size * kernel_size;
    return normal_tensor(random_, {out_channels, kernel_size, kernel_size, kernel_size, in_channels},
                         1 / std::sqrt(static_cast<double>(inputs)));
  }
  Tensor bias(int64_t channels) { return normal_tensor(random_, {channels}, kBiasDeviation); }

 private:
  Random random_;
};

// Each takes the weight's values before the bias': the order in which a constructor's arguments are evaluated is not
// fixed.

SubmConv3d draw_subm(WeightSource& source, int64_t in_channels, int64_t out_channels) {
  Tensor weight = source.weight(in_channels, out_channels, 3);
  return SubmConv3d({.kernel_size = 3}, std::move(weight), source.bias(out_channels));
}

Conv3d draw_pointwise(WeightSource& source, int64_t in_channels, int64_t out_channels) {
  Tensor weight = source.weight(in_channels, out_channels, 1);
  return Conv3d({.kernel_size = 1}, std::move(weight), source.bias(out_channels));
}

Conv3d draw_down(WeightSource& source, int64_t channels) {
  Tensor weight = source.weight(channels, channels, 2);
  return Conv3d({.kernel_size = 2, .stride = 2}, std::move(weight), source.bias(channels));
}

ConvTranspose3d draw_up(WeightSource& source, int64_t in_channels, int64_t out_channels) {
  Tensor weight = source.weight(in_channels, out_channels, 2);
  return ConvTranspose3d({.kernel_size = 2, .stride = 2}, std::move(weight), source.bias(out_channels));
}

std::vector<Block> draw_blocks(WeightSource& source, int64_t in_channels, int64_t out_channels) {
  std::vector<Block> blocks;
  for (int i = 0; i < kBlocksAStage; ++i) {
    SubmConv3d first = draw_subm(source, in_channels, out_channels);
    Block block{std::move(first), draw_subm(source, out_channels, out_channels), std::nullopt};
    if (in_channels != out_channels) block.shortcut = draw_pointwise(source, in_channels, out_channels);
    blocks.push_back(std::move(block));
    in_channels = out_channels;
  }
  return blocks;
}

/// 1 / the standard deviation of all values, to 10 bits; 1 where they do not vary.
double unit_variance_scale(const Tensor& features) {
  double sum = 0, squares = 0;
  for (const float value : features.values<float>()) {
    sum += value;
    squares += static_cast<double>(value) * value;
  }
  const double count = static_cast<double>(features.elements());
  const double variance = count > 0 ? squares / count - (sum / count) * (sum / count) : 0;
  if (!(variance > 0) || !std::isfinite(variance)) return 1;
  return to_ten_bits(1 / std::sqrt(variance));
}

Tensor scaled(const Tensor& tensor, double scale) {
  Tensor result = Tensor::empty(DType::f32, tensor.shape());
  float* values = result.mutable_data<float>();
  for (const float value : tensor.values<float>()) *values++ = static_cast<float>(value * scale);
  return result;
}

void scale_layer(SubmConv3d& layer, double scale) {
  layer = SubmConv3d({.kernel_size = layer.geometry().kernel_size()}, scaled(layer.weight().dense(), scale),
                     scaled(layer.bias(), scale));
}

void scale_layer(Conv3d& layer, double scale) {
  layer = Conv3d({.kernel_size = layer.geometry().kernel_size(), .stride = layer.geometry().stride()},
                 scaled(layer.weight().dense(), scale), scaled(layer.bias(), scale));
}

void scale_layer(ConvTranspose3d& layer, double scale) {
  layer = ConvTranspose3d({.kernel_size = layer.geometry().kernel_size(), .stride = layer.geometry().stride()},
                          scaled(layer.weight().dense(), scale), scaled(layer.bias(), scale));
}

// A quantized module adds no state to its floating one, so it may be kept as that.

void pack_layer(SubmConv3d& layer, int64_t bits, std::optional<int64_t> group_size) {
  layer = QuantizedSubmConv3d::from_conv(layer, group_size, bits);
}
void pack_layer(Conv3d& layer, int64_t bits, std::optional<int64_t> group_size) {
  layer = QuantizedConv3d::from_conv(layer, group_size, bits);
}
void pack_layer(ConvTranspose3d& layer, int64_t bits, std::optional<int64_t> group_size) {
  layer = QuantizedConvTranspose3d::from_conv(layer, group_size, bits);
}

int64_t edges_at(const MinkUNet18::Level& level, Place place) {
  switch (place) {
    case Place::within:
      return level.within->edges();
    case Place::down:
      return level.down->edges();
    case Place::up:
      return level.up->edges();
    case Place::pointwise:
      break;
  }
  return level.support->rows();
}

}  // namespace

MinkUNet18 MinkUNet18::seeded(Session& session, const SparseTensor& calibration, uint64_t seed, int64_t classes) {
  if (classes <= 0) fail(ErrorCode::invalid_argument, "minkunet18: classes {} must be positive", classes);
  WeightSource source(seed);
  SubmConv3d stem = draw_subm(source, calibration.channels(), kStemChannels);
  int64_t channels = kStemChannels;
  std::vector<Encoder> encoders;
  for (const int64_t out_channels : kEncoderChannels) {
    Conv3d down = draw_down(source, channels);
    encoders.push_back({std::move(down), draw_blocks(source, channels, out_channels)});
    channels = out_channels;
  }
  std::vector<Decoder> decoders;
  for (size_t stage = 0; stage < kStages; ++stage) {
    const int64_t out_channels = kDecoderChannels[stage];
    ConvTranspose3d up = draw_up(source, channels, out_channels);
    decoders.push_back({std::move(up), draw_blocks(source, out_channels + kSkipChannels[stage], out_channels)});
    channels = out_channels;
  }
  auto layers = std::make_shared<Layers>(
      Layers{std::move(stem), std::move(encoders), std::move(decoders), draw_pointwise(source, channels, classes)});

  const auto calibrate = [&](auto& layer, const auto&... inputs) {
    scale_layer(layer, unit_variance_scale(layer(session, inputs...).features().to(DType::f32)));
  };
  run(*layers, calibration.with_features(calibration.features().to(DType::f32)), TensorFlow(session, calibrate));
  return MinkUNet18(std::move(layers));
}

MinkUNet18 MinkUNet18::quantized(int64_t bits, std::optional<int64_t> group_size) const {
  auto layers = std::make_shared<Layers>(*layers_);
  visit_layers(*layers, [&](auto& layer, Place, size_t) { pack_layer(layer, bits, group_size); });
  return MinkUNet18(std::move(layers));
}

SparseTensor MinkUNet18::operator()(Session& session, const SparseTensor& x) const {
  if (x.channels() != in_channels()) {
    fail(ErrorCode::invalid_argument, "minkunet18: input has {} channels, the network takes {}", x.channels(),
         in_channels());
  }
  return run(*layers_, x, TensorFlow(session, [](const auto&...) {}));
}

ModelBuilder MinkUNet18::exported() const {
  ModelBuilder builder;
  builder.output("logits", run(*layers_, builder.sparse_input("x", in_channels()), ExportFlow(builder)));
  return builder;
}

std::vector<MinkUNet18::Level> MinkUNet18::relate(Session& session, const Support& support) {
  const ConvGeometry within({.kernel_size = 3}), between({.kernel_size = 2, .stride = 2});
  std::vector<Level> levels = {{support, nullptr, nullptr, nullptr}};
  for (size_t stage = 0; stage <= kStages; ++stage) {
    Level& level = levels.back();
    level.within = session.relate(RelationKind::submanifold, level.support, within, nullptr, "minkunet18").relation;
    if (stage == kStages) break;
    const RelatedSupport down = session.relate(RelationKind::forward, level.support, between, nullptr, "minkunet18");
    level.down = down.relation;
    level.up =
        session.relate(RelationKind::target_transposed, down.output, between, level.support, "minkunet18").relation;
    levels.push_back({down.output, nullptr, nullptr, nullptr});
  }
  return levels;
}

double MinkUNet18::gflop(const std::vector<Level>& levels) const {
  if (levels.size() != kStages + 1) {
    fail(ErrorCode::invalid_argument, "minkunet18: {} levels given, the network has {}", levels.size(), kStages + 1);
  }
  double operations = 0;
  visit_layers(*layers_, [&](const auto& layer, Place place, size_t level) {
    operations += 2.0 * static_cast<double>(edges_at(levels[level], place)) *
                  static_cast<double>(layer.in_channels() * layer.out_channels());
  });
  return operations / 1e9;
}

int64_t MinkUNet18::weight_bytes() const {
  int64_t bytes = 0;
  visit_layers(*layers_, [&](const auto& layer, Place, size_t) { bytes += layer.nbytes(); });
  return bytes;
}

int64_t MinkUNet18::in_channels() const {
  return layers_->stem.in_channels();
}
int64_t MinkUNet18::classes() const {
  return layers_->head.out_channels();
}

}  // namespace lattice
