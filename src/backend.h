#pragma once

#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "block_numbers.h"
#include "lattice/algebra.h"
#include "lattice/backend_kind.h"
#include "lattice/conv_geometry.h"
#include "lattice/conv_weight.h"
#include "lattice/epilogue.h"
#include "lattice/feature.h"
#include "lattice/numerics.h"
#include "lattice/pool.h"
#include "lattice/relation.h"
#include "lattice/voxelize.h"

namespace lattice {

/// A backend's own form of a weight.
class PreparedWeight {
 public:
  virtual ~PreparedWeight() = default;

  /// Whether this form holds a floating weight bit for bit, and that weight, (C_out, K, C_in), from it.
  virtual bool is_whole() const noexcept { return false; }
  virtual Tensor unpacked() const { return {}; }
};

/// The rows of a join: for each output row the row of either side, or -1.
struct JoinedRows {
  PooledVector<Coord> coords;
  PooledVector<int32_t> lhs_row, rhs_row;
};

/// The tensor that a layer stores its outputs (rows, channels) in, whole or in columns.
inline Tensor output_tensor(const Columns& columns, DType dtype, int64_t rows, int64_t channels) {
  if (columns.tensor == nullptr) return Tensor::empty(dtype, {rows, channels});
  if (!columns.tensor->defined()) *columns.tensor = Tensor::empty(dtype, {rows, columns.total});
  return *columns.tensor;
}

/// The seam between the operations and a device: one virtual function an operation. Arguments were validated by the
/// caller (src/ops/), so a backend only computes. Results of one backend are the same bits for any number of threads.
class Backend {
 public:
  virtual ~Backend() = default;

  virtual BackendKind kind() const noexcept = 0;
  virtual std::string_view isa() const noexcept = 0;
  /// How packed weights are multiplied with activations of a type; never automatic.
  virtual Numerics numerics(DType activations) const noexcept = 0;

  /// Coordinates that `kind` (forward, regular, transposed, generative) derives from `source`, in their specified
  /// order; with an output `extent` only those inside. Throws out_of_range where one leaves int32, naming `operation`
  /// and the row. Their blocks come along where the backend knows them.
  virtual NumberedCoords output_coords(RelationKind kind, const CoordSet& source, const ConvGeometry& geometry,
                                       const std::optional<Triple>& extent, std::string_view operation) = 0;
  /// The edges from `source` to `target`, which for the derived kinds is the set of output_coords. Where `inverse` is
  /// not null it holds the same edges from `target` to `source`, no coordinate repeats in either, and a backend may
  /// turn them round instead of searching.
  virtual std::shared_ptr<const Relation> relate(RelationKind kind, const CoordSet& source, const CoordSet& target,
                                                 const ConvGeometry& geometry, const Relation* inverse) = 0;

  virtual std::unique_ptr<const PreparedWeight> prepare(const ConvWeight& weight) const = 0;
  virtual Tensor convolve(const Tensor& x, const Relation& relation, const ConvWeight& weight,
                          const Epilogue& epilogue) = 0;
  virtual Tensor linear(const Tensor& x, const ConvWeight& weight, const Epilogue& epilogue) = 0;

  virtual Tensor pool(const Tensor& x, const Relation& relation, PoolMode mode) = 0;
  /// The mean of the sources weighted by trilinear_weight(stride, tap); 0 without a source.
  virtual Tensor upsample(const Tensor& x, const Relation& relation, const Triple& stride) = 0;
  /// Throws invalid_argument for the maximum of an empty batch.
  virtual Tensor global_pool(const Tensor& x, const CoordSet& coords, PoolMode mode, int64_t batches) = 0;

  virtual JoinedRows join(const CoordSet& lhs, const CoordSet& rhs, Join join) = 0;
  /// Row o is lhs[lhs_row[o]] op rhs[rhs_row[o]], or one after the other; a row of -1 is the side's fill, already of
  /// the features' type, or zeros. Without `rows` row i meets row i.
  virtual Tensor binary(const Tensor& lhs, const Tensor& rhs, const JoinedRows* rows, const BinaryOptions& options) = 0;
  virtual Tensor cat(const Tensor& lhs, const Tensor& rhs, const JoinedRows* rows) = 0;
  /// Copies `x` (N, C), of the columns' type, to columns of a tensor that is there.
  virtual void put(const Tensor& x, const Columns& columns) = 0;

  virtual Tensor activate(const Tensor& x, const Activation& activation) = 0;
  virtual Tensor batch_norm(const Tensor& x, const Tensor& scale, const Tensor& shift, const Tensor& mean,
                            const Tensor& variance, float eps) = 0;
  virtual Tensor layer_norm(const Tensor& x, const Tensor& scale, const Tensor& shift, float eps) = 0;
  virtual Tensor rms_norm(const Tensor& x, const Tensor& scale, float eps) = 0;
  virtual Tensor softmax(const Tensor& x) = 0;
  virtual Tensor elementwise(const Tensor& x, ElementwiseKind kind) = 0;

  virtual Voxels voxelize(const Tensor& points, const Tensor& features, const VoxelizeOptions& options,
                          const Tensor& batch) = 0;
  virtual Tensor devoxelize(const SparseTensor& voxels, const Tensor& points, const VoxelizeOptions& options,
                            Interpolation interpolation, const Tensor& batch) = 0;
};

/// The backends; `threads` is at least 1. cpu throws unsupported where LATTICE_ISA asks for what is not there.
std::unique_ptr<Backend> make_reference_backend();
std::unique_ptr<Backend> make_cpu_backend(int threads, Numerics numerics);

}  // namespace lattice
