#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "backend.h"
#include "cpu/kernels/kernels.h"
#include "lattice/conv_weight.h"

namespace lattice::cpu {

struct Panel {
  int64_t first;    // output channel
  int64_t width;    // a multiple of the kernels' lanes; channels beyond C_out are zero
  int64_t outputs;  // those that are not
};

/// A weight as panels of output channels: of float32 for a floating weight, of bfloat16 for one that is where the
/// kernels multiply such, of codes with scales and biases for a packed one. Laid out so that a product, or the decoding
/// before it, reads everything in order.
class PanelWeight final : public PreparedWeight {
 public:
  PanelWeight(const ConvWeight& weight, const Kernels& kernels);

  bool is_whole() const noexcept override { return is_whole_; }
  Tensor unpacked() const override;

  const std::vector<Panel>& panels() const noexcept { return panels_; }
  bool is_packed() const noexcept { return words_.defined(); }
  int64_t taps() const noexcept { return taps_; }
  /// The widths of all panels.
  int64_t padded_out() const noexcept { return padded_out_; }
  /// See PanelCodes.
  bool is_centred() const noexcept { return is_centred_; }
  /// Whether a group's integers, times its scales and biases, stay finite before the rows' scales meet them.
  bool suits_integers() const noexcept { return suits_integers_; }
  bool is_bf16() const noexcept { return floats_.defined() && floats_.dtype() == DType::bf16; }
  /// C_in, with a channel of zeros more where pairs need it.
  int64_t padded_channels() const noexcept { return padded_channels_; }
  int64_t groups() const noexcept { return groups_; }
  int64_t group_size() const noexcept { return group_size_; }

  /// A floating weight's panel for a tap: (C_in, width) of float32, or (padded_channels / 2, width, 2) of bfloat16.
  const float* floats(int64_t tap, const Panel& panel) const noexcept;
  const uint32_t* bf16_pairs(int64_t tap, const Panel& panel) const noexcept;
  /// A packed weight's, to be decoded.
  PanelCodes codes(int64_t tap, const Panel& panel) const noexcept;
  /// The elements of whichever of these there is, but for scales and biases.
  std::span<const std::byte> stored(int64_t tap, const Panel& panel) const noexcept;

 private:
  /// `ChannelsAWord` of a column's channels lie side by side.
  template <typename T, int64_t ChannelsAWord>
  void pack_floats(const Tensor& dense);
  template <typename T, int64_t ChannelsAWord>
  Tensor unpacked_floats() const;
  void pack_codes(const QuantizedWeight& packed);
  template <typename Visit>
  void for_columns(const Visit& visit) const;

  // Panel p of tap k starts at (k * padded_out + p.first) * rows of each of these.
  std::vector<Panel> panels_;
  int64_t padded_out_ = 0;
  int64_t taps_ = 0, channels_ = 0, padded_channels_ = 0, out_channels_ = 0;
  bool is_whole_ = false;
  Tensor floats_;
  bool is_centred_ = false, suits_integers_ = false;
  int64_t bits_ = 0, group_size_ = 0, groups_ = 0, word_rows_ = 0;
  Tensor words_, scales_, biases_;
};

}  // namespace lattice::cpu
