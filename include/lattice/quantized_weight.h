#pragma once

#include <optional>

#include "lattice/coords.h"
#include "lattice/tensor.h"

namespace lattice {

/// How a convolution's weights are packed: 4 or 8 bits a code; one scale and one bias a group of 32, 64 or 128 input
/// channels (unset: 64 where C_in >= 64, else 32).
struct PackingOptions {
  int64_t bits = 4;
  std::optional<int64_t> group_size = {};
};

/// Packed affine weights: w = scale * code + bias, with code an unsigned integer of `bits` bits, and one scale and bias
/// for each (tap, output channel, group of input channels). C_in is padded with zeros to a multiple of group_size.
///
/// Stored as docs/quantization.md describes, G = padded C_in / group_size, codes in u32 words with the lowest channel
/// in the lowest bits:
///   spatial (K > 1):    words (K, padded C_in * bits / 32, C_out), scales and biases (K, G, C_out)
///   pointwise (K = 1):  words (1, C_out, padded C_in * bits / 32), scales and biases (1, C_out, G)
/// Immutable; copies share the arrays.
class QuantizedWeight {
 public:
  /// Packs a floating weight: (C_out, Kx, Ky, Kz, C_in), or (C_out, C_in) for linear layers, f32, f16 or bf16. Scales
  /// and biases take the weight's type, f32 for bf16. Throws invalid_argument (bits, group_size, shape, a weight that
  /// is not finite: names its index).
  static QuantizedWeight pack(const Tensor& weight, const PackingOptions& options = {});
  /// From stored arrays; `kernel_size` and `in_channels` give what the arrays cannot tell. Throws invalid_argument
  /// where shapes, types and parameters contradict each other.
  static QuantizedWeight from_arrays(Tensor words, Tensor scales, Tensor biases, int64_t bits, int64_t group_size,
                                     Triple kernel_size, int64_t in_channels);

  /// The weight that the codes stand for, in the layout (C_out, Kx, Ky, Kz, C_in), in the type of the scales: the
  /// product is rounded, then the sum.
  Tensor dequantize() const;

  const Tensor& words() const noexcept { return words_; }
  const Tensor& scales() const noexcept { return scales_; }
  const Tensor& biases() const noexcept { return biases_; }
  int64_t bits() const noexcept { return bits_; }
  int64_t group_size() const noexcept { return group_size_; }
  const Triple& kernel_size() const noexcept { return kernel_size_; }
  int64_t taps() const noexcept { return kernel_size_.x * kernel_size_.y * kernel_size_.z; }
  int64_t in_channels() const noexcept { return in_channels_; }
  int64_t out_channels() const noexcept { return out_channels_; }
  int64_t padded_in_channels() const noexcept { return groups() * group_size_; }
  int64_t groups() const noexcept { return (in_channels_ + group_size_ - 1) / group_size_; }

  /// Code and, as float32, scale and bias of one weight.
  uint32_t code(int64_t tap, int64_t in_channel, int64_t out_channel) const noexcept;
  float scale(int64_t tap, int64_t group, int64_t out_channel) const noexcept;
  float bias(int64_t tap, int64_t group, int64_t out_channel) const noexcept;

  /// Bytes of words, scales and biases.
  int64_t nbytes() const noexcept;
  /// 8 * nbytes() over the number of real weights, padding counted as cost: 40 for a stem of 4 channels in int4.
  double bits_per_weight() const noexcept;

 private:
  QuantizedWeight() = default;

  Tensor words_, scales_, biases_;
  int64_t bits_ = 4, group_size_ = 32;
  Triple kernel_size_ = 1;
  int64_t in_channels_ = 0, out_channels_ = 0;
};

/// The group size that packing takes for `in_channels` where none is given.
constexpr int64_t default_group_size(int64_t in_channels) noexcept {
  return in_channels >= 64 ? 64 : 32;
}

}  // namespace lattice
