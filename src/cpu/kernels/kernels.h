#pragma once

#include <cstdint>

// What a kernel is given: raw pointers in one struct. A kernel allocates nothing, throws nothing, and touches no
// container, so that no inline function compiled for a newer instruction set can be linked in for everyone.

namespace lattice::cpu {

/// sums[slot[e]] += x[input[e]] @ panel, for e = 0 .. count-1, in float32.
///
/// `x` is row-major with `channels` used of `x_stride` floats a row; `panel` is (channels, width), 64-byte aligned;
/// `sums` has `sums_stride` floats a row, of which `width` are added to. `width` is a multiple of the kernel's lanes,
/// at most its panel_width. No slot occurs twice within 8 consecutive edges. Each sum adds its products channel by
/// channel.
struct TapProduct {
  const float* x;
  int64_t x_stride;
  const int32_t* input;
  const uint16_t* slot;
  int64_t count;
  const float* panel;
  int64_t channels;
  int64_t width;
  float* sums;
  int64_t sums_stride;
};

/// panel[c] = scale[c / group_size] * code[c] + bias[c / group_size] for all channels of `width` output channels.
///
/// `words` is (padded channels * bits / 32, width), `scales` and `biases` (groups, width), `panel` (padded channels,
/// width).
struct PanelDecode {
  const uint32_t* words;
  const float* scales;
  const float* biases;
  int64_t groups;
  int64_t group_size;
  int64_t bits;
  int64_t width;
  float* panel;
};

/// 16-bit floats to float32, `count` of them.
struct Widening {
  const uint16_t* from;
  float* to;
  int64_t count;
};

/// The kernels of one instruction set.
struct Kernels {
  const char* isa;
  int64_t lanes;        ///< floats a vector
  int64_t panel_width;  ///< output channels that a panel covers, but for the last one
  void (*tap_product)(const TapProduct&);
  void (*decode_panel)(const PanelDecode&);
  void (*widen_f16)(const Widening&);
  void (*widen_bf16)(const Widening&);
};

}  // namespace lattice::cpu
