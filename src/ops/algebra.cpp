#include "lattice/algebra.h"

#include "backend.h"
#include "fail.h"
#include "lattice/session.h"

namespace lattice {
namespace {

void check(std::string_view operation, const SparseTensor& lhs, const SparseTensor& rhs) {
  if (lhs.stride() != rhs.stride()) {
    fail(ErrorCode::invalid_argument,
         "{}: the strides {} and {} must be equal; bring one side to the other's lattice first", operation,
         to_string(lhs.stride()), to_string(rhs.stride()));
  }
  if (lhs.dtype() != rhs.dtype()) {
    fail(ErrorCode::invalid_argument, "{}: the types {} and {} must be equal; convert one side with to()", operation,
         name(lhs.dtype()), name(rhs.dtype()));
  }
}

std::optional<Triple> joined_extent(const CoordSet& lhs, const CoordSet& rhs, Join join) {
  switch (join) {
    case Join::inner:
    case Join::left:
      return lhs.extent();
    case Join::right:
      return rhs.extent();
    case Join::outer:
      break;
  }
  return lhs.extent() == rhs.extent() ? lhs.extent() : std::nullopt;
}

/// `meet` gives the features from the rows that meet; null: row i meets row i.
template <typename Meet>
SparseTensor joined(Session& session, const SparseTensor& lhs, const SparseTensor& rhs, Join join, const Meet& meet) {
  const Support &left = lhs.support(), &right = rhs.support();
  if (left == right) return lhs.with_features(meet(nullptr));
  JoinedRows rows = session.backend().join(*left, *right, join);
  Tensor features = meet(&rows);
  if (join == Join::left) return {left, std::move(features)};
  if (join == Join::right) return {right, std::move(features)};
  return {CoordSet::make(std::move(rows.coords), left->stride(), joined_extent(*left, *right, join)),
          std::move(features)};
}

}  // namespace

std::string_view name(Join join) noexcept {
  switch (join) {
    case Join::inner:
      return "inner";
    case Join::left:
      return "left";
    case Join::right:
      return "right";
    case Join::outer:
      return "outer";
  }
  return "unknown";
}

std::string_view name(BinaryOp op) noexcept {
  switch (op) {
    case BinaryOp::add:
      return "add";
    case BinaryOp::sub:
      return "sub";
    case BinaryOp::mul:
      return "mul";
    case BinaryOp::maximum:
      return "maximum";
    case BinaryOp::minimum:
      return "minimum";
  }
  return "unknown";
}

SparseTensor binary(Session& session, const SparseTensor& lhs, const SparseTensor& rhs, const BinaryOptions& options,
                    Join join) {
  check(name(options.op), lhs, rhs);
  if (lhs.channels() != rhs.channels()) {
    fail(ErrorCode::invalid_argument, "{}: the channels {} and {} must be equal; use cat to put them side by side",
         name(options.op), lhs.channels(), rhs.channels());
  }
  const BinaryOptions rounded = {options.op, rounded_to(options.lhs_fill, lhs.dtype()),
                                 rounded_to(options.rhs_fill, rhs.dtype())};
  return joined(session, lhs, rhs, join, [&](const JoinedRows* rows) {
    return session.backend().binary(lhs.features(), rhs.features(), rows, rounded);
  });
}

SparseTensor add(Session& session, const SparseTensor& lhs, const SparseTensor& rhs, Join join) {
  return binary(session, lhs, rhs, {}, join);
}

SparseTensor cat(Session& session, const SparseTensor& lhs, const SparseTensor& rhs, Join join) {
  check("cat", lhs, rhs);
  return joined(session, lhs, rhs, join,
                [&](const JoinedRows* rows) { return session.backend().cat(lhs.features(), rhs.features(), rows); });
}

SparseTensor reindex(Session& session, const SparseTensor& x, const Support& target, float fill) {
  if (target == nullptr) fail(ErrorCode::invalid_argument, "reindex: a target support is required, found none");
  if (x.stride() != target->stride()) {
    fail(ErrorCode::invalid_argument,
         "reindex: the strides {} and {} must be equal; pass a target on the input's lattice", to_string(x.stride()),
         to_string(target->stride()));
  }
  if (x.support() == target) return x;
  const JoinedRows rows = session.backend().join(*target, *x.support(), Join::left);
  return {target, gather_rows(x.features(), rows.rhs_row, fill)};
}

}  // namespace lattice
