#include <algorithm>
#include <array>
#include <cstring>
#include <numeric>

#include "activation.h"
#include "cpu/cpu_backend.h"
#include "cpu/relation.h"

// Output-stationary: a task owns a tile of output rows and a block of output channels, keeps their sums in a buffer
// that the second-level cache holds, adds one tap after the other, and stores each output once, through the epilogue.
// Nothing is scattered, no two tasks write the same place, and the order of an output's additions is fixed by the
// relation.

namespace lattice::cpu {
namespace {

// Output channels a task, see kTileRows.
constexpr int64_t kBlockChannels = 64;

struct Panel {
  int64_t first;  // output channel
  int64_t width;  // a multiple of the kernels' lanes; channels beyond C_out are zero
};

/// A weight as panels: of float32 for a floating weight, of codes with scales and biases for a packed one, laid out so
/// that decoding a panel reads everything in order. Panel p of tap k starts at (k * padded_out + p.first) * rows.
class PanelWeight final : public PreparedWeight {
 public:
  PanelWeight(const ConvWeight& weight, const Kernels& kernels) {
    const int64_t out = weight.out_channels();
    padded_out_ = (out + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
    for (int64_t first = 0; first < padded_out_; first += kernels.panel_width) {
      panels_.push_back({first, std::min(kernels.panel_width, padded_out_ - first)});
    }
    if (weight.is_packed()) {
      pack_codes(weight.packed());
    } else {
      pack_floats(weight.dense().to(DType::f32), weight.taps(), weight.in_channels(), out);
    }
  }

  const std::vector<Panel>& panels() const noexcept { return panels_; }

  /// The panel's float32 weights (C_in, width); `scratch` has room for them where they must be decoded.
  const float* floats(const Kernels& kernels, int64_t tap, const Panel& panel, float* scratch) const {
    const auto at = [&](int64_t rows) { return (tap * padded_out_ + panel.first) * rows; };
    if (floats_.defined()) return floats_.data<float>() + at(channels_);
    kernels.decode_panel({.words = words_.data<uint32_t>() + at(word_rows_),
                          .scales = scales_.data<float>() + at(groups_),
                          .biases = biases_.data<float>() + at(groups_),
                          .groups = groups_,
                          .group_size = group_size_,
                          .bits = bits_,
                          .width = panel.width,
                          .panel = scratch});
    return scratch;
  }
  /// Floats that decoding one panel needs.
  int64_t scratch_size(const Kernels& kernels) const {
    return floats_.defined() ? 0 : groups_ * group_size_ * kernels.panel_width;
  }

 private:
  void pack_floats(const Tensor& dense, int64_t taps, int64_t in, int64_t out) {
    channels_ = in;
    floats_ = Tensor::zeros(DType::f32, {taps * padded_out_ * in});
    const float* from = dense.data<float>();  // (out, taps, in)
    float* to = floats_.mutable_data<float>();
    for_columns(taps, out, [&](int64_t tap, int64_t channel, int64_t base, int64_t lane, int64_t width) {
      for (int64_t c = 0; c < in; ++c) to[base * in + c * width + lane] = from[(channel * taps + tap) * in + c];
    });
  }

  void pack_codes(const QuantizedWeight& packed) {
    bits_ = packed.bits();
    group_size_ = packed.group_size();
    groups_ = packed.groups();
    const int64_t codes_a_word = 32 / bits_;
    word_rows_ = packed.padded_in_channels() / codes_a_word;
    const int64_t taps = packed.taps();
    const int64_t out = packed.out_channels();
    words_ = Tensor::zeros(DType::u32, {taps * padded_out_ * word_rows_});
    scales_ = Tensor::zeros(DType::f32, {taps * padded_out_ * groups_});
    biases_ = Tensor::zeros(DType::f32, {taps * padded_out_ * groups_});
    const uint32_t* from = packed.words().data<uint32_t>();
    uint32_t* words = words_.mutable_data<uint32_t>();
    float* scales = scales_.mutable_data<float>();
    float* biases = biases_.mutable_data<float>();
    for_columns(taps, out, [&](int64_t tap, int64_t channel, int64_t base, int64_t lane, int64_t width) {
      for (int64_t row = 0; row < word_rows_; ++row) {
        words[base * word_rows_ + row * width + lane] =
            taps == 1 ? from[channel * word_rows_ + row] : from[(tap * word_rows_ + row) * out + channel];
      }
      for (int64_t group = 0; group < groups_; ++group) {
        scales[base * groups_ + group * width + lane] = packed.scale(tap, group, channel);
        biases[base * groups_ + group * width + lane] = packed.bias(tap, group, channel);
      }
    });
  }

  /// visit(tap, output channel, start of its panel in columns, its lane, the panel's width).
  template <typename Visit>
  void for_columns(int64_t taps, int64_t out, const Visit& visit) const {
    for (int64_t tap = 0; tap < taps; ++tap) {
      for (const Panel& panel : panels_) {
        for (int64_t lane = 0; lane < panel.width && panel.first + lane < out; ++lane) {
          visit(tap, panel.first + lane, tap * padded_out_ + panel.first, lane, panel.width);
        }
      }
    }
  }

  std::vector<Panel> panels_;
  int64_t padded_out_ = 0;
  int64_t channels_ = 0;
  Tensor floats_;
  int64_t bits_ = 0, group_size_ = 0, groups_ = 0, word_rows_ = 0;
  Tensor words_, scales_, biases_;
};

/// A float32 buffer that grows and stays with its thread.
float* scratch_floats(int64_t count, Tensor& buffer) {
  if (!buffer.defined() || buffer.elements() < count) buffer = Tensor::empty(DType::f32, {count});
  return buffer.mutable_data<float>();
}

struct TaskScratch {
  Tensor sums, panel;
};

TaskScratch& task_scratch() {
  static thread_local TaskScratch scratch;
  return scratch;
}

/// An epilogue with its vectors in float32.
class Finisher {
 public:
  explicit Finisher(const Epilogue& epilogue)
      : bias_(floats(epilogue.bias)),
        scale_(floats(epilogue.scale)),
        shift_(floats(epilogue.shift)),
        residual_(epilogue.residual),
        activation_(epilogue.activation) {}

  /// Finishes channels first .. first+count-1 of one output row in place, and stores them.
  template <typename T>
  void finish(float* sums, int64_t row, int64_t first, int64_t count, int64_t out_channels, T* y) const {
    if (bias_.defined()) each(sums, count, bias_.data<float>() + first, [](float sum, float b) { return sum + b; });
    if (scale_.defined()) each(sums, count, scale_.data<float>() + first, [](float sum, float s) { return sum * s; });
    if (shift_.defined()) each(sums, count, shift_.data<float>() + first, [](float sum, float s) { return sum + s; });
    if (residual_.defined()) {
      each(sums, count, residual_.data<T>() + row * out_channels + first,
           [](float sum, T r) { return sum + static_cast<float>(r); });
    }
    if (activation_.kind == ActivationKind::relu) {
      for (int64_t c = 0; c < count; ++c) sums[c] = sums[c] < 0 ? 0.0F : sums[c];
    } else if (activation_.kind != ActivationKind::none) {
      for (int64_t c = 0; c < count; ++c) sums[c] = apply(activation_, sums[c]);
    }
    T* to = y + row * out_channels + first;
    for (int64_t c = 0; c < count; ++c) to[c] = static_cast<T>(sums[c]);
  }

 private:
  static Tensor floats(const Tensor& vector) { return vector.defined() ? vector.to(DType::f32) : vector; }

  template <typename T, typename Combine>
  static void each(float* sums, int64_t count, const T* with, const Combine& combine) {
    for (int64_t c = 0; c < count; ++c) sums[c] = combine(sums[c], with[c]);
  }

  Tensor bias_, scale_, shift_, residual_;
  Activation activation_;
};

/// Convolves float32 inputs: `tile_at(t)` gives the edges of tile t.
template <typename TileAt>
Tensor convolve_tiles(const Tensor& x, DType dtype, int64_t output_rows, const ConvWeight& weight,
                      const PanelWeight& panels, const Kernels& kernels, const Epilogue& epilogue, Workers& workers,
                      const TileAt& tile_at) {
  const int64_t out = weight.out_channels();
  Tensor y = Tensor::empty(dtype, {output_rows, out});
  const Finisher finisher(epilogue);
  const auto panel_count = static_cast<int64_t>(panels.panels().size());
  const int64_t block_panels = std::max<int64_t>(1, kBlockChannels / kernels.panel_width);
  const int64_t blocks = (panel_count + block_panels - 1) / block_panels;
  const int64_t tiles = (output_rows + kTileRows - 1) / kTileRows;
  workers.for_each(tiles * blocks, [&](int64_t task) {
    const TiledRelation::Tile tile = tile_at(task / blocks);
    const auto rows = static_cast<int64_t>(tile.order.size());
    // Blocks of equal numbers of panels, so that none is left with a single narrow one.
    const int64_t block = task % blocks;
    const std::span<const Panel> mine(panels.panels().data() + panel_count * block / blocks,
                                      panels.panels().data() + panel_count * (block + 1) / blocks);
    const int64_t first = mine.front().first;
    const int64_t width = mine.back().first + mine.back().width - first;
    TaskScratch& scratch = task_scratch();
    float* sums = scratch_floats(rows * width, scratch.sums);
    float* decoded = scratch_floats(panels.scratch_size(kernels), scratch.panel);
    std::fill_n(sums, rows * width, 0.0F);
    int64_t edge = 0;
    for (const auto& [tap, count] : tile.runs) {
      for (const Panel& panel : mine) {
        kernels.tap_product({.x = x.data<float>(),
                             .x_stride = weight.in_channels(),
                             .input = tile.input + edge,
                             .slot = tile.slot + edge,
                             .count = count,
                             .panel = panels.floats(kernels, tap, panel, decoded),
                             .channels = weight.in_channels(),
                             .width = panel.width,
                             .sums = sums + (panel.first - first),
                             .sums_stride = width});
      }
      edge += count;
    }
    with_feature_type(dtype, [&](auto* type) {
      using T = std::remove_pointer_t<decltype(type)>;
      T* to = y.mutable_data<T>();
      const int64_t count = std::min(width, out - first);
      for (int64_t slot = 0; slot < rows; ++slot) {
        finisher.finish(sums + slot * width, tile.order[static_cast<size_t>(slot)], first, count, out, to);
      }
    });
  });
  return y;
}

}  // namespace

std::unique_ptr<const PreparedWeight> CpuBackend::prepare(const ConvWeight& weight) const {
  return std::make_unique<const PanelWeight>(weight, kernels_);
}

Tensor CpuBackend::convolve(const Tensor& x, const Relation& relation, const ConvWeight& weight,
                            const Epilogue& epilogue) {
  const auto& tiled = dynamic_cast<const TiledRelation&>(relation);
  const auto& panels = static_cast<const PanelWeight&>(weight.prepared(*this));
  return convolve_tiles(widened(x), x.dtype(), relation.output_rows(), weight, panels, kernels_, epilogue, workers_,
                        [&](int64_t index) { return tiled.tile(index); });
}

Tensor CpuBackend::linear(const Tensor& x, const ConvWeight& weight, const Epilogue& epilogue) {
  const auto& panels = static_cast<const PanelWeight&>(weight.prepared(*this));
  const int64_t rows = x.size(0);
  // Row i meets row i: a tile is one run, its inputs are its outputs.
  std::vector<int32_t> row_numbers(static_cast<size_t>(rows));
  std::iota(row_numbers.begin(), row_numbers.end(), 0);
  std::array<uint16_t, kTileRows> slots;
  std::iota(slots.begin(), slots.end(), uint16_t{0});
  const TiledRelation::Run whole_tile = {0, static_cast<int32_t>(kTileRows)};
  const TiledRelation::Run last_tile = {0, static_cast<int32_t>(rows % kTileRows)};
  return convolve_tiles(widened(x), x.dtype(), rows, weight, panels, kernels_, epilogue, workers_, [&](int64_t index) {
    const int64_t first = index * kTileRows;
    const int64_t count = std::min(kTileRows, rows - first);
    return TiledRelation::Tile{.order = {row_numbers.data() + first, static_cast<size_t>(count)},
                               .runs = {count == kTileRows ? &whole_tile : &last_tile, 1},
                               .input = row_numbers.data() + first,
                               .slot = slots.data()};
  });
}

Tensor CpuBackend::widened(const Tensor& x) {
  if (x.dtype() == DType::f32) return x;
  Tensor wide = Tensor::empty(DType::f32, x.shape());
  const auto* from = static_cast<const uint16_t*>(x.raw());
  float* to = wide.mutable_data<float>();
  const auto widen = x.dtype() == DType::f16 ? kernels_.widen_f16 : kernels_.widen_bf16;
  workers_.for_blocks(x.elements(), int64_t{1} << 16, [&](int64_t first, int64_t last) {
    widen({.from = from + first, .to = to + first, .count = last - first});
  });
  return wide;
}

}  // namespace lattice::cpu
