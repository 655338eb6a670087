#include "cpu/panel_weight.h"

#include <algorithm>
#include <cmath>

namespace lattice::cpu {
namespace {

/// The codes of a word, lowest channel in the lowest bits, in the order of code_shift.
uint32_t reordered(uint32_t word, int64_t bits) {
  const uint32_t mask = (1U << bits) - 1;
  uint32_t result = 0;
  for (int64_t i = 0; i < 32 / bits; ++i) result |= (word >> (i * bits) & mask) << code_shift(i);
  return result;
}

/// Where a panel that starts at `base` has channel c of a lane.
template <int64_t ChannelsAWord>
int64_t panel_place(int64_t base, int64_t c, int64_t lane, int64_t width) {
  return base + (c / ChannelsAWord * width + lane) * ChannelsAWord + c % ChannelsAWord;
}

/// See PanelCodes::is_centred; so are all weights that were packed with float32 scales and reach to zero.
bool is_multiple(float scale, float bias, int64_t bits) {
  constexpr double kMostInteger = 256;  // of 9 bits, as a bfloat16 is
  if (bias == 0) return true;
  const double zero = std::rint(static_cast<float>(double{bias} / double{scale}));
  return std::abs(double{scale} * zero - double{bias}) <= 0x1p-24 * std::abs(double{bias}) && zero >= -kMostInteger &&
         zero + static_cast<double>((1 << bits) - 1) <= kMostInteger;
}

/// See PanelWeight::suits_integers: the largest group has 128 activations below 2^15, together below 2^22, and the two
/// terms of a sum stay below 2^127.
bool is_moderate(float scale, float bias, int64_t bits) {
  constexpr float kMost = 0x1p104F;
  return std::abs(scale) * static_cast<float>((1 << bits) - 1) <= kMost && std::abs(bias) <= kMost;
}

}  // namespace

PanelWeight::PanelWeight(const ConvWeight& weight, const Kernels& kernels) {
  taps_ = weight.taps();
  channels_ = weight.in_channels();
  out_channels_ = weight.out_channels();
  padded_out_ = (out_channels_ + kernels.lanes - 1) / kernels.lanes * kernels.lanes;
  for (int64_t first = 0; first < padded_out_; first += kernels.panel_width) {
    panels_.push_back({.first = first,
                       .width = std::min(kernels.panel_width, padded_out_ - first),
                       .outputs = std::min(kernels.panel_width, out_channels_ - first)});
  }
  if (weight.is_packed()) {
    pack_codes(weight.packed());
    return;
  }
  const Tensor dense = weight.dense();
  if (dense.dtype() == DType::bf16 && kernels.bf16.exists()) {
    pack_floats<BFloat16, 2>(dense);
  } else {
    pack_floats<float, 1>(dense.to(DType::f32));
  }
  is_whole_ = dense.dtype() == floats_.dtype();
}

const float* PanelWeight::floats(int64_t tap, const Panel& panel) const noexcept {
  return floats_.data<float>() + (tap * padded_out_ + panel.first) * padded_channels_;
}

const uint32_t* PanelWeight::bf16_pairs(int64_t tap, const Panel& panel) const noexcept {
  return static_cast<const uint32_t*>(floats_.raw()) + (tap * padded_out_ + panel.first) * padded_channels_ / 2;
}

PanelCodes PanelWeight::codes(int64_t tap, const Panel& panel) const noexcept {
  const int64_t column = tap * padded_out_ + panel.first;
  return {.words = words_.data<uint32_t>() + column * word_rows_,
          .scales = scales_.data<float>() + column * groups_,
          .biases = biases_.data<float>() + column * groups_,
          .groups = groups_,
          .group_size = group_size_,
          .bits = bits_,
          .width = panel.width,
          .is_centred = is_centred_};
}

std::span<const std::byte> PanelWeight::stored(int64_t tap, const Panel& panel) const noexcept {
  const Tensor& elements = is_packed() ? words_ : floats_;
  const int64_t column_bytes =
      (is_packed() ? word_rows_ : padded_channels_) * static_cast<int64_t>(size_of(elements.dtype()));
  const auto* begin = static_cast<const std::byte*>(elements.raw());
  return {begin + (tap * padded_out_ + panel.first) * column_bytes, static_cast<size_t>(panel.width * column_bytes)};
}

/// visit(tap, output channel, start of its panel in columns, its lane, the panel's width).
template <typename Visit>
void PanelWeight::for_columns(const Visit& visit) const {
  for (int64_t tap = 0; tap < taps_; ++tap) {
    for (const Panel& panel : panels_) {
      for (int64_t lane = 0; lane < panel.width && panel.first + lane < out_channels_; ++lane) {
        visit(tap, panel.first + lane, tap * padded_out_ + panel.first, lane, panel.width);
      }
    }
  }
}

template <typename T, int64_t ChannelsAWord>
void PanelWeight::pack_floats(const Tensor& dense) {
  padded_channels_ = (channels_ + ChannelsAWord - 1) / ChannelsAWord * ChannelsAWord;
  floats_ = Tensor::zeros(dense.dtype(), {taps_ * padded_out_ * padded_channels_});
  const T* from = dense.data<T>();  // (out, taps, in)
  T* to = floats_.mutable_data<T>();
  for_columns([&](int64_t tap, int64_t channel, int64_t base, int64_t lane, int64_t width) {
    for (int64_t c = 0; c < channels_; ++c) {
      to[panel_place<ChannelsAWord>(base * padded_channels_, c, lane, width)] =
          from[(channel * taps_ + tap) * channels_ + c];
    }
  });
}

template <typename T, int64_t ChannelsAWord>
Tensor PanelWeight::unpacked_floats() const {
  Tensor dense = Tensor::empty(floats_.dtype(), {out_channels_, taps_, channels_});
  const T* from = floats_.data<T>();
  T* to = dense.mutable_data<T>();
  for_columns([&](int64_t tap, int64_t channel, int64_t base, int64_t lane, int64_t width) {
    for (int64_t c = 0; c < channels_; ++c) {
      to[(channel * taps_ + tap) * channels_ + c] =
          from[panel_place<ChannelsAWord>(base * padded_channels_, c, lane, width)];
    }
  });
  return dense;
}

Tensor PanelWeight::unpacked() const {
  return is_bf16() ? unpacked_floats<BFloat16, 2>() : unpacked_floats<float, 1>();
}

void PanelWeight::pack_codes(const QuantizedWeight& packed) {
  bits_ = packed.bits();
  group_size_ = packed.group_size();
  groups_ = packed.groups();
  word_rows_ = packed.padded_in_channels() * bits_ / 32;
  words_ = Tensor::zeros(DType::u32, {taps_ * padded_out_ * word_rows_});
  scales_ = Tensor::zeros(DType::f32, {taps_ * padded_out_ * groups_});
  biases_ = Tensor::zeros(DType::f32, {taps_ * padded_out_ * groups_});
  const uint32_t* from = packed.words().data<uint32_t>();
  uint32_t* words = words_.mutable_data<uint32_t>();
  float* scales = scales_.mutable_data<float>();
  float* biases = biases_.mutable_data<float>();
  is_centred_ = suits_integers_ = true;
  for_columns([&](int64_t tap, int64_t channel, int64_t base, int64_t lane, int64_t width) {
    for (int64_t row = 0; row < word_rows_; ++row) {
      const uint32_t word =
          taps_ == 1 ? from[channel * word_rows_ + row] : from[(tap * word_rows_ + row) * out_channels_ + channel];
      words[base * word_rows_ + row * width + lane] = reordered(word, bits_);
    }
    for (int64_t group = 0; group < groups_; ++group) {
      const float scale = packed.scale(tap, group, channel), bias = packed.bias(tap, group, channel);
      scales[base * groups_ + group * width + lane] = scale;
      biases[base * groups_ + group * width + lane] = bias;
      is_centred_ = is_centred_ && is_multiple(scale, bias, bits_);
      suits_integers_ = suits_integers_ && is_moderate(scale, bias, bits_);
    }
  });
}

}  // namespace lattice::cpu
