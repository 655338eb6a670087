#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "bench/case.h"

namespace lattice::bench {

enum class Clock : uint8_t {
  wall,
  cpu,  ///< of the process: for cases of one thread on a machine that others use; the others keep to the wall's
};

/// By the names that the command line takes.
const std::map<std::string, Clock>& clocks();

/// How to measure a case, and how long a case: after one run that is not counted (`warm_up`), at least `repeat` runs,
/// and more until `budget_ms` of measured time are spent.
struct Effort {
  int64_t repeat = 5;
  double budget_ms = 300;
  bool warm_up = true;
  Clock clock = Clock::wall;
};

/// The runs of a case, in their order, and what to say of them.
struct Timing {
  std::vector<double> us;
  double median_us = 0, best_us = 0;
  double spread = 0;      ///< half the distance between the quartiles, over the median
  int64_t preempted = 0;  ///< how often another process took a processor away meanwhile
};

Timing summary(std::vector<double> us, int64_t preempted);
Timing measure(Case& work, int threads, const Effort& effort);

}  // namespace lattice::bench
