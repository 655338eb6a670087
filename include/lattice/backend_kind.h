#pragma once

#include <cstdint>

namespace lattice {

enum class BackendKind : uint8_t {
  cpu,        ///< threads, vector kernels chosen at run time
  reference,  ///< plain loops with double accumulation: the executable specification, for tests and comparisons
};

}  // namespace lattice
