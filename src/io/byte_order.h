#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstring>
#include <type_traits>

namespace lattice {

// Raw rows and tensors are mapped and copied as they lie in their little-endian files.
static_assert(std::endian::native == std::endian::little, "the readers copy little-endian files without swapping");

/// A T stored at `from`, which needs no alignment.
template <typename T>
T load(const std::byte* from, std::endian order = std::endian::little) {
  static_assert(std::is_arithmetic_v<T>);
  std::array<std::byte, sizeof(T)> bytes;
  std::memcpy(bytes.data(), from, sizeof(T));
  if (order != std::endian::native) std::reverse(bytes.begin(), bytes.end());
  return std::bit_cast<T>(bytes);
}

/// Stores a T at `to`, little-endian, and returns the place behind it.
template <typename T>
std::byte* store(std::byte* to, T value) {
  static_assert(std::is_arithmetic_v<T>);
  std::memcpy(to, &value, sizeof(T));
  return to + sizeof(T);
}

}  // namespace lattice
