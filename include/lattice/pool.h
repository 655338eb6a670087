#pragma once

#include <optional>

#include "lattice/conv.h"

namespace lattice {

class Session;

enum class PoolMode : uint8_t { sum, max, average };
std::string_view name(PoolMode mode) noexcept;

/// Pooling over the edges of the forward (or regular) relation. sum: of the sources present; average: over the number
/// of edges of that row, never the kernel's volume; max: per channel, a NaN propagates. A row without an edge is 0, or
/// -inf for max. Sums are accumulated in float32 and rounded once to x's type.
SparseTensor pool3d(Session& session, const SparseTensor& x, PoolMode mode, const ConvGeometry& geometry,
                    SupportRule support = SupportRule::forward);

/// Averages over the edges of the transposed relation, or of the target transposed one onto `target`; a row without an
/// edge is 0. Output stride x.stride() / stride, which must divide.
SparseTensor pool_transpose3d(Session& session, const SparseTensor& x, const ConvGeometry& geometry,
                              const Support& target = nullptr);

/// Trilinear interpolation onto the lattice that is `stride` times finer: the weighted mean over the sources present of
/// the transposed relation with kernel 2*stride - 1 and padding stride - 1, each axis weighing 1 - |t - c*stride| /
/// stride. Onto `target`, or onto every site that a source reaches; a row without a source is 0.
SparseTensor trilinear_upsample3d(Session& session, const SparseTensor& x, const Triple& stride,
                                  const Support& target = nullptr);
/// The geometry that trilinear_upsample3d derives. Throws as ConvGeometry.
ConvGeometry trilinear_geometry(const Triple& stride);

/// One row a batch: (B, C) of x's type. B is `batches`, or the largest batch + 1; rows of batches beyond B are left
/// out. An empty batch is 0; for max it is an error (invalid_argument) that names the batch.
Tensor global_pool(Session& session, const SparseTensor& x, PoolMode mode,
                   std::optional<int64_t> batches = std::nullopt);

}  // namespace lattice
