#pragma once

#include <string>
#include <vector>

#include "bench/case.h"

namespace lattice::bench {

/// All cases of a suite: layer, relation, voxelize or network, for each of the thread counts and, where weights are
/// concerned, of the precisions.
std::vector<CaseSpec> suite_cases(const std::string& suite, const std::vector<std::string>& precisions,
                                  const std::vector<int>& threads);

}  // namespace lattice::bench
