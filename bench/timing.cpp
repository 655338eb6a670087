#include "bench/timing.h"

#include <sys/resource.h>

#include <algorithm>

#include "cli/measure.h"

namespace lattice::bench {
namespace {

int64_t preemptions() {
  rusage usage{};
  getrusage(RUSAGE_SELF, &usage);
  return usage.ru_nivcsw;
}

}  // namespace

const std::map<std::string, Clock>& clocks() {
  static const std::map<std::string, Clock> names = {{"wall", Clock::wall}, {"cpu", Clock::cpu}};
  return names;
}

Timing summary(std::vector<double> us, int64_t preempted) {
  Timing timing{.us = us, .median_us = cli::median(us), .preempted = preempted};
  std::sort(us.begin(), us.end());
  timing.best_us = us.front();
  timing.spread = (us[us.size() * 3 / 4] - us[us.size() / 4]) / 2 / timing.median_us;
  return timing;
}

Timing measure(Case& work, int threads, const Effort& effort) {
  const bool by_cpu = effort.clock == Clock::cpu && threads == 1;
  if (effort.warm_up) work.run();
  const int64_t before = preemptions();
  std::vector<double> us;
  double spent_us = 0;
  while (static_cast<int64_t>(us.size()) < effort.repeat || spent_us < effort.budget_ms * 1000) {
    const Elapsed elapsed = work.run();
    us.push_back(by_cpu ? elapsed.cpu_us : elapsed.wall_us);
    spent_us += us.back();
  }
  return summary(std::move(us), preemptions() - before);
}

}  // namespace lattice::bench
