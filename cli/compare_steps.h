#pragma once

#include <array>
#include <string>
#include <vector>

#include "model_steps.h"

namespace lattice::cli {

/// A model's run to compare.
struct ComparedRun {
  const Model& model;
  Session& session;
  const NamedTensors& inputs;
};

/// How far a value of both runs differs, and what the steps that leave it cost.
struct StepError {
  std::string value, step;  ///< the value's SSA name; the operations of A's step
  double relative_error = 0;
  std::array<double, 2> ms = {0, 0};
};

struct StepErrors {
  std::vector<StepError> matched;  ///< in A's order
  std::array<size_t, 2> steps = {0, 0};
};

/// Runs both and compares the floating results of their steps, where both have a value of that name, of one shape and
/// on the same coordinates in the same order. All features of A are held until B is done.
StepErrors compare_steps(const ComparedRun& a, const ComparedRun& b);

}  // namespace lattice::cli
