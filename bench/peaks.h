#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace lattice::bench {

/// A limit of the machine, reached by a loop of one kind of instruction on registers alone.
struct PeakLoop {
  const char* name;            ///< the instructions
  const char* unit;            ///< GFLOP/s, or GOP/s for integers; multiplications and additions counted
  double operations;           ///< in one turn of the loop
  bool (*is_available)();      ///< whether this processor has the instructions
  void (*run)(int64_t turns);  ///< turns >= 1
};

/// All loops that are built for this architecture, available or not, the float32 ones first and the widest first
/// among them.
const std::vector<PeakLoop>& peak_loops();

/// The widest float32 multiply-add loop that the processor runs.
const PeakLoop& float32_peak_loop();

/// Operations a second / 1e9 of a loop on `threads` threads at once: the best of `bursts` bursts of some milliseconds,
/// since whatever else the machine does can only take from it.
double measure_peak(const PeakLoop& loop, int threads, int bursts);

/// Bytes a second / 1e9 of a[i] = b[i] + s * c[i] over arrays far larger than the caches: two reads and a write
/// counted, as STREAM counts them. The best of some passes.
double measure_bandwidth(int threads);

/// Nanoseconds that a line of memory takes from one core to another and back: the median of some bursts. Threads that
/// pass their work on are bound by it, and it is not the machine's alone: a host may move a guest's processors from
/// cores that share a cache to cores that do not, within seconds.
double measure_round_trip_ns();

/// The float32 peak beside the measurements that are compared with it: measured at length on first use and again for
/// some milliseconds at every call, so that a peak from a noisy moment does not stay.
class Float32Peak {
 public:
  double gflops(int threads);

 private:
  std::vector<double> best_;  // by threads - 1; 0 where not measured yet
};

}  // namespace lattice::bench
