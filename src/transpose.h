#pragma once

#include <cstdint>

namespace lattice {

/// Four numbers side by side.
using Four = int32_t __attribute__((vector_size(16)));

/// The columns of four rows.
struct FourColumns {
  Four first, second, third, fourth;
};

inline FourColumns transposed(Four row0, Four row1, Four row2, Four row3) noexcept {
  const Four low01 = __builtin_shufflevector(row0, row1, 0, 4, 1, 5),
             low23 = __builtin_shufflevector(row2, row3, 0, 4, 1, 5),
             high01 = __builtin_shufflevector(row0, row1, 2, 6, 3, 7),
             high23 = __builtin_shufflevector(row2, row3, 2, 6, 3, 7);
  return {__builtin_shufflevector(low01, low23, 0, 1, 4, 5), __builtin_shufflevector(low01, low23, 2, 3, 6, 7),
          __builtin_shufflevector(high01, high23, 0, 1, 4, 5), __builtin_shufflevector(high01, high23, 2, 3, 6, 7)};
}

}  // namespace lattice
