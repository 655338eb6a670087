#include "lattice/numerics.h"

namespace lattice {

std::string_view name(Numerics numerics) noexcept {
  switch (numerics) {
    case Numerics::automatic:
      return "automatic";
    case Numerics::float32:
      return "float32";
    case Numerics::int16:
      return "int16";
    case Numerics::int8:
      return "int8";
    case Numerics::bfloat16:
      return "bfloat16";
  }
  return "unknown";
}

}  // namespace lattice
