#include "lattice/memory_pool.h"

#ifdef __linux__
#include <sys/mman.h>
#include <unistd.h>
#endif

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cstdint>
#include <cstdlib>
#include <mutex>
#include <type_traits>
#include <utility>

#include "sanitizers.h"

// Blocks of size classes, eight for each power of two, each with a list of what is kept. Small blocks, each class with
// a lock of its own, stay until they are asked for. Large ones make up a network's memory, and which of them are in use
// changes from layer to layer: the blocks that a whole run needs are more than any moment of it does. So a large block
// that is kept beyond the limit keeps its addresses alone, and its pages go back to the system until it is taken again.

namespace lattice {
namespace {

constexpr bool kKeeps = !kMemoryIsWatched;

constexpr size_t kLine = 64, kPage = 4096, kHugePage = size_t{2} << 20;
constexpr size_t kSteps = 8;                     // classes for each power of two
constexpr size_t kLargerClasses = kSteps;        // a kept block serves what is smaller by up to a half
constexpr size_t kMostHeadless = 4 * kLine;      // up to here classes are lines, and serve their own size alone
constexpr size_t kMostSmall = size_t{32} << 10;  // above it, classes are whole pages
constexpr size_t kMostBytes = size_t{1} << 47;   // more than a process can address
// Large blocks in use and kept ones with pages stay together below the most that was in use at once and a sixth more,
// which spares a network its page faults from the second run on, or 16 MiB more, which spares a scan's relations
// theirs; the addresses of kept ones stay below some times that.
constexpr size_t kPageSlack = 6, kMostKept = 8;
constexpr size_t kLeastSlack = size_t{16} << 20;
constexpr int kWindowTakes = 1 << 14;  // large requests: some runs of a large network

constexpr size_t class_of(size_t bytes) {
  const size_t lines = std::max<size_t>(1, (bytes + kLine - 1) / kLine);
  if (lines <= kSteps) return lines - 1;
  const auto shift = static_cast<size_t>(std::bit_width(lines - 1)) - 4;
  return kSteps * shift + ((lines - 1) >> shift);
}

constexpr size_t bytes_of(size_t size_class) {
  if (size_class < kSteps) return (size_class + 1) * kLine;
  const size_t shift = size_class / kSteps - 1;
  return ((size_class % kSteps + kSteps + 1) << shift) * kLine;
}

constexpr size_t kSmallClasses = class_of(kMostSmall) + 1;
constexpr size_t kClasses = class_of(kMostBytes) + kLargerClasses + 1;
static_assert(bytes_of(kSmallClasses - 1) == kMostSmall && bytes_of(kSmallClasses) % kPage == 0);

struct Held {
  size_t in_use = 0, kept = 0;  // bytes
};

/// The line before a block of more than kMostHeadless bytes, which may be larger than what was asked for.
struct Head {
  size_t bytes;  // with this line
};

/// One class of small blocks; those that are kept are chained through their first words.
class SmallBlocks {
 public:
  /// Null where none is kept.
  void* take() noexcept {
    const std::lock_guard lock(mutex_);
    if (first_ == nullptr) return nullptr;
    --kept_;
    ++in_use_;
    return std::exchange(first_, first_->next);
  }
  /// Counts a block of the system's.
  void add() noexcept {
    const std::lock_guard lock(mutex_);
    ++in_use_;
  }
  void give(void* block) noexcept {
    const std::lock_guard lock(mutex_);
    --in_use_;
    ++kept_;
    first_ = new (block) Kept{first_};
  }
  void release() noexcept {
    const std::lock_guard lock(mutex_);
    while (first_ != nullptr) std::free(std::exchange(first_, first_->next));
    kept_ = 0;
  }
  Held held(size_t bytes) const noexcept {
    const std::lock_guard lock(mutex_);
    return {in_use_ * bytes, kept_ * bytes};
  }

 private:
  struct Kept {
    Kept* next;
  };

  mutable std::mutex mutex_;
  Kept* first_ = nullptr;
  size_t in_use_ = 0, kept_ = 0;
};

/// The head of a large block: while it is kept, its neighbours by age, among all and in its class.
struct LargeHead : Head {
  LargeHead *older = nullptr, *newer = nullptr;
  LargeHead *older_alike = nullptr, *newer_alike = nullptr;
  bool has_pages = true;
};
static_assert(sizeof(LargeHead) <= kLine);

/// All classes of large blocks.
class LargeBlocks {
 public:
  /// The kept block that is nearest to `bytes`, of at most about twice as many; one that has pages before one that must
  /// ask for them again. Null where there is none; then pages have gone where one of the system's would exceed the
  /// limit.
  LargeHead* take(size_t bytes) noexcept {
    const std::lock_guard lock(mutex_);
    const size_t wanted = class_of(bytes);
    LargeHead* found = nullptr;
    for (size_t at = wanted; at <= wanted + kLargerClasses && (found == nullptr || !found->has_pages); ++at) {
      LargeHead* const newest = newest_alike_[at];  // has pages if any of its class has
      if (newest != nullptr && (found == nullptr || newest->has_pages)) found = newest;
    }
    if (found != nullptr) {
      unlink(*found);
      found->has_pages = true;
      count_taken(found->bytes);
    }
    trim(found == nullptr ? bytes_of(wanted) : 0);
    return found;
  }
  /// Counts a block of the system's.
  void add(const LargeHead& block) noexcept {
    const std::lock_guard lock(mutex_);
    count_taken(block.bytes);
  }
  void give(LargeHead& block) noexcept {
    const std::lock_guard lock(mutex_);
    in_use_ -= block.bytes;
    link(block);
    trim(0);
  }
  void release() noexcept {
    const std::lock_guard lock(mutex_);
    while (oldest_ != nullptr) free_oldest();
    most_ = in_use_;
    most_before_ = 0;
  }
  Held held() const noexcept {
    const std::lock_guard lock(mutex_);
    return {in_use_, with_pages_};
  }

 private:
  /// What is in use is compared with the most of this window of requests and of the one before.
  void count_taken(size_t bytes) noexcept {
    in_use_ += bytes;
    if (++takes_ == kWindowTakes) {
      takes_ = 0;
      most_before_ = std::exchange(most_, 0);
    }
    most_ = std::max(most_, in_use_);
  }

  void link(LargeHead& block) noexcept {
    LargeHead*& newest_alike = newest_alike_[class_of(block.bytes)];
    block.older = std::exchange(newest_, &block);
    block.older_alike = std::exchange(newest_alike, &block);
    block.newer = block.newer_alike = nullptr;
    (block.older != nullptr ? block.older->newer : oldest_) = &block;
    if (block.older_alike != nullptr) block.older_alike->newer_alike = &block;
    if (oldest_with_pages_ == nullptr) oldest_with_pages_ = &block;
    kept_ += block.bytes;
    with_pages_ += block.bytes;
  }
  void unlink(LargeHead& block) noexcept {
    (block.older != nullptr ? block.older->newer : oldest_) = block.newer;
    (block.newer != nullptr ? block.newer->older : newest_) = block.older;
    if (block.older_alike != nullptr) block.older_alike->newer_alike = block.newer_alike;
    (block.newer_alike != nullptr ? block.newer_alike->older_alike : newest_alike_[class_of(block.bytes)]) =
        block.older_alike;
    if (&block == oldest_with_pages_) oldest_with_pages_ = block.newer;
    kept_ -= block.bytes;
    if (block.has_pages) with_pages_ -= block.bytes;
  }
  void free_oldest() noexcept {
    LargeHead& block = *oldest_;
    unlink(block);
    std::free(&block);
  }

  /// Keeps pages, and addresses, within their limits when so many more bytes come into use: the oldest go first.
  void trim(size_t more) noexcept {
    const size_t in_use = in_use_ + more, most = std::max({most_, most_before_, in_use});
    const size_t most_pages = most + std::max(most / kPageSlack, kLeastSlack);
    while (oldest_with_pages_ != nullptr && in_use + with_pages_ > most_pages) drop_pages();
    while (oldest_ != nullptr && kept_ > most * kMostKept + kLeastSlack) free_oldest();
  }
  void drop_pages() noexcept {
    LargeHead& block = *oldest_with_pages_;
#ifdef __linux__
    // The system's pages may be larger than kPage: those that lie behind the head's and are the block's alone.
    const auto page = static_cast<uintptr_t>(sysconf(_SC_PAGESIZE)), at = reinterpret_cast<uintptr_t>(&block);
    const uintptr_t first = (at + kLine + page - 1) / page * page, last = (at + block.bytes) / page * page;
    if (first < last && madvise(reinterpret_cast<void*>(first), last - first, MADV_DONTNEED) == 0) {
      block.has_pages = false;
      with_pages_ -= block.bytes;
      oldest_with_pages_ = block.newer;
      return;
    }
#endif
    // Where pages cannot go alone, the block does.
    unlink(block);
    std::free(&block);
  }

  mutable std::mutex mutex_;
  std::array<LargeHead*, kClasses> newest_alike_ = {};
  LargeHead *newest_ = nullptr, *oldest_ = nullptr;
  LargeHead* oldest_with_pages_ = nullptr;  // what is older has none
  size_t in_use_ = 0, kept_ = 0, with_pages_ = 0;
  size_t most_ = 0, most_before_ = 0;
  int takes_ = 0;
};

/// Never destroyed: the last block may return after everything else is gone.
struct Pool {
  std::array<SmallBlocks, kSmallClasses> small;
  LargeBlocks large;
};
static_assert(std::is_trivially_destructible_v<Pool>);
constinit Pool pool;

// What a sanitizer is to see goes straight to the system.
constinit std::atomic<size_t> passed_on{0};

constexpr size_t whole_lines(size_t bytes) {
  return std::max<size_t>(1, (bytes + kLine - 1) / kLine) * kLine;
}
void* pass_on(size_t bytes) noexcept {
  if (bytes > kMostBytes) return nullptr;
  void* const block = std::aligned_alloc(kLine, whole_lines(bytes));
  if (block != nullptr) passed_on += whole_lines(bytes);
  return block;
}
void give_back(void* block, size_t bytes) noexcept {
  passed_on -= whole_lines(bytes);
  std::free(block);
}

Held held() noexcept {
  if (!kKeeps) return {passed_on, 0};
  Held sum = pool.large.held();
  for (size_t i = 0; i < kSmallClasses; ++i) {
    const auto [in_use, kept] = pool.small[i].held(bytes_of(i));
    sum.in_use += in_use;
    sum.kept += kept;
  }
  return sum;
}

void* system_block(size_t alignment, size_t bytes) noexcept {
  void* block = std::aligned_alloc(alignment, bytes);
  if (block != nullptr) return block;
  release_memory();  // what is kept may be what is lacking
  return std::aligned_alloc(alignment, bytes);
}

/// Of whole pages, on huge ones where they fit and the system has them: a scan's rows are read in no order, each on a
/// page of its own, and the processor knows the places of few.
void* system_pages(size_t bytes) noexcept {
  if (bytes < kHugePage) return system_block(kPage, bytes);
  void* const block = system_block(kHugePage, bytes);
#ifdef __linux__
  if (block != nullptr) madvise(block, bytes, MADV_HUGEPAGE);  // where refused, small pages do
#endif
  return block;
}

void* behind_head(Head* head) noexcept {
  return head == nullptr ? nullptr : reinterpret_cast<std::byte*>(head) + kLine;
}

Head* take_large(size_t bytes) noexcept {
  LargeHead* head = pool.large.take(bytes);
  if (head == nullptr) {
    const size_t size = bytes_of(class_of(bytes));
    void* const block = system_pages(size);
    if (block == nullptr) return nullptr;
    head = new (block) LargeHead{{size}};
    pool.large.add(*head);
  }
  return head;
}

Head* take_medium(size_t bytes) noexcept {
  const size_t wanted = class_of(bytes);
  for (size_t at = wanted; at <= wanted + kLargerClasses && at < kSmallClasses; ++at) {
    if (void* const kept = pool.small[at].take(); kept != nullptr) return new (kept) Head{bytes_of(at)};
  }
  if (wanted + kLargerClasses >= kSmallClasses) {  // a little less than what was large before
    if (LargeHead* const kept = pool.large.take(bytes); kept != nullptr) return kept;
  }
  void* const block = system_block(kLine, bytes_of(wanted));
  if (block == nullptr) return nullptr;
  pool.small[wanted].add();
  return new (block) Head{bytes_of(wanted)};
}

void* take_headless(size_t size_class) noexcept {
  if (void* const kept = pool.small[size_class].take(); kept != nullptr) return kept;
  void* const block = system_block(kLine, bytes_of(size_class));
  if (block != nullptr) pool.small[size_class].add();
  return block;
}

}  // namespace

size_t memory_in_use() noexcept {
  return held().in_use;
}

size_t memory_kept() noexcept {
  return held().kept;
}

void release_memory() noexcept {
  for (SmallBlocks& blocks : pool.small) blocks.release();
  pool.large.release();
}

void* take_memory(size_t bytes) noexcept {
  if (!kKeeps) return pass_on(bytes);
  if (bytes <= kMostHeadless) return take_headless(class_of(bytes));
  if (bytes > kMostBytes - kLine) return nullptr;
  return behind_head(bytes + kLine <= kMostSmall ? take_medium(bytes + kLine) : take_large(bytes + kLine));
}

void give_memory(void* block, size_t bytes) noexcept {
  // g++ 12 drops a vector's own test where its allocation failed.
  if (block == nullptr) return;
  if (!kKeeps) return give_back(block, bytes);
  if (bytes <= kMostHeadless) return pool.small[class_of(bytes)].give(block);
  auto* const head = reinterpret_cast<Head*>(static_cast<std::byte*>(block) - kLine);
  if (head->bytes <= kMostSmall) return pool.small[class_of(head->bytes)].give(head);
  pool.large.give(static_cast<LargeHead&>(*head));
}

}  // namespace lattice
