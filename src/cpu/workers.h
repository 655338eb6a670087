#pragma once

#include <tbb/blocked_range.h>
#include <tbb/parallel_for.h>
#include <tbb/task_arena.h>

#include <cstdint>

#if defined(__SANITIZE_THREAD__)
#define LATTICE_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LATTICE_THREAD_SANITIZER 1
#endif
#endif

#ifdef LATTICE_THREAD_SANITIZER
extern "C" void __tsan_acquire(void*);
extern "C" void __tsan_release(void*);
#endif

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
    char fence = 0;
    release(&fence);
    arena_.execute([&] {
      tbb::parallel_for(tbb::blocked_range<int64_t>(0, count, 1), [&](const tbb::blocked_range<int64_t>& range) {
        acquire(&fence);
        for (int64_t i = range.begin(); i < range.end(); ++i) task(i);
        release(&fence);
      });
    });
    acquire(&fence);
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
  // oneTBB's library is not built with the thread sanitizer, which therefore does not see its hand-overs: tell it.
#ifdef LATTICE_THREAD_SANITIZER
  static void acquire(char* fence) {
    __tsan_acquire(fence);
  }
  static void release(char* fence) {
    __tsan_release(fence);
  }
#else
  static void acquire(char*) {}
  static void release(char*) {}
#endif

  int threads_;
  tbb::task_arena arena_;
};

}  // namespace lattice::cpu
