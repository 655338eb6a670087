#include "compare_steps.h"

#include <algorithm>
#include <optional>
#include <unordered_map>

#include "measure.h"

namespace lattice::cli {
namespace {

using artifact::Run;
using artifact::Step;

/// What a step leaves: features, and the coordinates that their rows belong to, if any.
struct Left {
  Tensor features;
  Support support;
  std::optional<double> error;
  size_t other = 0;  // the step of B that the error is from
};

Left left_by(const artifact::Plan& plan, const Step& step, const Run& run) {
  const auto slot = static_cast<size_t>(result_slot(step));
  Left left = {.features = result_of(plan, step, run), .support = nullptr, .error = std::nullopt};
  for (size_t i = 0; i < plan.supports.size() && left.support == nullptr; ++i) {
    if (plan.supports[i].row_class == plan.tensors[slot].row_class) left.support = run.supports[i];
  }
  return left;
}

bool comparable(const Left& a, const Left& b) {
  if (!is_feature_type(a.features.dtype()) || !is_feature_type(b.features.dtype())) return false;
  if (a.features.shape() != b.features.shape() || (a.support == nullptr) != (b.support == nullptr)) return false;
  return a.support == nullptr || std::ranges::equal(a.support->coords(), b.support->coords());
}

}  // namespace

StepErrors compare_steps(const ComparedRun& a, const ComparedRun& b) {
  const artifact::Program &first = a.model.program(), &second = b.model.program();
  std::vector<Left> left;
  std::unordered_map<std::string, size_t> step_of;
  const auto keep = [&](const Step& step, const Run& run) {
    step_of[value_name(first.graph(), step)] = left.size();
    left.push_back(left_by(first.plan(), step, run));
  };
  const std::vector<StepCost> costs = measure_steps(a.model, a.session, a.inputs, keep);
  size_t number = 0;
  const auto compare = [&](const Step& step, const Run& run) {
    const size_t own = number++;
    const auto found = step_of.find(value_name(second.graph(), step));
    if (found == step_of.end()) return;
    Left& expected = left[found->second];
    const Left given = left_by(second.plan(), step, run);
    if (comparable(expected, given)) {
      expected.error = relative_l2(given.features, expected.features);
      expected.other = own;
    }
    expected.features = {};
    expected.support = nullptr;
  };
  const std::vector<StepCost> others = measure_steps(b.model, b.session, b.inputs, compare);
  StepErrors result = {.matched = {}, .steps = {costs.size(), others.size()}};
  for (size_t i = 0; i < left.size(); ++i) {
    if (!left[i].error) continue;
    const Step& step = first.plan().steps[i];
    result.matched.push_back({.value = value_name(first.graph(), step),
                              .step = step_name(step),
                              .relative_error = *left[i].error,
                              .ms = {costs[i].all_ms(), others[left[i].other].all_ms()}});
  }
  return result;
}

}  // namespace lattice::cli
