#include <optional>

#include "artifact/execute.h"
#include "artifact/limits.h"
#include "artifact/supports.h"
#include "lattice/pool.h"

namespace lattice::artifact {
namespace {

constexpr std::pair<std::string_view, PoolMode> kModes[] = {
    {"sum", PoolMode::sum}, {"max", PoolMode::max}, {"avg", PoolMode::average}};

ConvGeometry geometry_of(const Operation& operation) {
  return ConvGeometry({.kernel_size = triple(operation, "kernel_size"),
                       .stride = triple(operation, "stride"),
                       .padding = triple(operation, "padding"),
                       .dilation = triple(operation, "dilation")},
                      operation.name);
}

/// The target's support, whose stride must be the output's, or a new one.
Slot finer_support(Planner& planner, const Slots& input, const ConvGeometry& geometry) {
  const Triple stride = geometry.finer_stride(planner.stride(input), planner.operation().name);
  if (planner.operands() < 2) return planner.make_support(stride);
  const Slot target = planner.support_of(1);
  const Triple& given = planner.support_facts(target).stride;
  if (given != stride) {
    fail(ErrorCode::corrupt_file, "the target's stride {} must be the output's {}; pass a value of that lattice",
         to_string(given), to_string(stride));
  }
  return target;
}

/// A step from `input` onto a support that is given as a target or derived; compute(run, x, target) gives the result.
template <typename Compute>
void add_upsampling(Planner& planner, const Slots& input, const ConvGeometry& geometry, const Compute& compute) {
  check_feature_type(planner.dtype(input));
  const Slot support = finer_support(planner, input, geometry);
  const bool has_target = planner.operands() == 2;
  const Slots result = planner.make_features(support, planner.dtype(input), planner.channels(input));
  planner.define(0, result);
  Step& step = planner.add([=](Run& run) {
    const SparseTensor x = run.sparse(input);
    const Support target = has_target ? run.support(support) : nullptr;
    if (!has_target) check_sites(*x.support(), geometry);
    const SparseTensor y = compute(run, x, target);
    if (!has_target) check_physical(*y.support());
    run.store(result, y);
  });
  step.reach = {has_target ? RelationKind::target_transposed : RelationKind::transposed, geometry, input,
                has_target ? support : kNoSlot};
}

}  // namespace

void bind_pool(Planner& planner) {
  const Operation& operation = planner.operation();
  const Slots input = planner.sparse(0);
  check_feature_type(planner.dtype(input));
  const ConvGeometry geometry = geometry_of(operation);
  const auto mode = keyword(operation, "mode", kModes);
  const SupportRule rule = operation.name == "regular_pool3d" ? SupportRule::regular : SupportRule::forward;
  std::optional<Triple> extent;
  if (rule == SupportRule::regular && planner.extent(input)) {
    extent = geometry.regular_extent(*planner.extent(input), operation.name);
  }
  const Slot support = planner.make_support(geometry.coarser_stride(planner.stride(input), operation.name), extent);
  const Slots result = planner.make_features(support, planner.dtype(input), planner.channels(input));
  planner.define(0, result);
  Step& step = planner.add([=](Run& run) {
    const SparseTensor x = run.sparse(input);
    if (rule == SupportRule::regular && !extent) check_reached_sites(*x.support(), geometry);
    const SparseTensor y = pool3d(run.session, x, mode, geometry, rule);
    check_physical(*y.support());
    run.store(result, y);
  });
  step.reach = {rule == SupportRule::regular ? RelationKind::regular : RelationKind::forward, geometry, input, kNoSlot};
}

void bind_pool_transpose(Planner& planner) {
  const Slots input = planner.sparse(0);
  const ConvGeometry geometry = geometry_of(planner.operation());
  add_upsampling(planner, input, geometry, [geometry](Run& run, const SparseTensor& x, const Support& target) {
    return pool_transpose3d(run.session, x, geometry, target);
  });
}

void bind_trilinear(Planner& planner) {
  const Slots input = planner.sparse(0);
  const Triple stride = triple(planner.operation(), "stride");
  add_upsampling(planner, input, trilinear_geometry(stride),
                 [stride](Run& run, const SparseTensor& x, const Support& target) {
                   return trilinear_upsample3d(run.session, x, stride, target);
                 });
}

void bind_global_pool(Planner& planner) {
  const Slots input = planner.sparse(0);
  check_feature_type(planner.dtype(input));
  const auto mode = keyword(planner.operation(), "mode", kModes);
  const auto batches = attribute<int64_t>(planner.operation(), "batch_size");
  if (batches < -1) fail(ErrorCode::corrupt_file, "batch_size {} must be at least -1", batches);
  const int64_t channels = planner.channels(input);
  if (batches > 0) check_memory(batches, std::max<int64_t>(channels, 1) * kPooledBytes, "batch_size", batches);
  const Slot result = planner.make_tensor(planner.dtype(input), {batches < 0 ? kAnySize : batches, channels});
  planner.define(0, {result, kNoSlot});
  planner.add([=](Run& run) {
    const SparseTensor x = run.sparse(input);
    const int64_t rows = batches < 0 ? x.support()->batches() : batches;
    if (rows == 0 && mode == PoolMode::max) {
      fail(ErrorCode::invalid_argument, "there is no batch, and nothing has no maximum; pass a scan that has rows");
    }
    check_memory(rows, x.channels() * kPooledBytes, "batches", rows);
    run.tensor(result) = global_pool(run.session, x, mode, rows);
  });
}

}  // namespace lattice::artifact
