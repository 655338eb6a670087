#pragma once

#include <cstdint>

#include "sanitizers.h"

#ifdef LATTICE_THREAD_SANITIZER
#include <atomic>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>
#endif
#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

namespace lattice::cpu {

/// The threads of a session.
class Workers {
 public:
  explicit Workers(int threads);

  int threads() const noexcept { return threads_; }

  /// Runs task(i) for i = 0 .. count-1, in any order, on all threads; returns when all are done. Tasks must not depend
  /// on one another, so that results cannot depend on the number of threads. An exception of a task is rethrown.
  template <typename Task>
  void for_each(int64_t count, const Task& task) {
    if (threads_ == 1 || count <= 1) {
      for (int64_t i = 0; i < count; ++i) task(i);
      return;
    }
    run(count, task);
  }

  /// Runs two different tasks, likewise.
  template <typename First, typename Second>
  void both(const First& first, const Second& second) {
    for_each(2, [&](int64_t task) { task == 0 ? first() : second(); });
  }

  /// The same over blocks of at most `block` consecutive items: task(first, last).
  template <typename Task>
  void for_blocks(int64_t count, int64_t block, const Task& task) {
    for_each((count + block - 1) / block, [&](int64_t i) {
      const int64_t first = i * block;
      task(first, first + block < count ? first + block : count);
    });
  }

 private:
#ifdef LATTICE_THREAD_SANITIZER
  // oneTBB's library is not built with the thread sanitizer, which does not see its hand-overs and reports races in all
  // that passes through it. What is to be checked are the tasks: for that, plain threads take them in turn.
  template <typename Task>
  void run(int64_t count, const Task& task) {
    std::atomic<int64_t> next{0};
    std::mutex mutex;
    std::exception_ptr error;
    const auto take_tasks = [&] {
      try {
        for (int64_t i = next++; i < count; i = next++) task(i);
      } catch (...) {
        const std::lock_guard lock(mutex);
        error = std::current_exception();
      }
    };
    std::vector<std::thread> helpers;
    for (int thread = 1; thread < threads_; ++thread) helpers.emplace_back(take_tasks);
    take_tasks();
    for (std::thread& helper : helpers) helper.join();
    if (error) std::rethrow_exception(error);
  }
#else
  template <typename Task>
  void run(int64_t count, const Task& task) {
    arena_.execute([&] {
      tbb::parallel_for(tbb::blocked_range<int64_t>(0, count, 1), [&](const tbb::blocked_range<int64_t>& range) {
        for (int64_t i = range.begin(); i < range.end(); ++i) task(i);
      });
    });
  }
#endif

  int threads_;
  tbb::task_arena arena_;
};

}  // namespace lattice::cpu
