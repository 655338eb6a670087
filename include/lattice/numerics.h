#pragma once

#include <cstdint>
#include <string_view>

namespace lattice {

/// How the cpu backend multiplies packed weights. Floating weights always take float32. docs/numerics.md has the error
/// bounds.
enum class Numerics : uint8_t {
  automatic,  ///< int16 where the machine is faster at it, else float32; the same choice for all layers
  float32,    ///< weights decoded to float32, activations as they are
  int16,      ///< activations rounded to 16 bits with a scale for each row and group, products exact in integers
  int8,       ///< to 8 bits: fastest, and no more accurate than 8-bit activations are
};

std::string_view name(Numerics numerics) noexcept;

}  // namespace lattice
