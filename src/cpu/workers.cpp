#include "cpu/workers.h"

#include <tbb/global_control.h>

#include <memory>
#include <mutex>

namespace lattice::cpu {
namespace {

/// oneTBB starts no more threads in a process than there are processors, whatever an arena asks for. A session that is
/// told to use more (a test of determinism, a container that counts wrongly) raises that limit, which is never lowered.
void allow_threads(int threads) {
  static std::mutex mutex;
  static std::unique_ptr<tbb::global_control> limit;
  const std::lock_guard lock(mutex);
  constexpr auto kParallelism = tbb::global_control::max_allowed_parallelism;
  const auto wanted = static_cast<size_t>(threads);
  if (wanted > tbb::global_control::active_value(kParallelism)) {
    // The smallest value in force counts, so the old one must go first.
    limit.reset();
    limit = std::make_unique<tbb::global_control>(kParallelism, wanted);
  }
}

}  // namespace

Workers::Workers(int threads) : threads_(threads), arena_(threads) {
  allow_threads(threads);
}

}  // namespace lattice::cpu
