#pragma once

#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

// What the products of bfloat16 of AVX-512 and AMX have in common: they round to nearest, ties to even, and take
// subnormal factors and sums for zeros, whatever the state of the processor says.

namespace lattice::cpu {
namespace {

inline float flushed(float value) {
  return std::fpclassify(value) == FP_SUBNORMAL ? std::copysign(0.0F, value) : value;
}

/// The bfloat16 at an address, as a factor.
inline float bf16_model_at(const void* from) {
  uint16_t bits;
  std::memcpy(&bits, from, sizeof(bits));
  return flushed(std::bit_cast<float>(uint32_t{bits} << 16));
}

}  // namespace
}  // namespace lattice::cpu
