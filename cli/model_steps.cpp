#include "model_steps.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cstring>
#include <memory>
#include <set>
#include <utility>

namespace lattice::cli {
namespace {

using artifact::Run;
using artifact::Step;
using Clock = std::chrono::steady_clock;

double milliseconds(Clock::time_point from, Clock::time_point to) {
  return std::chrono::duration<double, std::milli>(to - from).count();
}

int64_t bytes_alive(const Run& run) {
  int64_t bytes = 0;
  for (const Tensor& tensor : run.tensors) bytes += tensor.defined() ? static_cast<int64_t>(tensor.nbytes()) : 0;
  for (const Support& support : run.supports) bytes += support ? support->rows() * int64_t{sizeof(Coord)} : 0;
  return bytes;
}

artifact::Slot stored_slot(const Step& step) {
  return step.epilogue != nullptr ? step.epilogue->stored_in() : result_slot(step);
}

/// Measures the steps of one run from between them: the relation of a step is asked for before the step, which then
/// finds it in the session, so that both have times of their own.
class StepMeter {
 public:
  explicit StepMeter(const artifact::Plan& plan) : plan_(plan) { costs_.emplace_back(); }

  void begin() { start_ = last_ = Clock::now(); }

  void done(const Step& step, const Run& run) {
    StepCost& cost = costs_.back();
    cost.ms = milliseconds(last_, Clock::now());
    const Tensor& result = run.tensors[static_cast<size_t>(stored_slot(step))];
    cost.rows = result.rank() > 0 ? result.size(0) : 0;
    if (step.macs > 0 && !has_relation_) cost.edges = cost.rows;
    cost.flop = 2 * cost.edges * step.macs;
    cost.bytes_alive = bytes_alive(run);
    cost.relation_bytes = run.session.relation_bytes();
  }

  /// Call last: from here on the time is the next step's.
  void next(const Run& run) {
    if (costs_.size() == plan_.steps.size()) return;
    const Step& step = plan_.steps[costs_.size()];
    const Clock::time_point begin = Clock::now();
    StepCost cost = {.start_ms = milliseconds(start_, begin)};
    const auto relation = artifact::relation_of(step, run);
    const double relation_ms = milliseconds(begin, Clock::now());
    has_relation_ = relation != nullptr;
    if (has_relation_) cost.edges = relation->edges();
    if (has_relation_ && met_.insert(relation).second) cost.relation_ms = relation_ms;
    costs_.push_back(cost);
    last_ = Clock::now();
  }

  std::vector<StepCost> costs() && { return std::move(costs_); }

 private:
  const artifact::Plan& plan_;
  Clock::time_point start_, last_;
  bool has_relation_ = false;  // the step that runs
  std::set<std::weak_ptr<const Relation>, std::owner_less<>> met_;
  std::vector<StepCost> costs_;
};

}  // namespace

std::string step_name(const Step& step) {
  std::string name = step.operation->name;
  for (const artifact::Operation* fused : step.fused) name += " + " + fused->name;
  return name;
}

double bits_a_weight(const artifact::WeightSize& weights) {
  if (weights.parameters == 0) return 0;
  return 8 * static_cast<double>(weights.bytes) / static_cast<double>(weights.parameters);
}

const std::string& value_name(const artifact::Graph& graph, const Step& step) {
  const artifact::Operation& last = step.fused.empty() ? *step.operation : *step.fused.back();
  return graph.values[static_cast<size_t>(last.results.front())].name;
}

artifact::Slot result_slot(const Step& step) {
  return step.tensor_writes.empty() ? step.tensor_reads.front() : step.tensor_writes.front();
}

Tensor result_of(const artifact::Plan& plan, const Step& step, const Run& run) {
  const Tensor& stored = run.tensors[static_cast<size_t>(stored_slot(step))];
  if (stored_slot(step) == result_slot(step)) return stored;
  const int64_t rows = stored.size(0), channels = plan.tensors[static_cast<size_t>(result_slot(step))].channels();
  const artifact::Placement& at = *step.epilogue->placement;
  Tensor result = Tensor::empty(stored.dtype(), {rows, channels});
  const size_t element = size_of(stored.dtype()), width = static_cast<size_t>(channels) * element;
  for (int64_t row = 0; row < rows; ++row) {
    std::memcpy(static_cast<std::byte*>(result.mutable_raw()) + static_cast<size_t>(row) * width,
                static_cast<const std::byte*>(stored.raw()) + static_cast<size_t>(row * at.total + at.first) * element,
                width);
  }
  return result;
}

std::string placement_text(const artifact::Program& program, const Step& step) {
  if (step.epilogue == nullptr || !step.epilogue->placement) return {};
  const artifact::Plan& plan = program.plan();
  const artifact::Placement& at = *step.epilogue->placement;
  const auto cat = std::find_if(plan.steps.begin(), plan.steps.end(),
                                [&](const Step& other) { return other.cat != nullptr && other.cat->result == at.cat; });
  const int64_t channels = plan.tensors[static_cast<size_t>(step.epilogue->result)].channels();
  return fmt::format("into cat %{} columns {}..{}", value_name(program.graph(), *cat), at.first, at.first + channels);
}

std::vector<StepCost> measure_steps(const Model& model, Session& session, const NamedTensors& inputs,
                                    const artifact::Program::Observe& look) {
  if (model.program().plan().steps.empty()) return {};
  StepMeter meter(model.program().plan());
  meter.begin();
  NamedTensors results;
  model.program().run(session, inputs, results, [&](const Step& step, const Run& run) {
    meter.done(step, run);
    if (look) look(step, run);
    meter.next(run);
  });
  return std::move(meter).costs();
}

double total_ms(const std::vector<StepCost>& costs) {
  double sum = 0;
  for (const StepCost& cost : costs) sum += cost.all_ms();
  return sum;
}

}  // namespace lattice::cli
