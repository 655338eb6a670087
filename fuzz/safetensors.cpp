// Any file is refused with an Error, or all of its tensors can be had, each within the file.

#include "lattice/safetensors.h"

#include <cstdint>
#include <string>

#include "lattice/error.h"
#include "memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryFile bytes(data, size);
  try {
    const lattice::SafetensorsFile file = lattice::SafetensorsFile::open(bytes.path());
    for (const std::string& name : file.names()) {
      try {
        const lattice::Tensor tensor = file.tensor(name);
        const auto* begin = static_cast<const volatile uint8_t*>(tensor.raw());
        for (size_t i = 0; i < tensor.nbytes(); ++i) static_cast<void>(begin[i]);
      } catch (const lattice::Error&) {
      }
    }
  } catch (const lattice::Error&) {
  }
  return 0;
}
