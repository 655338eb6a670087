#include "cpu/workers.h"

#include <gtest/gtest.h>
#include <sys/resource.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <vector>

#include "lattice/error.h"
#include "sanitizers.h"

namespace lattice::cpu {
namespace {

/// Tasks that end once `wanted` of them run at the same time, or after a while in which they never did.
bool run_together(int threads, int wanted) {
  Workers workers(threads);
  std::atomic<int> running{0};
  std::atomic<bool> together{false};
  workers.for_each(wanted, [&](int64_t) {
    ++running;
    const auto patience = std::chrono::steady_clock::now() + std::chrono::seconds(20);
    while (!together && std::chrono::steady_clock::now() < patience) {
      if (running == wanted) together = true;
      std::this_thread::yield();
    }
  });
  return together;
}

TEST(Workers, RunAsManyThreadsAsAskedForBeyondTheProcessors) {
  EXPECT_TRUE(run_together(2, 2));
  EXPECT_TRUE(run_together(7, 7));
  EXPECT_TRUE(run_together(3, 3));
}

// In a process of its own, whose addresses hold the stacks of some threads; a sanitizer's addresses have no such limit.
TEST(Workers, AreRefusedWhereTheSystemStartsFewer) {
  if (kMemoryIsWatched) return;
  GTEST_FLAG_SET(death_test_style, "threadsafe");
  const auto ask = [] {
    constexpr rlim_t kBytes = rlim_t{1} << 30;
    const rlimit limit = {kBytes, kBytes};
    if (setrlimit(RLIMIT_AS, &limit) != 0) std::_Exit(2);
    try {
      Workers workers(1000);
    } catch (const Error& error) {
      std::fputs(error.what(), stderr);
      std::_Exit(error.code() == ErrorCode::out_of_range ? 0 : 3);
    }
    std::_Exit(1);
  };
  EXPECT_EXIT(ask(), ::testing::ExitedWithCode(0), "session: of 1000 threads the system starts [0-9]+; ask for fewer");
}

TEST(Workers, DoEveryItemOnce) {
  for (const int threads : {1, 2, 3, 7}) {
    Workers workers(threads);
    std::vector<int> done(1001, 0);
    workers.for_blocks(1001, 10, [&](int64_t first, int64_t last) {
      ASSERT_LE(last - first, 10);
      for (int64_t i = first; i < last; ++i) ++done[static_cast<size_t>(i)];
    });
    EXPECT_EQ(done, std::vector<int>(1001, 1));
    workers.for_each(0, [](int64_t) { FAIL() << "there is no item"; });
  }
}

TEST(Workers, DoTwoTasksOnceEach) {
  for (const int threads : {1, 2, 3}) {
    Workers workers(threads);
    int first = 0, second = 0;
    workers.both([&] { ++first; }, [&] { ++second; });
    EXPECT_EQ(first, 1);
    EXPECT_EQ(second, 1);
    EXPECT_THROW(workers.both([] {}, [] { throw std::runtime_error("task"); }), std::runtime_error);
  }
}

TEST(Workers, RethrowWhatATaskThrows) {
  Workers workers(2);
  EXPECT_THROW(workers.for_each(100,
                                [](int64_t i) {
                                  if (i == 57) throw std::runtime_error("task");
                                }),
               std::runtime_error);
}

}  // namespace
}  // namespace lattice::cpu
