#pragma once

// Which sanitizer the compiler builds for: LATTICE_ADDRESS_SANITIZER, LATTICE_THREAD_SANITIZER, or neither.

#if defined(__SANITIZE_ADDRESS__)
#define LATTICE_ADDRESS_SANITIZER 1
#elif defined(__SANITIZE_THREAD__)
#define LATTICE_THREAD_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LATTICE_ADDRESS_SANITIZER 1
#elif __has_feature(thread_sanitizer)
#define LATTICE_THREAD_SANITIZER 1
#endif
#endif

namespace lattice {

/// Whether a sanitizer must see the lifetime of every block of memory.
#if defined(LATTICE_ADDRESS_SANITIZER) || defined(LATTICE_THREAD_SANITIZER)
inline constexpr bool kMemoryIsWatched = true;
#else
inline constexpr bool kMemoryIsWatched = false;
#endif

}  // namespace lattice
