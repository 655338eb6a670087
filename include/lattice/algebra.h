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

/// lhs + rhs; a missing side counts as 0. Strides, channels and types must be equal, else invalid_argument.
SparseTensor add(Session& session, const SparseTensor& lhs, const SparseTensor& rhs, Join join = Join::outer);

/// Channels of lhs, then those of rhs; a missing side is 0. Strides and types must be equal, else invalid_argument.
SparseTensor cat(Session& session, const SparseTensor& lhs, const SparseTensor& rhs, Join join = Join::outer);

}  // namespace lattice
