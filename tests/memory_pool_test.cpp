#include "lattice/memory_pool.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdint>
#include <cstring>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "lattice/tensor.h"
#include "sanitizers.h"

namespace lattice {
namespace {

constexpr bool kKeeps = !kMemoryIsWatched;

// Destroyed after main: its memory returns to a pool that must still be there.
const Tensor outlives_main = Tensor::zeros(DType::f32, {100000});

constexpr size_t kMiB = size_t{1} << 20;

/// A block of the pool, given back at the end.
class Block {
 public:
  explicit Block(size_t bytes) : bytes_(bytes), memory_(take_memory(bytes)) {}
  ~Block() {
    if (memory_ != nullptr) give_memory(memory_, bytes_);
  }
  Block(const Block&) = delete;
  Block& operator=(const Block&) = delete;

  void* get() const { return memory_; }
  void fill(int value) const { std::memset(memory_, value, bytes_); }

 private:
  size_t bytes_;
  void* memory_;
};

class MemoryPool : public testing::Test {
 protected:
  void SetUp() override { release_memory(); }
};

TEST_F(MemoryPool, blocks_of_every_size_are_aligned_and_apart) {
  std::vector<std::unique_ptr<Block>> blocks;
  for (size_t bytes = 0; bytes < 3 * kMiB; bytes = bytes * 9 / 8 + 1) {
    blocks.push_back(std::make_unique<Block>(bytes));
    ASSERT_NE(blocks.back()->get(), nullptr);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(blocks.back()->get()) % 64, 0U) << bytes;
    blocks.back()->fill(static_cast<int>(blocks.size() % 251));
  }
  size_t bytes = 0, number = 0;
  for (const auto& block : blocks) {
    const auto* values = static_cast<const unsigned char*>(block->get());
    ++number;
    for (size_t i = 0; i < bytes; i += 61) ASSERT_EQ(values[i], number % 251) << bytes;
    bytes = bytes * 9 / 8 + 1;
  }
}

TEST_F(MemoryPool, a_block_serves_the_next_request_of_its_size) {
  if (!kKeeps) GTEST_SKIP() << "a sanitizer sees every block's own end";
  for (const size_t bytes : {size_t{1}, size_t{640}, size_t{30000}, 5 * kMiB}) {
    void* first = nullptr;
    { first = Block(bytes).get(); }
    EXPECT_EQ(Block(bytes - bytes / 50).get(), first) << bytes;
  }
}

// Over the borders between how blocks are kept, too.
TEST_F(MemoryPool, a_block_serves_what_is_somewhat_smaller) {
  if (!kKeeps) GTEST_SKIP() << "a sanitizer sees every block's own end";
  using Sizes = std::pair<size_t, size_t>;
  for (const auto& [larger, smaller] : {Sizes{500, 300}, Sizes{3000, 2000}, Sizes{33 << 10, 30 << 10},
                                        Sizes{40 << 10, 24 << 10}, Sizes{3 * kMiB, 2 * kMiB}}) {
    const void* const kept = Block(larger).get();
    EXPECT_EQ(Block(smaller).get(), kept) << larger << ", " << smaller;
    release_memory();
  }
}

TEST_F(MemoryPool, waste_is_an_eighth_and_a_line) {
  for (size_t bytes = 1; bytes < 8 * kMiB; bytes = bytes * 17 / 16 + 1) {
    const size_t before = memory_in_use();
    const Block block(bytes);
    EXPECT_GE(memory_in_use() - before, bytes);
    EXPECT_LE(memory_in_use() - before, bytes + bytes / 8 + 128) << bytes;
  }
}

TEST_F(MemoryPool, tells_what_is_in_use_and_kept) {
  const size_t before = memory_in_use();
  EXPECT_EQ(memory_kept(), 0U);
  {
    const Tensor tensor = Tensor::zeros(DType::f32, {1000, 1000});
    EXPECT_GE(memory_in_use() - before, tensor.nbytes());
  }
  EXPECT_EQ(memory_in_use(), before);
  EXPECT_GE(memory_kept(), kKeeps ? 4000000U : 0U);
  release_memory();
  EXPECT_EQ(memory_kept(), 0U);
}

TEST_F(MemoryPool, pages_stay_below_the_most_that_was_in_use) {
  const size_t before = memory_in_use();
  // Sizes of classes far from each other, one after the other: their sum would be 5.5 times the largest. That has 44,
  // or 416 MiB, of which 16 MiB are more than a sixth, or less.
  for (const auto& [step, most] : {std::pair(4 * kMiB, (44 + 16) * kMiB), std::pair(40 * kMiB, (416 + 70) * kMiB)}) {
    for (size_t round = 0; round < 3; ++round) {
      for (size_t size = step; size <= 10 * step; size += step) {
        const Block block(size);
        if (size <= 40 * kMiB) block.fill(1);
        EXPECT_LE(memory_in_use() + memory_kept(), before + most);
      }
    }
  }
}

TEST_F(MemoryPool, a_block_with_pages_comes_before_a_nearer_one_without) {
  if (!kKeeps) GTEST_SKIP() << "a sanitizer sees every block's own end";
  void* larger = nullptr;
  { const Block smaller(20 * kMiB); }
  { larger = Block(24 * kMiB).get(); }  // the pages of both together are too many: those of the older one go
  EXPECT_EQ(Block(20 * kMiB).get(), larger);
}

TEST_F(MemoryPool, a_block_whose_pages_went_is_whole_again) {
  const std::array sizes = {36 * kMiB, 20 * kMiB, 12 * kMiB};
  for (int round = 0; round < 4; ++round) {
    for (const size_t size : sizes) {
      const Block block(size);
      block.fill(round);
      EXPECT_EQ(static_cast<const unsigned char*>(block.get())[size - 1], round);
    }
  }
}

TEST_F(MemoryPool, pages_that_go_are_of_no_other_block) {
  // Blocks from one stretch of addresses, every other one kept: then the pages of those go.
  std::vector<std::unique_ptr<Block>> blocks;
  for (int i = 0; i < 64; ++i) blocks.push_back(std::make_unique<Block>(kMiB + static_cast<size_t>(i) * 4096));
  for (const auto& block : blocks) block->fill(7);
  for (size_t i = 0; i < blocks.size(); i += 2) blocks[i].reset();
  { const Block larger(40 * kMiB); }
  for (size_t i = 1; i < blocks.size(); i += 2) {
    const auto* const values = static_cast<const unsigned char*>(blocks[i]->get());
    const size_t bytes = kMiB + i * 4096;
    ASSERT_EQ(std::count(values, values + bytes, 7), static_cast<std::ptrdiff_t>(bytes)) << i;
  }
}

TEST_F(MemoryPool, takes_no_block_back) {
  const size_t before = memory_in_use();
  give_memory(nullptr, 0);
  give_memory(nullptr, 3 * kMiB);
  EXPECT_EQ(memory_in_use(), before);
}

TEST_F(MemoryPool, refuses_what_cannot_be_had) {
  EXPECT_EQ(take_memory(size_t{1} << 60), nullptr);
  EXPECT_THROW(PooledVector<int64_t>(size_t{1} << 59), std::bad_alloc);
  EXPECT_THROW(PoolAllocator<int64_t>().allocate(static_cast<size_t>(-1)), std::bad_array_new_length);
}

TEST_F(MemoryPool, serves_containers_and_shared_objects) {
  const size_t before = memory_in_use();
  {
    PooledVector<PooledVector<int>> lists(7, PooledVector<int>(1000, 5));
    lists.resize(100);
    EXPECT_EQ(lists[6].back(), 5);
    const auto shared = std::allocate_shared<std::array<double, 300>>(PoolAllocator<double>());
    EXPECT_GE(memory_in_use() - before, 7 * 4000 + 2400U);
  }
  EXPECT_EQ(memory_in_use(), before);
}

TEST_F(MemoryPool, many_threads_take_and_give) {
  const size_t before = memory_in_use();
  std::vector<std::thread> threads;
  std::atomic<int> wrong{0};
  for (unsigned thread = 1; thread <= 8; ++thread) {
    threads.emplace_back([thread, &wrong] {
      for (size_t i = 0; i < 2000; ++i) {
        const size_t bytes = 8 + (i * 7919 * thread) % (i % 50 == 0 ? 300000 : 3000);
        const Block a(bytes), b(bytes / 2);
        a.fill(static_cast<int>(thread));
        b.fill(0);
        if (static_cast<const unsigned char*>(a.get())[bytes - 1] != thread) ++wrong;
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(memory_in_use(), before);
}

}  // namespace
}  // namespace lattice
