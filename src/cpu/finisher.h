#pragma once

#include "cpu/kernels/kernels.h"
#include "cpu/scratch.h"
#include "lattice/epilogue.h"

namespace lattice::cpu {

/// The epilogue of one layer: turns the sums of a tile into stored outputs.
class Finisher {
 public:
  /// `y` is what output_tensor gives for the epilogue's columns and C_out = `channels`, and outlives the finisher.
  Finisher(const Epilogue& epilogue, const Kernels& kernels, int64_t channels, Tensor& y);

  /// Stores channels first .. first + count - 1 of the output rows `order`, whose sums stand in `sums`, one row of
  /// `sums_stride` floats each. Any thread; `scratch` is the thread's own.
  void finish(const float* sums, int64_t sums_stride, std::span<const int32_t> order, int64_t first, int64_t count,
              Scratch& scratch) const;

  /// For make_rows: `channels` from `first` on of output rows `first_row` and on, `rows` of them. Only where outputs
  /// are float32.
  RowFinish rows(int64_t first_row, int64_t rows, int64_t first, int64_t channels) const;
  /// Makes whole rows, the end of which is that of rows().
  void make_rows(const DenseRows& task) const;
  void make_rows(const CodeKernels& kernels, const DenseCodes& task) const;

 private:
  RowFinish task(int64_t first, int64_t count) const;
  bool streams(const RowFinish& task) const;
  template <typename T>
  void finish_narrow(RowFinish task, std::span<const int32_t> order, int64_t first, Scratch& scratch) const;
  template <typename Output>
  void activate_rows(const RowFinish& finish, const Output& output) const;
  void activate(float* y, int64_t count) const;

  const Kernels& kernels_;
  Tensor& y_;
  int64_t channels_, first_column_;
  Tensor bias_, scale_, shift_, residual_;  // the vectors in float32, all or none
  Activation activation_;
};

}  // namespace lattice::cpu
