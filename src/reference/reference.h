#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "backend.h"

namespace lattice {

/// The executable specification: docs/semantics.md as plain loops, sums in double precision, coordinates looked up in
/// a hash map, one rounding at the end. Written to be read and believed, not to be fast; the tests' oracle.
class ReferenceBackend final : public Backend {
 public:
  BackendKind kind() const noexcept override { return BackendKind::reference; }
  std::string_view isa() const noexcept override { return "scalar"; }
  Numerics numerics(DType) const noexcept override { return Numerics::float32; }

  NumberedCoords output_coords(RelationKind kind, const CoordSet& source, const ConvGeometry& geometry,
                               const std::optional<Triple>& extent, std::string_view operation) override;
  std::shared_ptr<const Relation> relate(RelationKind kind, const CoordSet& source, const CoordSet& target,
                                         const ConvGeometry& geometry, const Relation* inverse) override;

  std::unique_ptr<const PreparedWeight> prepare(const ConvWeight& weight) const override;
  Tensor convolve(const Tensor& x, const Relation& relation, const ConvWeight& weight,
                  const Epilogue& epilogue) override;
  Tensor linear(const Tensor& x, const ConvWeight& weight, const Epilogue& epilogue) override;

  Tensor pool(const Tensor& x, const Relation& relation, PoolMode mode) override;
  Tensor upsample(const Tensor& x, const Relation& relation, const Triple& stride) override;
  Tensor global_pool(const Tensor& x, const CoordSet& coords, PoolMode mode, int64_t batches) override;

  JoinedRows join(const CoordSet& lhs, const CoordSet& rhs, Join join) override;
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

  Voxels voxelize(const Tensor& points, const Tensor& features, const VoxelizeOptions& options,
                  const Tensor& batch) override;
  Tensor devoxelize(const SparseTensor& voxels, const Tensor& points, const VoxelizeOptions& options,
                    Interpolation interpolation, const Tensor& batch) override;
};

/// One meeting of an input row with an output row through a tap; ordered as EdgeList is.
struct Edge {
  int32_t output = 0, tap = 0, input = 0;

  auto operator<=>(const Edge&) const = default;
};

/// Edges as one sorted array.
class ReferenceRelation final : public Relation {
 public:
  ReferenceRelation(RelationKind kind, int64_t input_rows, int64_t output_rows, int64_t taps, std::vector<Edge> edges);

  int64_t edges() const override { return static_cast<int64_t>(edges_.size()); }
  EdgeList edge_list() const override;
  int64_t nbytes() const override { return static_cast<int64_t>(edges_.capacity() * sizeof(Edge)); }
  const std::vector<Edge>& sorted_edges() const noexcept { return edges_; }

 private:
  std::vector<Edge> edges_;
};

struct CoordHash {
  size_t operator()(const Coord& coord) const noexcept;
};

/// Distinct coordinates, each with the first row that holds it.
class FirstRows {
 public:
  FirstRows() = default;
  explicit FirstRows(std::span<const Coord> coords);

  /// Remembers `row` for `coord` unless an earlier row holds it; tells whether it was new.
  bool insert(const Coord& coord, int64_t row);
  /// The first row that holds `coord`; nothing where none does.
  std::optional<int32_t> find(const Coord& coord) const;
  std::optional<int32_t> find(const std::optional<Coord>& coord) const;

 private:
  std::unordered_map<Coord, int32_t, CoordHash> rows_;
};

/// A place computed in 64 bits as a coordinate; nothing where it leaves int32.
std::optional<Coord> narrowed(int32_t batch, const Triple& place);

/// The elements of an f32, f16 or bf16 tensor, exactly.
std::vector<double> widened(const Tensor& tensor);
/// The values as a tensor of f32, f16 or bf16, each rounded once.
Tensor rounded(const std::vector<double>& values, DType dtype, Shape shape);

/// Array index from a row or channel number, which is never negative.
constexpr size_t at(int64_t index) noexcept {
  return static_cast<size_t>(index);
}

}  // namespace lattice
