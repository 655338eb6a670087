#pragma once

#include <cstdint>

#include "lattice/points.h"

namespace lattice::cli {

/// One turn of a 64-beam LiDAR in an invented street: about 100,000 points (x, y, z in metres, intensity 0..1).
///
/// The sensor is the origin, 1.73 m above the road; x is forward, y left, z up. Beams leave from -24.8 to +2 degrees,
/// as those of a Velodyne HDL-64E; returns end at 80 m, ranges carry noise with a standard deviation of 0.02 m, and
/// some rays return nothing. Rows are in firing order: azimuth by azimuth from behind over the right, beams upwards.
///
/// The seed decides the street and the noise. The points of a seed are the same on every machine with IEEE doubles:
/// beyond + - * / only sqrt and floor are called, which are exact by the standard.
PointCloud street_scan(uint64_t seed);

}  // namespace lattice::cli
