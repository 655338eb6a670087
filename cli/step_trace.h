#pragma once

#include <filesystem>
#include <vector>

#include "model_steps.h"

namespace lattice::cli {

/// Writes the steps of a run as a Chrome trace, which chrome://tracing and Perfetto show: one complete event a step and
/// one for each relation that was built, times in microseconds since the run began, costs as arguments. Throws io; the
/// file appears whole or not at all.
void write_step_trace(const std::filesystem::path& path, const artifact::Program& program,
                      const std::vector<StepCost>& costs);

}  // namespace lattice::cli
