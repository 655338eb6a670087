#pragma once

#include "lattice/sparse_tensor.h"

namespace lattice {

class Session;

/// Which rows two tensors on different supports have together, in order:
///   inner: lhs rows that rhs has too; left: lhs rows; right: rhs rows; outer: lhs rows, then rhs rows that lhs lacks.
/// At one identity all four are that support, at no cost. Extents: inner and left keep lhs's, right rhs's, outer both
/// where they are equal, else none.
enum class Join : uint8_t { inner, left, right, outer };
std::string_view name(Join join) noexcept;

/// What binary does with two values; the larger or smaller of a NaN and anything is the NaN.
enum class BinaryOp : uint8_t { add, sub, mul, maximum, minimum };
std::string_view name(BinaryOp op) noexcept;

/// An elementwise operation, and what stands where one side has no row; the fills are rounded to the features' type.
struct BinaryOptions {
  BinaryOp op = BinaryOp::add;
  float lhs_fill = 0, rhs_fill = 0;
};

/// lhs op rhs, computed in float32 (float64 on the reference backend) and rounded once. Strides, channels and types
/// must be equal, else invalid_argument.
SparseTensor binary(Session& session, const SparseTensor& lhs, const SparseTensor& rhs, const BinaryOptions& options,
                    Join join = Join::outer);

/// lhs + rhs; a missing side counts as 0. Strides, channels and types must be equal, else invalid_argument.
SparseTensor add(Session& session, const SparseTensor& lhs, const SparseTensor& rhs, Join join = Join::outer);

/// Channels of lhs, then those of rhs; a missing side is 0. Strides and types must be equal, else invalid_argument.
SparseTensor cat(Session& session, const SparseTensor& lhs, const SparseTensor& rhs, Join join = Join::outer);

/// x on other rows: row i of `target` holds x's features at the equal coordinate, or `fill` in every channel, rounded
/// to x's type; x's other rows are dropped. The result has the target's identity. Strides must be equal, else
/// invalid_argument.
SparseTensor reindex(Session& session, const SparseTensor& x, const Support& target, float fill = 0);

}  // namespace lattice
