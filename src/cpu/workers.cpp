#include "cpu/workers.h"

#include <tbb/global_control.h>

#include <latch>
#include <memory>
#include <mutex>
#include <system_error>
#include <thread>
#include <vector>

#include "fail.h"

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

/// Starts so many threads at once, once in a process: where the system refuses one, oneTBB would end the process.
void try_threads(int threads) {
  static std::mutex mutex;
  static int tried = 1;
  const std::lock_guard lock(mutex);
  if (threads <= tried) return;
  std::latch all(1);
  std::vector<std::jthread> started;
  bool refused = false;
  try {
    while (static_cast<int>(started.size()) + 1 < threads) started.emplace_back([&all] { all.wait(); });
  } catch (const std::system_error&) {
    refused = true;
  }
  all.count_down();
  if (refused) {
    fail(ErrorCode::out_of_range, "session: of {} threads the system starts {}; ask for fewer, or raise its limit",
         threads, started.size() + 1);
  }
  tried = threads;
}

}  // namespace

Workers::Workers(int threads) : threads_(threads), arena_(threads) {
  try_threads(threads);
  allow_threads(threads);
}

}  // namespace lattice::cpu
