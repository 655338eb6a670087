#pragma once

#include <cstdint>
#include <string_view>

namespace lattice {

/// How the cpu backend multiplies packed weights. Floating weights take float32, unless they and the activations are
/// bfloat16, under automatic and bfloat16. docs/numerics.md has the error bounds.
enum class Numerics : uint8_t {
  automatic,  ///< bfloat16 for such activations where the machine has it, int16 where the machine and a layer's
              ///< channels make it faster, else float32
  float32,   ///< weights decoded to float32, activations as they are
  int16,     ///< activations rounded to 16 bits: integers with a scale for each row and group, or sums of two bfloat16
  int8,      ///< to integers of 8 bits: fastest, and no more accurate than 8-bit activations are
  bfloat16,  ///< bfloat16 activations as they are, their products exact in float32, where the machine has it; else
             ///< float32
};

std::string_view name(Numerics numerics) noexcept;

}  // namespace lattice
