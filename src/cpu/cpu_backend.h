#pragma once

#include "backend.h"
#include "cpu/kernels/kernels.h"
#include "cpu/kernels/select.h"
#include "cpu/layer_input.h"
#include "cpu/scratch.h"
#include "cpu/workers.h"

namespace lattice::cpu {

class TiledRelation;

/// All operations on CPU threads; one source file an area.
class CpuBackend final : public Backend {
 public:
  CpuBackend(int threads, Numerics numerics) : CpuBackend(threads, numerics, select_kernels()) {}

  BackendKind kind() const noexcept override { return BackendKind::cpu; }
  std::string_view isa() const noexcept override { return kernels_.isa; }
  Numerics numerics(DType activations) const noexcept override;

  // coordinates.cpp
  NumberedCoords output_coords(RelationKind kind, const CoordSet& source, const ConvGeometry& geometry,
                               const std::optional<Triple>& extent, std::string_view operation) override;
  std::shared_ptr<const Relation> relate(RelationKind kind, const CoordSet& source, const CoordSet& target,
                                         const ConvGeometry& geometry, const Relation* inverse) override;
  JoinedRows join(const CoordSet& lhs, const CoordSet& rhs, Join join) override;

  // convolution.cpp
  std::unique_ptr<const PreparedWeight> prepare(const ConvWeight& weight) const override;
  Tensor convolve(const Tensor& x, const Relation& relation, const ConvWeight& weight,
                  const Epilogue& epilogue) override;
  Tensor linear(const Tensor& x, const ConvWeight& weight, const Epilogue& epilogue) override;

  // pooling.cpp
  Tensor pool(const Tensor& x, const Relation& relation, PoolMode mode) override;
  Tensor upsample(const Tensor& x, const Relation& relation, const Triple& stride) override;
  Tensor global_pool(const Tensor& x, const CoordSet& coords, PoolMode mode, int64_t batches) override;

  // features.cpp
  Tensor binary(const Tensor& lhs, const Tensor& rhs, const JoinedRows* rows, const BinaryOptions& options) override;
  Tensor cat(const Tensor& lhs, const Tensor& rhs, const JoinedRows* rows) override;
  void put(const Tensor& x, const Columns& columns) override;
  Tensor activate(const Tensor& x, const Activation& activation) override;
  Tensor batch_norm(const Tensor& x, const Tensor& scale, const Tensor& shift, const Tensor& mean,
                    const Tensor& variance, float eps) override;
  Tensor layer_norm(const Tensor& x, const Tensor& scale, const Tensor& shift, float eps) override;
  Tensor rms_norm(const Tensor& x, const Tensor& scale, float eps) override;
  Tensor softmax(const Tensor& x) override;
  Tensor elementwise(const Tensor& x, ElementwiseKind kind) override;

  // voxels.cpp
  Voxels voxelize(const Tensor& points, const Tensor& features, const VoxelizeOptions& options,
                  const Tensor& batch) override;
  Tensor devoxelize(const SparseTensor& voxels, const Tensor& points, const VoxelizeOptions& options,
                    Interpolation interpolation, const Tensor& batch) override;

 private:
  CpuBackend(int threads, Numerics numerics, const SelectedKernels& selected);

  template <typename TileAt>
  Tensor convolve_with(const Tensor& x, int64_t output_rows, const ConvWeight& weight, Numerics numerics,
                       const Epilogue& epilogue, const TileAt& tile_at);

  static bool makes_rows(const Tensor& x, const ConvWeight& weight, Numerics numerics);
  std::optional<Rounding> row_rounding(const Tensor& x, const ConvWeight& weight, Numerics numerics) const;
  Tensor dense_linear(const Tensor& x, const ConvWeight& weight, const Epilogue& epilogue);
  Tensor dense_linear_of_codes(const Tensor& x, const ConvWeight& weight, const Rounding& rounding,
                               const Epilogue& epilogue);
  Tensor convolve_edges(const Tensor& x, const TiledRelation& relation, const ConvWeight& weight,
                        const Epilogue& epilogue);

  const PanelWeight& panels_of(const ConvWeight& weight) const;
  Numerics layer_numerics(DType activations, const ConvWeight& weight, bool reads_once) const;

  const Kernels& kernels_;
  Numerics numerics_;  // as asked for
  bool integers_pay_;
  Workers workers_;
  LayerInput input_;
  Scratch decoded_;  // a small packed weight
};

/// Calls visit with a null pointer of the element type that a feature tensor has: float, Float16 or BFloat16.
template <typename Visit>
decltype(auto) with_feature_type(DType dtype, const Visit& visit) {
  if (dtype == DType::f16) return visit(static_cast<Float16*>(nullptr));
  if (dtype == DType::bf16) return visit(static_cast<BFloat16*>(nullptr));
  return visit(static_cast<float*>(nullptr));
}

}  // namespace lattice::cpu
