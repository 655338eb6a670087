#include "artifact/limits.h"

#include <unistd.h>

#include <limits>
#include <numeric>

#include "fail.h"

namespace lattice::artifact {
namespace {

// A coordinate, and a place in the table that tells repeated ones.
constexpr int64_t kSiteBytes = sizeof(Coord) + 2 * sizeof(int32_t);

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
  check_memory(geometry.taps(), source.rows() * kSiteBytes, "a kernel whose taps are", geometry.taps());
}

void check_reached_sites(const CoordSet& source, const ConvGeometry& geometry) {
  if (source.rows() == 0) return;
  // Where dilation and stride share no divisor, as many taps in a row as the stride hold one that divides.
  const auto reached = [](int64_t size, int64_t stride, int64_t dilation) {
    return std::gcd(stride, dilation) == 1 ? size / stride : 0;
  };
  const auto& [size, stride, padding, dilation] = geometry.options();
  const int64_t sites = reached(size.x, stride.x, dilation.x) * reached(size.y, stride.y, dilation.y) *
                        reached(size.z, stride.z, dilation.z);
  check_memory(sites, kSiteBytes, "a kernel whose taps are", geometry.taps());
}

}  // namespace lattice::artifact
