#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "artifact/plan.h"
#include "artifact/weights.h"
#include "lattice/model.h"

namespace lattice::artifact {

/// A graph with its plan and weights: what a Model shares. Immutable.
class Program {
 public:
  /// Called after each step; what the step wrote is in the run, what it read last is still there.
  using Observe = std::function<void(const Step&, const Run&)>;

  /// `graph` is verified. Throws as Model::load.
  Program(Graph graph, StoredTensors stored);
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  const Graph& graph() const noexcept { return graph_; }
  const Plan& plan() const noexcept { return plan_; }
  const std::vector<ModelInput>& inputs() const noexcept { return inputs_; }
  const std::vector<ModelOutput>& outputs() const noexcept { return outputs_; }

  /// Leaves in `results` exactly the outputs of this run.
  void run(Session& session, const NamedTensors& inputs, NamedTensors& results, const Observe& observe = nullptr) const;

 private:
  void bind_inputs(const NamedTensors& inputs, Run& run) const;
  void execute(const Step& step, Run& run) const;
  void hand_over(Run& run, NamedTensors& results) const;

  Graph graph_;
  Plan plan_;
  std::vector<ModelInput> inputs_;
  std::vector<ModelOutput> outputs_;
};

/// The relation that a step asks the session for, from before or after the step while its supports are there; null for
/// one that needs none. Throws as Session::relate.
std::shared_ptr<const Relation> relation_of(const Step& step, const Run& run);

/// A model from a graph in memory.
inline Model make_model(Graph graph, StoredTensors stored) {
  return Model(std::make_shared<const Program>(std::move(graph), std::move(stored)));
}

}  // namespace lattice::artifact
