// Any text is refused with an Error, or gives a sidecar that keeps its own rules: what is a number is finite, and lists
// that belong together are of one length.

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <string>

#include "cli/scan_sidecar.h"
#include "lattice/error.h"

namespace {

void require(bool holds) {
  if (!holds) std::abort();
}

template <typename Numbers>
bool finite(const Numbers& numbers) {
  return std::all_of(numbers.begin(), numbers.end(), [](float number) { return std::isfinite(number); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  lattice::cli::ScanSidecar sidecar;
  try {
    sidecar = lattice::cli::parse_sidecar({reinterpret_cast<const char*>(data), size}, "fuzz");
  } catch (const lattice::Error&) {
    return 0;
  }
  if (sidecar.voxel_size) {
    require(finite(*sidecar.voxel_size));
    require(*std::min_element(sidecar.voxel_size->begin(), sidecar.voxel_size->end()) > 0);
  }
  require(finite(sidecar.origin) && finite(sidecar.offset) && finite(sidecar.scale));
  require(sidecar.offset.empty() || sidecar.offset.size() == sidecar.columns.size());
  require(sidecar.scale.empty() || sidecar.scale.size() == sidecar.columns.size());
  require(sidecar.colours.empty() || sidecar.colours.size() == sidecar.classes.size());
  return 0;
}
