#include "artifact/limits.h"

#include <unistd.h>

#include <limits>

#include "fail.h"

namespace lattice::artifact {
namespace {

int64_t machine_bytes() {
  const int64_t pages = ::sysconf(_SC_PHYS_PAGES), page = ::sysconf(_SC_PAGESIZE);
  return pages > 0 && page > 0 ? pages * page : std::numeric_limits<int64_t>::max();
}

}  // namespace

void check_memory(int64_t count, int64_t bytes, std::string_view what, int64_t value) {
  int64_t total = 0;
  if (!__builtin_mul_overflow(count, bytes, &total) && total <= machine_bytes()) return;
  fail(ErrorCode::out_of_range, "{} {} takes more memory than the {} bytes that this machine has; use a smaller one",
       what, value, machine_bytes());
}

void check_sites(const CoordSet& source, const ConvGeometry& geometry) {
  if (source.rows() == 0) return;
  // A coordinate, and a place in the table that tells repeated ones.
  check_memory(geometry.taps(), source.rows() * static_cast<int64_t>(sizeof(Coord) + 2 * sizeof(int32_t)),
               "a kernel whose taps are", geometry.taps());
}

}  // namespace lattice::artifact
