#include "lattice/points.h"

#include <algorithm>

namespace lattice {

int64_t PointCloud::column(std::string_view name) const {
  const auto found = std::find(columns.begin(), columns.end(), name);
  return found == columns.end() ? -1 : found - columns.begin();
}

}  // namespace lattice
