// Any file is refused with an Error, or gives a cloud whose sizes agree. LATTICE_FUZZ_FORMAT is the format's name.

#include "lattice/point_file.h"

#include <cstdint>
#include <cstdlib>

#include "lattice/error.h"
#include "memory_file.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const MemoryFile bytes(data, size);
  lattice::PointReadOptions options;
  options.format = LATTICE_FUZZ_FORMAT;
  try {
    const lattice::PointCloud cloud = lattice::read_points(bytes.path(), options);
    if (cloud.values.rank() != 2 || cloud.values.size(1) != static_cast<int64_t>(cloud.columns.size())) {
      std::abort();
    }
  } catch (const lattice::Error&) {
  }
  return 0;
}
