#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>

#include "artifact/small_network.h"
#include "lattice/session.h"

// Counts what a run takes from the heap once everything is warm.

#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC diagnostic ignored "-Wmismatched-new-delete"  // it inlines these pairs one by one
#endif

namespace {

std::atomic<int64_t> allocations{0};

void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  void* memory = nullptr;
  if (posix_memalign(&memory, alignment < sizeof(void*) ? sizeof(void*) : alignment, size == 0 ? 1 : size) != 0) {
    throw std::bad_alloc();
  }
  return memory;
}

}  // namespace

void* operator new(std::size_t size) {
  return counted(size, alignof(std::max_align_t));
}
void* operator new[](std::size_t size) {
  return counted(size, alignof(std::max_align_t));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept {
  std::free(memory);
}
void operator delete[](void* memory) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}
void operator delete[](void* memory, std::size_t, std::align_val_t) noexcept {
  std::free(memory);
}

namespace lattice::artifact {
namespace {

// A step makes its result (elements and their owner), and every tensor that is handed on has a shape of its own on the
// heap; coordinate sets, their indexes and relations are made anew for each scan. The limit is what there is, so that
// it can only fall.
constexpr int64_t kMostPerStep = 70;

TEST(Allocations, of_a_warm_run_stay_few_and_constant) {
  const Model model = SmallNetwork(16).model();
  const NamedTensors inputs = SmallNetwork::request(5);
  Session session({.threads = 1});
  for (int warm_up = 0; warm_up < 3; ++warm_up) model.run(session, inputs);
  const auto count = [&] {
    const int64_t before = allocations;
    { const NamedTensors results = model.run(session, inputs); }
    return allocations - before;
  };
  const int64_t first = count(), second = count();
  const auto steps = static_cast<int64_t>(model.program().plan().steps.size());
  RecordProperty("allocations", std::to_string(second));
  std::printf("%lld allocations in %lld steps\n", static_cast<long long>(second), static_cast<long long>(steps));
  EXPECT_EQ(first, second);
  EXPECT_LE(second, steps * kMostPerStep);
}

}  // namespace
}  // namespace lattice::artifact
