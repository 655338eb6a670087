#pragma once

#include <memory>
#include <variant>

#include "lattice/quantized_weight.h"
#include "lattice/tensor.h"

namespace lattice {

class Backend;
class PreparedWeight;

/// The weight of a convolution or linear layer, floating or packed: W[k] of shape (C_in, C_out) for each tap k.
///
/// A handle to immutable data: copies share it, and any thread may use it. A backend packs it into panels of its own on
/// first use; these are kept with the weight and shared by all sessions on that backend. Where panels hold a floating
/// weight bit for bit, they replace the layout that it came in, so that it is in memory once.
class ConvWeight {
 public:
  /// A floating weight (C_out, Kx, Ky, Kz, C_in), or (C_out, C_in) for a pointwise one, of f32, f16 or bf16.
  /// Throws invalid_argument.
  explicit ConvWeight(Tensor weight);
  explicit ConvWeight(QuantizedWeight weight);
  /// From the kernel-major layout (K, C_in, C_out), K the product of `kernel_size`.
  static ConvWeight from_kernel_major(const Tensor& weight, Triple kernel_size);

  bool is_packed() const noexcept;
  /// The floating weight, always (C_out, Kx, Ky, Kz, C_in); a copy, made from the panels, once they replaced it. Throws
  /// invalid_argument on a packed one.
  Tensor dense() const;
  /// Throws invalid_argument on a floating one.
  const QuantizedWeight& packed() const;

  const Triple& kernel_size() const noexcept;
  int64_t taps() const noexcept;
  int64_t in_channels() const noexcept;
  int64_t out_channels() const noexcept;
  /// Bytes as stored, without a backend's panels.
  int64_t nbytes() const noexcept;

  /// For backends: their own form of this weight, made on first use.
  const PreparedWeight& prepared(const Backend& backend) const;

 private:
  struct Data;
  std::shared_ptr<Data> data_;
};

}  // namespace lattice
