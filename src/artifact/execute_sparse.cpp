#include <limits>
#include <optional>

#include "artifact/execute.h"
#include "artifact/supports.h"
#include "backend.h"
#include "lattice/algebra.h"
#include "lattice/session.h"

namespace lattice::artifact {
namespace {

constexpr std::pair<std::string_view, Join> kJoins[] = {
    {"inner", Join::inner}, {"left", Join::left}, {"right", Join::right}, {"outer", Join::outer}};
constexpr std::pair<std::string_view, BinaryOp> kBinaryOps[] = {{"add", BinaryOp::add},
                                                                {"sub", BinaryOp::sub},
                                                                {"mul", BinaryOp::mul},
                                                                {"maximum", BinaryOp::maximum},
                                                                {"minimum", BinaryOp::minimum}};

void check_rows(int64_t rows, int64_t support_rows, std::string_view what) {
  if (rows != support_rows) {
    fail(ErrorCode::invalid_argument, "{} rows of features, but {} rows of {}; there must be as many", rows,
         support_rows, what);
  }
}

void check_equal_strides(Planner& planner, const Slots& lhs, const Slots& rhs) {
  if (planner.stride(lhs) == planner.stride(rhs)) return;
  fail(ErrorCode::corrupt_file, "the strides {} and {} must be equal; a join takes values of one lattice",
       to_string(planner.stride(lhs)), to_string(planner.stride(rhs)));
}

/// The support of a join: an operand's where that is known before any run, else a new one.
Slot joined_support(Planner& planner, const Slots& lhs, const Slots& rhs, Join join) {
  if (lhs.support == rhs.support || join == Join::left) return lhs.support;
  if (join == Join::right) return rhs.support;
  const bool keeps = join == Join::inner || planner.extent(lhs) == planner.extent(rhs);
  return planner.make_support(planner.stride(lhs), keeps ? planner.extent(lhs) : std::nullopt);
}

Support bounded(const CoordSet& support, const Triple& asked) {
  Coord largest = {0, 0, 0, 0};  // a negative coordinate is refused by the set
  for (const Coord& c : support.coords()) {
    largest = {0, std::max(largest.x, c.x), std::max(largest.y, c.y), std::max(largest.z, c.z)};
  }
  const auto size = [](int64_t wanted, int32_t last) { return wanted == -1 ? int64_t{last} + 1 : wanted; };
  const Triple extent = {size(asked.x, largest.x), size(asked.y, largest.y), size(asked.z, largest.z)};
  const auto coords = support.coords();
  return CoordSet::make(PooledVector<Coord>(coords.begin(), coords.end()), support.stride(), extent);
}

/// Copies the sides that no step wrote in place.
void concatenate(Run& run, const Concatenation& cat) {
  const auto& [lhs, rhs] = cat.sides;
  if (!lhs.in_place && !rhs.in_place) {
    run.tensor(cat.result) =
        lattice::cat(run.session, run.sparse(lhs.value), run.sparse(rhs.value), Join::inner).features();
    return;
  }
  static_cast<void>(run.sparse({cat.result, lhs.value.support}));  // has as many rows, or throws
  for (const auto& [value, first, in_place] : cat.sides) {
    if (in_place) continue;
    run.session.backend().put(run.sparse(value).features(), {&run.tensor(cat.result), first, cat.channels});
  }
}

}  // namespace

void check_sparse_type(DType dtype) {
  if (is_feature_type(dtype)) return;
  fail(ErrorCode::unsupported, "features are {}, but a sparse value has f32, f16 or bf16; convert the network",
       name(dtype));
}

void check_feature_type(DType dtype) {
  if (dtype == DType::f32 || dtype == DType::f16) return;
  fail(ErrorCode::unsupported, "features are {}, but must be f32 or f16; convert the network", name(dtype));
}

Triple value_stride(const Operation& operation) {
  const Triple stride = triple(operation, "stride");
  // A geometry of this stride alone knows the limits of strides and of their product.
  return ConvGeometry({.kernel_size = 1, .stride = stride}, operation.name).coarser_stride(1, operation.name);
}

void bind_make(Planner& planner) {
  const Slot coords = planner.dense(0), features = planner.dense(1), active = planner.dense(2);
  const Triple stride = value_stride(planner.operation());
  check_sparse_type(planner.facts(features).dtype);
  const Slot known = planner.made_support(coords, active, stride);
  const Slot support = known != kNoSlot ? known : planner.make_support(stride);
  const Slots result =
      planner.make_features(support, planner.facts(features).dtype, planner.facts(features).channels());
  if (known == kNoSlot) planner.remember_support(coords, active, stride, support);
  planner.define(0, result);
  planner.add([=, make_support = known == kNoSlot](Run& run) {
    const int64_t capacity = run.tensor(coords).size(0);
    check_rows(run.tensor(features).size(0), capacity, "coordinates");
    const int64_t rows = active_rows(run.tensor(active), capacity);
    if (make_support) {
      run.support(support) = logical_support(run.tensor(coords), rows, stride);
      run.capacities[static_cast<size_t>(support)] = capacity;
    }
    run.tensor(result.tensor) = first_rows(run.tensor(features), rows);
  });
}

void bind_decompose(Planner& planner) {
  const Slots input = planner.sparse(0);
  const int32_t rows = planner.support_facts(input.support).row_class;
  const Slot coords = planner.make_tensor(DType::i32, {kAnySize, 4}, rows);
  const Slot active = planner.make_tensor(DType::i32, {1});
  planner.define(0, {coords, kNoSlot});
  planner.define(1, {input.tensor, kNoSlot});
  planner.define(2, {active, kNoSlot});
  if (!planner.is_used(0) && !planner.is_used(2)) return planner.leave();
  planner.add([=](Run& run) {
    const CoordSet& support = *run.support(input.support);
    run.tensor(coords) = physical_coords(support);
    run.tensor(active) = count_of(support);
  });
}

void bind_with_features(Planner& planner) {
  const Slot support = planner.support_of(0), features = planner.dense(1);
  const TensorFacts facts = planner.facts(features);
  check_sparse_type(facts.dtype);
  if (facts.row_class == planner.support_facts(support).row_class) {
    planner.define(0, {features, support});
    return planner.leave();
  }
  const Slots result = planner.make_features(support, facts.dtype, facts.channels());
  planner.define(0, result);
  planner.add([=](Run& run) {
    const int64_t rows = run.support(support)->rows(), given = run.tensor(features).size(0);
    const bool padded = given == run.capacities[static_cast<size_t>(support)];
    check_rows(padded ? rows : given, rows, "coordinates");
    run.tensor(result.tensor) = first_rows(run.tensor(features), rows);
  });
}

void bind_reindex(Planner& planner) {
  const Slots input = planner.sparse(0);
  const Slot target = planner.support_of(1);
  check_equal_strides(planner, input, {kNoSlot, target});
  const auto fill = attribute<float>(planner.operation(), "fill");
  const Slots result = planner.make_features(target, planner.dtype(input), planner.channels(input));
  planner.define(0, result);
  planner.add([=](Run& run) {
    run.tensor(result.tensor) = reindex(run.session, run.sparse(input), run.support(target), fill).features();
  });
}

void bind_binary(Planner& planner) {
  const Slots lhs = planner.sparse(0), rhs = planner.sparse(1);
  check_equal_strides(planner, lhs, rhs);
  const Operation& operation = planner.operation();
  const auto join = keyword(operation, "join", kJoins);
  const DType left_type = planner.dtype(lhs), right_type = planner.dtype(rhs);
  const int64_t left = planner.channels(lhs), right = planner.channels(rhs);
  if (left != kAnySize && right != kAnySize && left != right) {
    fail(ErrorCode::corrupt_file, "the channels {} and {} must be equal; use sparse.cat to put them side by side", left,
         right);
  }
  // Each fill in its operand's type, the result in the wider of both.
  const BinaryOptions options = {.op = keyword(operation, "op", kBinaryOps),
                                 .lhs_fill = rounded_to(attribute<float>(operation, "lhs_fill"), left_type),
                                 .rhs_fill = rounded_to(attribute<float>(operation, "rhs_fill"), right_type)};
  const DType dtype = left_type == right_type ? left_type : DType::f32;
  const Slots result = planner.make_features(joined_support(planner, lhs, rhs, join), dtype, std::max(left, right));
  planner.define(0, result);
  Step& step = planner.add([=](Run& run) {
    const SparseTensor a = run.sparse(lhs), b = run.sparse(rhs);
    run.store(result, binary(run.session, a.with_features(a.features().to(dtype)),
                             b.with_features(b.features().to(dtype)), options, join));
  });
  if (lhs.support == rhs.support && options.op == BinaryOp::add && left_type == right_type) {
    step.part = SumPart{lhs.tensor, rhs.tensor};
  }
}

void bind_cat(Planner& planner) {
  const Slots lhs = planner.sparse(0), rhs = planner.sparse(1);
  check_equal_strides(planner, lhs, rhs);
  const auto join = keyword(planner.operation(), "join", kJoins);
  const int64_t left = planner.channels(lhs), right = planner.channels(rhs);
  const Slots result = planner.make_features(joined_support(planner, lhs, rhs, join), planner.dtype(lhs),
                                             left == kAnySize || right == kAnySize ? kAnySize : left + right);
  planner.define(0, result);
  if (lhs.support != rhs.support || left == kAnySize || right == kAnySize || planner.dtype(lhs) != planner.dtype(rhs)) {
    planner.add([=](Run& run) { run.store(result, cat(run.session, run.sparse(lhs), run.sparse(rhs), join)); });
    return;
  }
  const auto columns = std::make_shared<Concatenation>(
      Concatenation{.sides = {{{lhs, 0}, {rhs, left}}}, .result = result.tensor, .channels = left + right});
  planner.add([=](Run& run) { concatenate(run, *columns); }).cat = columns;
}

void bind_bound(Planner& planner) {
  const Slots input = planner.sparse(0);
  const Triple extent = triple(planner.operation(), "extent");
  for (const int64_t size : {extent.x, extent.y, extent.z}) {
    if (size == -1 || (size > 0 && size <= std::numeric_limits<int32_t>::max())) continue;
    fail(ErrorCode::corrupt_file, "extent {} must be above 0, or -1, on every axis, and fit int32", to_string(extent));
  }
  const bool is_known = extent.x > 0 && extent.y > 0 && extent.z > 0;
  const Slot support = planner.make_support(planner.stride(input), is_known ? std::optional(extent) : std::nullopt,
                                            planner.support_facts(input.support).row_class);
  planner.define(0, {input.tensor, support});
  planner.add([=](Run& run) {
    run.support(support) = bounded(*run.support(input.support), extent);
    run.capacities[static_cast<size_t>(support)] = run.capacities[static_cast<size_t>(input.support)];
  });
}

}  // namespace lattice::artifact
