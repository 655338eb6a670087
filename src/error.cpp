#include "lattice/error.h"

namespace lattice {

const char* name(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument:
      return "invalid_argument";
    case ErrorCode::unsupported:
      return "unsupported";
    case ErrorCode::corrupt_file:
      return "corrupt_file";
    case ErrorCode::io:
      return "io";
    case ErrorCode::out_of_range:
      return "out_of_range";
  }
  return "unknown";
}

}  // namespace lattice
