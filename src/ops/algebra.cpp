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

using Combine = Tensor (Backend::*)(const Tensor&, const Tensor&, const JoinedRows*);

SparseTensor combine(Session& session, const SparseTensor& lhs, const SparseTensor& rhs, Join join, Combine operation) {
  Backend& backend = session.backend();
  const Support &left = lhs.support(), &right = rhs.support();
  if (left == right) return lhs.with_features((backend.*operation)(lhs.features(), rhs.features(), nullptr));
  JoinedRows rows = backend.join(*left, *right, join);
  Tensor features = (backend.*operation)(lhs.features(), rhs.features(), &rows);
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

SparseTensor add(Session& session, const SparseTensor& lhs, const SparseTensor& rhs, Join join) {
  check("add", lhs, rhs);
  if (lhs.channels() != rhs.channels()) {
    fail(ErrorCode::invalid_argument, "add: the channels {} and {} must be equal; use cat to put them side by side",
         lhs.channels(), rhs.channels());
  }
  return combine(session, lhs, rhs, join, &Backend::add);
}

SparseTensor cat(Session& session, const SparseTensor& lhs, const SparseTensor& rhs, Join join) {
  check("cat", lhs, rhs);
  return combine(session, lhs, rhs, join, &Backend::cat);
}

}  // namespace lattice
