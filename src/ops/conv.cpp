#include "lattice/conv.h"

#include "backend.h"
#include "fail.h"
#include "lattice/session.h"
#include "ops/checks.h"

namespace lattice {
namespace {

constexpr int64_t kRowsUnknown = -1;

void check_weight(std::string_view operation, const SparseTensor& x, const ConvWeight& weight,
                  const ConvGeometry& geometry) {
  if (weight.kernel_size() != geometry.kernel_size()) {
    fail(ErrorCode::invalid_argument, "{}: the weight's kernel_size {} must be the geometry's {}", operation,
         to_string(weight.kernel_size()), to_string(geometry.kernel_size()));
  }
  if (weight.in_channels() != x.channels()) {
    fail(ErrorCode::invalid_argument, "{}: the input has {} channels, but the weight takes {}; they must be equal",
         operation, x.channels(), weight.in_channels());
  }
}

/// Everything that can be said before the relation exists; `rows` are the output's, where they are known already.
void check(std::string_view operation, const SparseTensor& x, const ConvWeight& weight, const ConvGeometry& geometry,
           const Epilogue& epilogue, int64_t rows) {
  check_weight(operation, x, weight, geometry);
  check_epilogue(operation, epilogue, x.dtype(), weight.out_channels(), rows);
}

SparseTensor convolve(Session& session, RelationKind kind, const SparseTensor& x, const ConvWeight& weight,
                      const ConvGeometry& geometry, const Support& target, const Epilogue& epilogue,
                      std::string_view operation) {
  const RelatedSupport related = session.relate(kind, x.support(), geometry, target, operation);
  check_epilogue(operation, epilogue, x.dtype(), weight.out_channels(), related.output->rows());
  return {related.output, session.backend().convolve(x.features(), *related.relation, weight, epilogue)};
}

}  // namespace

SparseTensor conv3d(Session& session, const SparseTensor& x, const ConvWeight& weight, const ConvGeometry& geometry,
                    const Support& target, const Epilogue& epilogue, SupportRule support) {
  constexpr std::string_view kOperation = "conv3d";
  if (target == nullptr && geometry.is_pointwise()) {
    // Both rules lead to the input's coordinates, and an extent stays what it was.
    check(kOperation, x, weight, geometry, epilogue, x.rows());
    return x.with_features(session.backend().linear(x.features(), weight, epilogue));
  }
  check(kOperation, x, weight, geometry, epilogue, target != nullptr ? target->rows() : kRowsUnknown);
  // An explicit target leaves no support to derive, so `support` is not looked at: its edges always take the centered
  // offsets of the forward rule, never the indexed ones of the regular rule.
  const RelationKind derived = support == SupportRule::regular ? RelationKind::regular : RelationKind::forward;
  const RelationKind kind = target != nullptr ? RelationKind::target : derived;
  return convolve(session, kind, x, weight, geometry, target, epilogue, kOperation);
}

SparseTensor subm_conv3d(Session& session, const SparseTensor& x, const ConvWeight& weight,
                         const ConvGeometry& geometry, const Epilogue& epilogue) {
  constexpr std::string_view kOperation = "subm_conv3d";
  check(kOperation, x, weight, geometry, epilogue, x.rows());
  return convolve(session, RelationKind::submanifold, x, weight, geometry, nullptr, epilogue, kOperation);
}

SparseTensor conv_transpose3d(Session& session, const SparseTensor& x, const ConvWeight& weight,
                              const ConvGeometry& geometry, const Support& target, const Epilogue& epilogue) {
  constexpr std::string_view kOperation = "conv_transpose3d";
  check(kOperation, x, weight, geometry, epilogue, target != nullptr ? target->rows() : kRowsUnknown);
  const RelationKind kind = target != nullptr ? RelationKind::target_transposed : RelationKind::transposed;
  return convolve(session, kind, x, weight, geometry, target, epilogue, kOperation);
}

SparseTensor generative_conv_transpose3d(Session& session, const SparseTensor& x, const ConvWeight& weight,
                                         const ConvGeometry& geometry, const Epilogue& epilogue) {
  constexpr std::string_view kOperation = "generative_conv_transpose3d";
  check(kOperation, x, weight, geometry, epilogue, x.rows() * geometry.taps());
  return convolve(session, RelationKind::generative, x, weight, geometry, nullptr, epilogue, kOperation);
}

}  // namespace lattice
