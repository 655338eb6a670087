#include "artifact/program.h"

#include <fmt/ranges.h>

#include <algorithm>

#include "artifact/planner.h"
#include "artifact/supports.h"
#include "fail.h"
#include "io/shown_text.h"
#include "lattice/session.h"

namespace lattice::artifact {
namespace {

ModelRole role_of(Role role) {
  switch (role) {
    case Role::tensor:
      return ModelRole::tensor;
    case Role::sparse_coords:
      return ModelRole::sparse_coords;
    case Role::sparse_features:
      return ModelRole::sparse_features;
    case Role::sparse_active:
      return ModelRole::sparse_active;
    case Role::sparse_tensor:
      return ModelRole::sparse_tensor;
  }
  fail(ErrorCode::corrupt_file, "graph.mlir: there is no role {}", static_cast<int>(role));
}

bool matches(const Shape& shape, const Shape& dims) {
  return std::equal(shape.begin(), shape.end(), dims.begin(), dims.end(),
                    [](int64_t size, int64_t asked) { return asked == kAnySize || size == asked; });
}

std::string shape_text(const Shape& dims) {
  std::vector<std::string> sizes;
  for (const int64_t size : dims) sizes.push_back(size == kAnySize ? "?" : std::to_string(size));
  return fmt::format("({})", fmt::join(sizes, ", "));
}

void check_input(const ModelInput& input, const Tensor& given) {
  if (given.dtype() != input.dtype) {
    fail(ErrorCode::invalid_argument, "model: input {} is {}, but must be {}; nothing is converted", shown(input.name),
         name(given.dtype()), name(input.dtype));
  }
  if (!matches(given.shape(), input.shape)) {
    fail(ErrorCode::invalid_argument, "model: input {} has shape {}, but must be {}", shown(input.name),
         to_string(given.shape()), shape_text(input.shape));
  }
}

std::string list_of(const std::vector<std::string>& names) {
  std::vector<std::string> texts;
  for (const std::string& name : names) texts.push_back(shown(name));
  return fmt::format("{}", fmt::join(texts, ", "));
}

}  // namespace

std::shared_ptr<const Relation> relation_of(const Step& step, const Run& run) {
  if (!step.reach || step.reach->kind == RelationKind::pointwise) return nullptr;
  const auto& [kind, geometry, input, target] = *step.reach;
  const auto support = [&](Slot slot) { return slot == kNoSlot ? nullptr : run.supports[static_cast<size_t>(slot)]; };
  return run.session.relate(kind, support(input.support), geometry, support(target), step.operation->name).relation;
}

Program::Program(Graph graph, StoredTensors stored)
    : graph_(std::move(graph)), plan_(Planner(graph_, Weights(std::move(stored))).plan()) {
  for (size_t i = 0; i < graph_.arguments.size(); ++i) {
    const TensorFacts& facts = plan_.tensors[static_cast<size_t>(plan_.arguments[i])];
    inputs_.push_back({graph_.input_names[i], role_of(graph_.input_roles[i]), facts.dtype, facts.dims});
  }
  for (size_t i = 0; i < plan_.outputs.size(); ++i) {
    const std::string& name = plan_.outputs[i].name;
    const Slots& slots = plan_.outputs[i].slots;
    const TensorFacts& facts = plan_.tensors[static_cast<size_t>(slots.tensor)];
    const bool sparse = slots.support != kNoSlot;
    const SupportFacts support = sparse ? plan_.supports[static_cast<size_t>(slots.support)] : SupportFacts();
    outputs_.push_back(
        {name, role_of(graph_.output_roles[i]), sparse, facts.dtype, facts.dims, support.stride, support.extent});
  }
}

void Program::run(Session& session, const NamedTensors& inputs, NamedTensors& results, const Observe& observe) const {
  Run run = {.session = session,
             .tensors = PooledVector<Tensor>(plan_.tensors.size()),
             .supports = PooledVector<Support>(plan_.supports.size()),
             .capacities = PooledVector<int64_t>(plan_.supports.size(), -1)};
  bind_inputs(inputs, run);
  for (const Step& step : plan_.steps) {
    execute(step, run);
    if (observe) observe(step, run);
    for (const Slot slot : step.tensor_drops) run.tensor(slot) = {};
    for (const Slot slot : step.support_drops) run.support(slot) = nullptr;
  }
  hand_over(run, results);
}

void Program::bind_inputs(const NamedTensors& inputs, Run& run) const {
  for (size_t i = 0; i < inputs_.size(); ++i) {
    const auto given = inputs.find(inputs_[i].name);
    if (given == inputs.end()) {
      fail(ErrorCode::invalid_argument, "model: input {} is missing; it takes {}", shown(inputs_[i].name),
           list_of(graph_.input_names));
    }
    check_input(inputs_[i], given->second);
    run.tensor(plan_.arguments[i]) = given->second;
  }
  if (inputs.size() == inputs_.size()) return;
  for (const auto& [name, tensor] : inputs) {
    const auto& names = graph_.input_names;
    if (std::find(names.begin(), names.end(), name) != names.end()) continue;
    fail(ErrorCode::invalid_argument, "model: there is no input {}; it takes {}", shown(name),
         list_of(graph_.input_names));
  }
}

void Program::execute(const Step& step, Run& run) const {
  try {
    step.execute(run);
    for (const Slot slot : step.tensor_writes) {
      if (step.epilogue != nullptr && step.epilogue->stored_in() != slot) continue;  // columns of what comes later
      const auto& dims = plan_.tensors[static_cast<size_t>(slot)].dims;
      if (matches(run.tensor(slot).shape(), dims)) continue;
      fail(ErrorCode::invalid_argument, "the result has shape {}, but is declared as {}; pass an input that gives it",
           to_string(run.tensor(slot).shape()), shape_text(dims));
    }
  } catch (const Error& error) {
    fail(error.code(), "{}: {}", title(graph_, *step.operation), error.what());
  }
}

void Program::hand_over(Run& run, NamedTensors& results) const {
  size_t count = 0;
  const auto put = [&](const std::string& name, Tensor tensor) {
    results.insert_or_assign(name, std::move(tensor));
    ++count;
  };
  for (const OutputSlots& output : plan_.outputs) {
    const Tensor& tensor = run.tensor(output.slots.tensor);
    if (output.slots.support == kNoSlot) {
      put(output.name, tensor);
      continue;
    }
    const CoordSet& support = *run.support(output.slots.support);
    put(output.coords_name, physical_coords(support));
    put(output.features_name, tensor);
    put(output.active_name, count_of(support));
  }
  if (results.size() == count) return;
  // What an earlier model left.
  std::erase_if(results, [this](const auto& item) {
    const auto is_named = [&](const OutputSlots& output) {
      const bool sparse = output.slots.support != kNoSlot;
      return sparse ? item.first == output.coords_name || item.first == output.features_name ||
                          item.first == output.active_name
                    : item.first == output.name;
    };
    return std::none_of(plan_.outputs.begin(), plan_.outputs.end(), is_named);
  });
}

}  // namespace lattice::artifact
