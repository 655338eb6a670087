#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "artifact/program.h"
#include "lattice/model.h"
#include "lattice/session.h"

namespace lattice::cli {

/// "subm_conv3d + batch_norm + activation": the operations that run as one step.
std::string step_name(const artifact::Step& step);

/// The mean over all parameters as stored, scales and biases of packed weights included; 0 where there are none.
double bits_a_weight(const artifact::WeightSize& weights);

/// The SSA name, without %, of the value that a step leaves.
const std::string& value_name(const artifact::Graph& graph, const artifact::Step& step);

/// The slot of the tensor that a step leaves: its operand's, where it makes coordinates alone (sparse.bound).
artifact::Slot result_slot(const artifact::Step& step);

/// What a step has just left; a copy where it stands in columns of a concatenation.
Tensor result_of(const artifact::Plan& plan, const artifact::Step& step, const artifact::Run& run);

/// Where a step writes to in a concatenation, "into cat %12 columns 0..96"; empty for others.
std::string placement_text(const artifact::Program& program, const artifact::Step& step);

/// What one step has cost in a run.
struct StepCost {
  double start_ms = 0;         ///< since the run began; of the relation, where the step had to build one
  double relation_ms = 0;      ///< finding the edges; 0 where they were known
  double ms = 0;               ///< all else
  int64_t rows = 0;            ///< of the result
  int64_t edges = 0;           ///< of a convolution or pooling; rows of a linear layer; else 0
  int64_t flop = 0;            ///< 2 * edges * C_in * C_out
  int64_t bytes_alive = 0;     ///< features and coordinates that are there when the step is done
  int64_t relation_bytes = 0;  ///< all relations that are there then
  double gflops() const { return ms > 0 ? static_cast<double>(flop) / ms / 1e6 : 0; }
  double all_ms() const { return relation_ms + ms; }
};

/// Runs a model once and measures each step, in the plan's order. `look` is called after each, outside of the time
/// measured.
std::vector<StepCost> measure_steps(const Model& model, Session& session, const NamedTensors& inputs,
                                    const artifact::Program::Observe& look = nullptr);

/// The sum of all_ms.
double total_ms(const std::vector<StepCost>& costs);

}  // namespace lattice::cli
