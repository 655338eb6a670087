#pragma once

#include <span>

#include "lattice/detectors.h"
#include "lattice/picture.h"
#include "lattice/points.h"

namespace lattice::cli {

/// The square of metres that a view from above shows.
struct TopViewRange {
  float x = 0, y = 0, size = 0;  ///< lower corner and side
};

/// A scan from above, x to the right and y up: points brighter the more of them meet, boxes as outlines with a stroke
/// from the centre to the front, in the colours of their classes. `side` in pixels.
Picture draw_top_view(const PointCloud& points, std::span<const Box> boxes, const TopViewRange& range, int side = 1200);

}  // namespace lattice::cli
