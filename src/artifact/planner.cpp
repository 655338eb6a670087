#include "artifact/planner.h"

#include <algorithm>

#include "fail.h"

namespace lattice::artifact {
namespace {

bool is_weight(const Operation& operation) {
  return operation.name == "weight";
}

/// `known` with the sizes that only `declared` tells.
Shape merged(const Shape& known, const Shape& declared, std::string_view value) {
  const auto contradicts = [](int64_t a, int64_t b) { return a != kAnySize && b != kAnySize && a != b; };
  bool wrong = known.size() != declared.size();
  for (size_t axis = 0; !wrong && axis < known.size(); ++axis) wrong = contradicts(known[axis], declared[axis]);
  if (wrong) {
    fail(ErrorCode::corrupt_file, "%{} is declared with shape {}, but has {}; -1 stands for any size", value,
         to_string(declared), to_string(known));
  }
  Shape result = known;
  for (size_t axis = 0; axis < known.size(); ++axis) result[axis] = std::max(known[axis], declared[axis]);
  return result;
}

void check_dtype(const Value& value, ElementType declared, DType found) {
  if (dtype_of_element(declared) == found) return;
  fail(ErrorCode::corrupt_file, "%{} is declared as {}, but the operation gives {}; there is no conversion", value.name,
       name(dtype_of_element(declared)), name(found));
}

}  // namespace

std::string title(const Graph& graph, const Operation& operation) {
  std::string results;
  for (const ValueId result : operation.results) {
    if (!results.empty()) results += ", ";
    results += "%" + graph.values[static_cast<size_t>(result)].name;
  }
  const std::string place = operation.place.line > 0 ? fmt::format(":{}", operation.place.line) : "";
  return fmt::format("graph.mlir{}: {} = {}", place, results, operation.name);
}

Planner::Planner(const Graph& graph, Weights weights)
    : graph_(graph),
      weights_(std::move(weights)),
      values_(graph.values.size()),
      weight_operations_(graph.values.size()),
      uses_(graph.values.size()) {
  for (const Operation& operation : graph.operations) {
    for (const ValueId operand : operation.operands) ++uses_[static_cast<size_t>(operand)];
  }
  for (const ValueId result : graph.results) ++uses_[static_cast<size_t>(result)];
}

Plan Planner::plan() && {
  bind_arguments();
  for (const Operation& operation : graph_.operations) {
    try {
      bind(operation);
    } catch (const Error& error) {
      const ErrorCode code = error.code() == ErrorCode::invalid_argument ? ErrorCode::corrupt_file : error.code();
      fail(code, "{}: {}", title(graph_, operation), error.what());
    }
  }
  bind_results();
  plan_.weights = weights_.size();
  fuse(plan_);
  place_in_cats(plan_);
  find_lifetimes(plan_);
  return std::move(plan_);
}

void Planner::bind_arguments() {
  for (const ValueId argument : graph_.arguments) {
    const Value& value = graph_.values[static_cast<size_t>(argument)];
    const auto* type = std::get_if<TensorType>(&value.type);
    if (type == nullptr) {
      fail(ErrorCode::corrupt_file, "graph.mlir: argument %{} must be a tensor; make sparse values by sparse.make",
           value.name);
    }
    if (type->element == ElementType::i4) {
      fail(ErrorCode::unsupported, "graph.mlir: argument %{} has elements i4, which only packed weights have; pass i8",
           value.name);
    }
    const Slot slot = make_tensor(dtype_of_element(type->element), type->dims);
    values_[static_cast<size_t>(argument)] = {slot, kNoSlot};
    plan_.arguments.push_back(slot);
  }
  step_ = {};
}

void Planner::bind_results() {
  for (size_t i = 0; i < graph_.results.size(); ++i) {
    const auto result = static_cast<size_t>(graph_.results[i]);
    if (values_[result].tensor == kNoSlot) {
      fail(ErrorCode::corrupt_file, "graph.mlir: result %{} is a weight; a network returns tensors",
           graph_.values[result].name);
    }
    plan_.outputs.push_back({graph_.output_names[i], values_[result]});
  }
}

void Planner::bind(const Operation& operation) {
  operation_ = &operation;
  step_ = {};
  step_.operation = &operation;
  if (is_weight(operation)) {
    weights_.check_present(operation);
    weight_operations_[static_cast<size_t>(operation.results.at(0))] = &operation;
    return;
  }
  const WeightSize before = weights_.size();
  const size_t steps = plan_.steps.size();
  bind_of(operation.name)(*this);
  if (plan_.steps.size() > steps) plan_.steps.back().weights = weights_.size() - before;
}

const Slots& Planner::slots_of(size_t operand) const {
  return values_[static_cast<size_t>(operation_->operands.at(operand))];
}

Slot Planner::dense(size_t operand) {
  const Slots& slots = slots_of(operand);
  if (slots.tensor == kNoSlot || slots.support != kNoSlot) {
    fail(ErrorCode::corrupt_file, "operand {} must be a dense tensor", operand);
  }
  step_.tensor_reads.push_back(slots.tensor);
  return slots.tensor;
}

Slots Planner::sparse(size_t operand) {
  const Slot support = support_of(operand);
  const Slot tensor = slots_of(operand).tensor;
  step_.tensor_reads.push_back(tensor);
  return {tensor, support};
}

Slot Planner::support_of(size_t operand) {
  const Slot support = slots_of(operand).support;
  if (support == kNoSlot) fail(ErrorCode::corrupt_file, "operand {} must be a sparse tensor", operand);
  step_.support_reads.push_back(support);
  return support;
}

const Operation& Planner::weight(size_t operand) const {
  const Operation* weight = weight_operations_[static_cast<size_t>(operation_->operands.at(operand))];
  if (weight == nullptr) fail(ErrorCode::corrupt_file, "operand {} must be a weight", operand);
  return *weight;
}

Slot Planner::make_tensor(DType dtype, Shape dims, int32_t row_class) {
  const auto slot = static_cast<Slot>(plan_.tensors.size());
  plan_.tensors.push_back({dtype, std::move(dims), row_class == kNewRows ? ++row_classes_ : row_class});
  step_.tensor_writes.push_back(slot);
  return slot;
}

Slot Planner::make_support(const Triple& stride, std::optional<Triple> extent, int32_t row_class) {
  const auto slot = static_cast<Slot>(plan_.supports.size());
  plan_.supports.push_back({stride, extent, row_class == kNewRows ? ++row_classes_ : row_class});
  step_.support_writes.push_back(slot);
  return slot;
}

Slots Planner::make_features(Slot support, DType dtype, int64_t channels) {
  return {make_tensor(dtype, {kAnySize, channels}, support_facts(support).row_class), support};
}

void Planner::declare(const Value& value, const Slots& slots) {
  TensorFacts& facts = plan_.tensors[static_cast<size_t>(slots.tensor)];
  if (const auto* tensor = std::get_if<TensorType>(&value.type); tensor != nullptr) {
    check_dtype(value, tensor->element, facts.dtype);
    facts.dims = merged(facts.dims, tensor->dims, value.name);
  } else if (const auto* sparse = std::get_if<SparseType>(&value.type); sparse != nullptr) {
    check_dtype(value, sparse->dtype, facts.dtype);
  }
}

void Planner::define(size_t result, const Slots& slots) {
  const auto id = static_cast<size_t>(operation_->results.at(result));
  declare(graph_.values[id], slots);
  values_[id] = slots;
}

bool Planner::is_used(size_t result) const {
  return uses_[static_cast<size_t>(operation_->results.at(result))] > 0;
}

Step& Planner::add(Execute execute) {
  step_.execute = std::move(execute);
  plan_.steps.push_back(std::exchange(step_, {}));
  step_.operation = operation_;
  return plan_.steps.back();
}

Slot Planner::made_support(Slot coords, Slot active, const Triple& stride) const {
  const auto found = made_supports_.find({coords, active, stride.x, stride.y, stride.z});
  return found == made_supports_.end() ? kNoSlot : found->second;
}

void Planner::remember_support(Slot coords, Slot active, const Triple& stride, Slot support) {
  made_supports_.insert({{coords, active, stride.x, stride.y, stride.z}, support});
}

}  // namespace lattice::artifact
