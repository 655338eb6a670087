#pragma once

#include <chrono>
#include <ctime>

namespace lattice::bench {

/// What a piece of work took, in microseconds: by the clock on the wall, and of the process's own processor time (all
/// threads).
struct Elapsed {
  double wall_us = 0, cpu_us = 0;
};

inline double process_us() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

template <typename Work>
Elapsed elapsed(Work&& work) {
  const double cpu_start = process_us();
  const auto start = std::chrono::steady_clock::now();
  work();
  const auto end = std::chrono::steady_clock::now();
  return {std::chrono::duration<double, std::micro>(end - start).count(), process_us() - cpu_start};
}

}  // namespace lattice::bench
