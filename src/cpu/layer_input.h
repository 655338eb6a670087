#pragma once

#include <cstdint>
#include <optional>

#include "cpu/kernels/kernels.h"
#include "cpu/panel_weight.h"
#include "cpu/scratch.h"
#include "cpu/workers.h"
#include "lattice/numerics.h"
#include "lattice/tensor.h"

namespace lattice::cpu {

/// Activations in the form that packed weights are multiplied with, unless in float32.
struct PackedRows {
  const CodeKernels* codes = nullptr;  // null: float32
  const void* x = nullptr;
  const GroupFactors* factors = nullptr;
  const uint8_t* exact = nullptr;  // the rows that stay in float32; null where there are none
};

/// The integers that activations are rounded to.
struct Rounding {
  const IntegerRoute* route;
  int32_t limit;

  /// Of packed weights in these numerics; empty where they are multiplied otherwise.
  static std::optional<Rounding> in(Numerics numerics, const Kernels& kernels);
};

/// Memory of rounded rows.
struct RowScratch {
  Scratch rows, factors, exact;
};

/// Rows of float32 to be rounded, in memory of `scratch`.
class RoundedRows {
 public:
  RoundedRows(const Rounding& rounding, const PanelWeight& weight, int64_t rows, int64_t channels, RowScratch& scratch);

  /// Rows first .. last - 1 of `x`. Any thread.
  void round(const float* x, int64_t first, int64_t last) const;
  /// When all are rounded.
  PackedRows packed() const;

 private:
  Rounding rounding_;
  int64_t rows_, channels_, groups_, group_size_;
  uint8_t* q_;
  GroupFactors* factors_;
  uint8_t* exact_;
};

/// Activations in bfloat16, `stride` a row, for weights that are kept so too.
struct Bf16Rows {
  const uint16_t* x = nullptr;  // null: float32
  int64_t stride = 0;
};

/// What a layer multiplies: float32 rows, where a product asks for them, and rows in the form of a route. Its memory
/// serves one layer after the other.
class LayerInput {
 public:
  /// Reads `x` for the time until the next call, for `weight` and products in `numerics`: never automatic, and bfloat16
  /// only where `x` is that and the kernels have its route.
  void read(const Tensor& x, const Kernels& kernels, Numerics numerics, const PanelWeight& weight, Workers& workers);

  const float* floats() const noexcept { return floats_; }
  const PackedRows& packed_rows() const noexcept { return packed_rows_; }
  const Bf16Rows& bf16_rows() const noexcept { return bf16_rows_; }
  /// float32 rows that a kernel splits, filled up to whole groups; null where it does not.
  const float* split_rows() const noexcept { return split_rows_; }

 private:
  void widen(const Tensor& x, const Kernels& kernels, Workers& workers);
  /// Rows of `from` with zeros up to `row_channels`, on a boundary of 4 bytes; where that is so, `from` itself.
  template <typename T>
  const T* padded(const T* from, int64_t rows, int64_t channels, int64_t row_channels, Workers& workers);
  void sum_groups(const Tensor& x, const Bf16Route& route, const PanelWeight& weight, Workers& workers);

  Scratch wide_;
  RowScratch scratch_;
  const float* floats_ = nullptr;
  PackedRows packed_rows_;
  Bf16Rows bf16_rows_;
  const float* split_rows_ = nullptr;
};

}  // namespace lattice::cpu
