#include "models/detector_layers.h"

#include <fmt/format.h>

#include <array>
#include <cmath>

#include "fail.h"
#include "lattice/random.h"
#include "models/seeded_weights.h"

namespace lattice {
namespace {

class SeededLayers final : public LayerSource {
 public:
  explicit SeededLayers(uint64_t seed) : random_(seed) {}

  Tensor weight(const std::string&, int64_t in_channels, int64_t out_channels, const Triple& kernel) override {
    const auto inputs = static_cast<double>(in_channels * kernel.x * kernel.y * kernel.z);
    return normal_tensor(random_, {out_channels, kernel.x, kernel.y, kernel.z, in_channels}, 1 / std::sqrt(inputs));
  }
  Tensor bias(const std::string&, int64_t channels) override { return normal_tensor(random_, {channels}, 0.1); }
  ScaleShift norm(const std::string&, int64_t channels) override {
    ScaleShift identity = {Tensor::empty(DType::f32, {channels}), Tensor::zeros(DType::f32, {channels})};
    std::fill_n(identity.scale.mutable_data<float>(), channels, 1.0F);
    return identity;
  }

 private:
  Random random_;
};

/// Weights in spconv 2.2's layout: (C_out, Kz, Ky, Kx, C_in), or (C_out, Ky, Kx, C_in) of its flat layers. Where every
/// size is 1 the memory is that of a (C_in, C_out) matrix; all such layers of detectors have stride 1.
class SpconvLayers final : public LayerSource {
 public:
  SpconvLayers(const WeightByName& weight, std::string prefix, float eps)
      : weight_(weight), prefix_(std::move(prefix)), eps_(eps) {}

  Tensor weight(const std::string& name, int64_t in_channels, int64_t out_channels, const Triple& kernel) override {
    const Tensor stored = weight_(prefix_ + name).to(DType::f32);
    const bool is_flat = stored.rank() == 4;
    const int64_t ins = in_channels == 0 && stored.rank() > 0 ? stored.size(stored.rank() - 1) : in_channels;
    const Shape volumetric = {out_channels, kernel.z, kernel.y, kernel.x, ins};
    const Shape flat = {out_channels, kernel.y, kernel.x, ins};
    if (ins < 1 || stored.shape() != (is_flat ? flat : volumetric) || (is_flat && kernel.z != 1)) {
      fail(ErrorCode::invalid_argument, "from_spconv: {} has shape {}, but must be {} (out, z, y, x, in)",
           prefix_ + name, to_string(stored.shape()), to_string(volumetric));
    }
    Tensor result = Tensor::empty(DType::f32, {out_channels, kernel.x, kernel.y, kernel.z, ins});
    const float* from = stored.data<float>();
    float* to = result.mutable_data<float>();
    const bool is_matrix = kernel == Triple(1);
    for (int64_t out = 0; out < out_channels; ++out) {
      for (int64_t x = 0; x < kernel.x; ++x) {
        for (int64_t y = 0; y < kernel.y; ++y) {
          for (int64_t z = 0; z < kernel.z; ++z) {
            for (int64_t in = 0; in < ins; ++in) {
              *to++ = is_matrix ? from[in * out_channels + out]
                                : from[(((out * kernel.z + z) * kernel.y + y) * kernel.x + x) * ins + in];
            }
          }
        }
      }
    }
    return result;
  }
  Tensor bias(const std::string& name, int64_t channels) override { return vector(name, channels); }
  ScaleShift norm(const std::string& name, int64_t channels) override {
    return fold_batch_norm(vector(name + ".weight", channels), vector(name + ".bias", channels),
                           vector(name + ".running_mean", channels), vector(name + ".running_var", channels), eps_);
  }

 private:
  Tensor vector(const std::string& name, int64_t channels) {
    Tensor stored = weight_(prefix_ + name).to(DType::f32);
    if (stored.shape() != Shape{channels}) {
      fail(ErrorCode::invalid_argument, "from_spconv: {} has shape {}, but must be ({})", prefix_ + name,
           to_string(stored.shape()), channels);
    }
    return stored;
  }

  const WeightByName& weight_;
  std::string prefix_;
  float eps_;
};

ResidualBlock make_block(LayerSource& source, const std::string& name, int64_t channels) {
  const SubmConv3dOptions options = {.in_channels = channels, .out_channels = channels};
  NormedLayer<SubmConv3d> first = make_subm(source, name + ".conv1", name + ".bn1", options);
  return {std::move(first), make_subm(source, name + ".conv2", name + ".bn2", options)};
}

}  // namespace

std::unique_ptr<LayerSource> seeded_layers(uint64_t seed) {
  return std::make_unique<SeededLayers>(seed);
}
std::unique_ptr<LayerSource> spconv_layers(const WeightByName& weight, std::string prefix, float eps) {
  return std::make_unique<SpconvLayers>(weight, std::move(prefix), eps);
}

NormedLayer<Conv3d> make_conv(LayerSource& source, const std::string& conv, const std::string& norm,
                              const Conv3dOptions& options) {
  Tensor weight = source.weight(conv + ".weight", options.in_channels, options.out_channels, options.kernel_size);
  Tensor bias = options.bias ? source.bias(conv + ".bias", options.out_channels) : Tensor();
  return {Conv3d(options, std::move(weight), std::move(bias)), source.norm(norm, options.out_channels)};
}

NormedLayer<SubmConv3d> make_subm(LayerSource& source, const std::string& conv, const std::string& norm,
                                  const SubmConv3dOptions& options) {
  Tensor weight = source.weight(conv + ".weight", options.in_channels, options.out_channels, options.kernel_size);
  Tensor bias = options.bias ? source.bias(conv + ".bias", options.out_channels) : Tensor();
  return {SubmConv3d(options, std::move(weight), std::move(bias)), source.norm(norm, options.out_channels)};
}

DetectorBackbone make_backbone(LayerSource& source, int64_t in_channels, size_t count) {
  constexpr std::array<int64_t, 6> kChannels = {16, 32, 64, 128, 128, 128};
  DetectorBackbone backbone = {make_subm(source, "conv_input.0", "conv_input.1",
                                         {.in_channels = in_channels, .out_channels = kChannels[0], .bias = false}),
                               {}};
  int64_t channels = kChannels[0];
  for (size_t i = 0; i < count; ++i) {
    const std::string name = fmt::format("conv{}", i + 1);
    DetectorStage stage;
    int first_block = 0;
    if (i > 0) {
      // OpenPCDet pads conv4 by (0, 1, 1) in z, y, x.
      const Triple padding = i == 3 ? Triple(1, 1, 0) : Triple(1);
      stage.down = make_conv(source, name + ".0.0", name + ".0.1",
                             {.in_channels = channels,
                              .out_channels = kChannels[i],
                              .stride = 2,
                              .padding = padding,
                              .bias = false,
                              .support = SupportRule::regular});
      first_block = 1;
    }
    channels = kChannels[i];
    for (int block = first_block; block < first_block + 2; ++block) {
      stage.blocks.push_back(make_block(source, fmt::format("{}.{}", name, block), channels));
    }
    backbone.stages.push_back(std::move(stage));
  }
  return backbone;
}

void check_detector_input(std::string_view network, const SparseTensor& x, int64_t in_channels) {
  if (!x.extent()) {
    fail(ErrorCode::invalid_argument,
         "{}: the input has no extent, which decides what its strided layers keep; make its coordinates with one, such "
         "as (1440, 1440, 41)",
         network);
  }
  if (x.channels() != in_channels) {
    fail(ErrorCode::invalid_argument, "{}: the input has {} channels, the network takes {}", network, x.channels(),
         in_channels);
  }
}

ExportedValue LayerExport::input(int64_t channels, const Triple& extent) {
  if (extent.x < 1 || extent.y < 1 || extent.z < 1) {
    fail(ErrorCode::invalid_argument, "exported: extent {} must be at least 1 on every axis; pass that of the inputs",
         to_string(extent));
  }
  return {builder_.bound(builder_.sparse_input("x", channels), extent), 1, extent};
}

void output_stages(ModelBuilder& builder, const std::vector<ExportedValue>& stages) {
  for (size_t i = 0; i < stages.size(); ++i) builder.output(fmt::format("conv{}", i + 1), stages[i].value);
}

ScaleShift unit_norm(const Tensor& features) {
  const int64_t rows = features.size(0), channels = features.size(1);
  ScaleShift norm = {Tensor::empty(DType::f32, {channels}), Tensor::empty(DType::f32, {channels})};
  for (int64_t c = 0; c < channels; ++c) {
    double sum = 0, squares = 0;
    for (int64_t row = 0; row < rows; ++row) {
      const double value = features.data<float>()[row * channels + c];
      sum += value;
      squares += value * value;
    }
    const double mean = rows > 0 ? sum / static_cast<double>(rows) : 0;
    const double variance = rows > 0 ? squares / static_cast<double>(rows) - mean * mean : 0;
    const double scale = variance > 0 && std::isfinite(variance) ? 1 / std::sqrt(variance) : 1;
    const double rounded = to_ten_bits(scale);
    norm.scale.mutable_data<float>()[c] = static_cast<float>(rounded);
    const double shift = scale == 1 ? 0 : -mean * rounded;
    norm.shift.mutable_data<float>()[c] = static_cast<float>(std::round(shift * 1024) / 1024);
  }
  return norm;
}

}  // namespace lattice
