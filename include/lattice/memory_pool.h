#pragma once

#include <cstddef>
#include <new>
#include <vector>

namespace lattice {

// What the library takes for tensors, coordinate sets, relations and its own scratch comes from one pool of the process
// and returns to it, so that a network that runs again and again soon asks the system for nothing. The pool serves any
// number of threads and outlives every object. Under the address and the thread sanitizer it keeps nothing: these must
// see every block's own end and lifetime.

/// Bytes that tensors and the library's own structures hold now, rounded up as the pool does.
size_t memory_in_use() noexcept;

/// Bytes that wait in memory for the next request of their size. Together with what is in use they stay near the most
/// that was in use at once lately: beyond it, the pages of large blocks go back to the system by themselves.
size_t memory_kept() noexcept;

/// Gives everything that is kept back to the system; the next runs ask for it again.
void release_memory() noexcept;

/// At least `bytes` on a 64-byte boundary, uninitialized; null where there is no memory.
void* take_memory(size_t bytes) noexcept;
/// Returns a block of take_memory(bytes), with the same `bytes`.
void give_memory(void* block, size_t bytes) noexcept;

/// The pool for standard containers and std::allocate_shared. Has no state: all are equal.
template <typename T>
struct PoolAllocator {
  using value_type = T;

  PoolAllocator() = default;
  template <typename Other>
  PoolAllocator(const PoolAllocator<Other>&) noexcept {}  // NOLINT: implicit, as containers expect

  T* allocate(size_t count) {
    static_assert(alignof(T) <= 64);
    if (count > static_cast<size_t>(-1) / 2 / sizeof(T)) throw std::bad_array_new_length();
    void* const block = take_memory(count * sizeof(T));
    if (block == nullptr) throw std::bad_alloc();
    return static_cast<T*>(block);
  }
  void deallocate(T* block, size_t count) noexcept { give_memory(block, count * sizeof(T)); }

  template <typename Other>
  bool operator==(const PoolAllocator<Other>&) const noexcept {
    return true;
  }
};

template <typename T>
using PooledVector = std::vector<T, PoolAllocator<T>>;

}  // namespace lattice
