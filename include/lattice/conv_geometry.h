#pragma once

#include <optional>
#include <string_view>

#include "lattice/coords.h"

namespace lattice {

/// What a convolution's or a pooling's caller may choose; one number or three.
struct ConvOptions {
  Triple kernel_size = 3;
  Triple stride = 1;
  Triple padding = 0;
  Triple dilation = 1;
};

/// Validated kernel geometry: the owner of all index arithmetic between lattices.
///
/// Kernel rows (taps) are enumerated x slowest, z fastest: row k = (ix*Ky + iy)*Kz + iz.
///   forward:    input  = output*stride + offset(k) - padding      with centered offsets
///   regular:    the same                                          with indexed offsets
///   transposed: output = input*stride + offset(k) - padding       with indexed offsets
/// A centered offset is (i - size/2)*dilation on an odd axis and i*dilation on an even one; an indexed offset is
/// i*dilation on every axis. Every value is computed in 64 bits and cannot overflow, since each parameter and each
/// coordinate fits 32: |c*stride| <= 2^31 * (2^31 - 1), |offset| < 2^62 - 2^32, padding < 2^31.
class ConvGeometry {
 public:
  /// Throws invalid_argument, naming `operation`: kernel_size, stride, dilation must be > 0, padding >= 0;
  /// out_of_range: a parameter or the number of taps beyond 2^31 - 1.
  explicit ConvGeometry(const ConvOptions& options, std::string_view operation = "conv_geometry");

  const Triple& kernel_size() const noexcept { return options_.kernel_size; }
  const Triple& stride() const noexcept { return options_.stride; }
  const Triple& padding() const noexcept { return options_.padding; }
  const Triple& dilation() const noexcept { return options_.dilation; }
  const ConvOptions& options() const noexcept { return options_; }

  /// Number of taps: the product of the kernel's sizes.
  int64_t taps() const noexcept { return taps_; }
  /// Offsets of tap k, 0 <= k < taps(), in steps of the finer lattice.
  Triple centered_offset(int64_t tap) const noexcept;
  Triple indexed_offset(int64_t tap) const noexcept;

  /// Kernel 1, stride 1, padding 0, dilation 1: a matrix product on the features.
  bool is_pointwise() const noexcept;
  bool has_unit_stride() const noexcept { return options_.stride == Triple(1); }
  /// Whether no two taps of different inputs can meet in a transposed convolution: stride >= dilation*(size-1) + 1.
  bool taps_never_meet() const noexcept;

  /// stride_in * stride; throws out_of_range, naming `operation`, where a size or the product leaves 2^31 - 1.
  Triple coarser_stride(const Triple& stride_in, std::string_view operation) const;
  /// stride_in / stride; throws invalid_argument, naming both, where a component does not divide.
  Triple finer_stride(const Triple& stride_in, std::string_view operation) const;
  /// floor((extent + 2*padding - dilation*(kernel_size - 1) - 1) / stride) + 1; throws invalid_argument where it is
  /// not positive.
  Triple regular_extent(const Triple& extent, std::string_view operation) const;

  bool operator==(const ConvGeometry& other) const noexcept;

 private:
  Triple tap_position(int64_t tap) const noexcept;

  ConvOptions options_;
  int64_t taps_ = 1;
};

/// floor(a / b) for b > 0, also below zero: floor_divide(-1, 2) == -1.
constexpr int64_t floor_divide(int64_t a, int64_t b) noexcept {
  return a / b - (a % b < 0 ? 1 : 0);
}

}  // namespace lattice
