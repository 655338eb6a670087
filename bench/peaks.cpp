#include "bench/peaks.h"

#include <algorithm>
#include <atomic>
#include <functional>
#include <thread>

#include "cli/measure.h"

namespace lattice::bench {
namespace {

constexpr double kBurstMs = 4;
constexpr int kFirstBursts = 40, kFurtherBursts = 1;

/// The time from when all threads are ready until the last has done work(thread), in milliseconds.
double parallel_ms(int threads, const std::function<void(int)>& work) {
  std::atomic<int> ready{0};
  std::atomic<bool> go{false};
  std::vector<std::thread> others;
  for (int thread = 1; thread < threads; ++thread) {
    others.emplace_back([&, thread] {
      ++ready;
      while (!go) std::this_thread::yield();
      work(thread);
    });
  }
  while (ready < threads - 1) std::this_thread::yield();
  return cli::time_ms([&] {
    go = true;
    work(0);
    for (std::thread& other : others) other.join();
  });
}

/// Turns of a loop that take about kBurstMs.
int64_t turns_of_burst(const PeakLoop& loop) {
  for (int64_t turns = 1000;; turns *= 2) {
    const double time = cli::time_ms([&] { loop.run(turns); });
    if (time >= kBurstMs / 2)
      return std::max<int64_t>(1, static_cast<int64_t>(static_cast<double>(turns) * kBurstMs / time));
  }
}

}  // namespace

const PeakLoop& float32_peak_loop() {
  return *std::find_if(peak_loops().begin(), peak_loops().end(),
                       [](const PeakLoop& loop) { return loop.is_available(); });
}

double measure_peak(const PeakLoop& loop, int threads, int bursts) {
  const int64_t turns = turns_of_burst(loop);
  double best_ms = 0;
  for (int burst = 0; burst < bursts; ++burst) {
    const double time = parallel_ms(threads, [&](int) { loop.run(turns); });
    if (burst == 0 || time < best_ms) best_ms = time;
  }
  return loop.operations * static_cast<double>(turns) * threads / (best_ms * 1e6);
}

double measure_bandwidth(int threads) {
  constexpr size_t kElements = size_t{1} << 24;  // 64 MiB an array, beyond any L3 of a share of two cores
  constexpr int kPasses = 10;
  std::vector<float> a(kElements, 0), b(kElements, 1), c(kElements, 2);
  const auto triad = [&](int thread) {
    const size_t share = kElements / static_cast<size_t>(threads), first = share * static_cast<size_t>(thread);
    for (size_t i = first; i < first + share; ++i) a[i] = b[i] + 3 * c[i];
  };
  double best_ms = parallel_ms(threads, triad);
  for (int pass = 1; pass < kPasses; ++pass) best_ms = std::min(best_ms, parallel_ms(threads, triad));
  return 3.0 * sizeof(float) * kElements / (best_ms * 1e6);
}

double measure_round_trip_ns() {
  constexpr int kTrips = 20000, kBursts = 5;  // long, beside the end of a thread
  std::vector<double> ns;
  for (int burst = 0; burst < kBursts; ++burst) {
    alignas(128) std::atomic<int> line{0};  // alone, and away from what is fetched beside it
    const double time = parallel_ms(2, [&](int thread) {
      for (int trip = 0; trip < kTrips; ++trip) {
        const int mine = 2 * trip + thread;
        while (line.load() != mine) {
        }
        line.store(mine + 1);
      }
    });
    ns.push_back(time * 1e6 / kTrips);
  }
  std::nth_element(ns.begin(), ns.begin() + kBursts / 2, ns.end());
  return ns[kBursts / 2];
}

double Float32Peak::gflops(int threads) {
  const auto slot = static_cast<size_t>(threads - 1);
  if (best_.size() <= slot) best_.resize(slot + 1, 0);
  const int bursts = best_[slot] == 0 ? kFirstBursts : kFurtherBursts;
  best_[slot] = std::max(best_[slot], measure_peak(float32_peak_loop(), threads, bursts));
  return best_[slot];
}

}  // namespace lattice::bench
