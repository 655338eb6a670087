#pragma once

#include <string>

#include "lattice/points.h"
#include "lattice/session.h"
#include "lattice/sparse_tensor.h"

namespace lattice::bench {

// Coordinates to measure on, by name: a scan, and steps that lead from it, as "kitti.d4", "centerpoint.r2",
// "scannet.d2.u1".
//   .dN  N times the forward support of kernel 2, stride 2: a U-Net's level
//   .rN  N times the regular support of kernel 3, stride 2, padding 1 (the third time 0 along z): CenterPoint's stages
//   .uN  N times all 8 children of every voxel: a generative decoder's levels
// Coordinates are shifted so that each axis' smallest is 0, but for centerpoint, which has its detector's extent.
//
// "kitti@5.d4" is the same of the fifth frame of a stream: the scan mirrored, as many ways as there are frames, by x,
// by y, and with x and y exchanged. Frames differ in all that a processor could learn by heart from one that it sees
// again and again, and in little else.
constexpr int kFrames = 8;

/// A frame of a set or scan whose name has none. Frame 0 is the scan as it is.
std::string frame_name(const std::string& name, int frame);

/// The points of a scan: kitti, lidar, scannet, scannet_2cm, sweeps. Throws invalid_argument for another name, and io.
PointCloud scan_points(const std::string& scan);
/// The size of that scan's voxels in metres.
float scan_voxel_size(const std::string& scan);

/// The set of a name. Throws invalid_argument, io.
Support voxel_set(Session& session, const std::string& name);

/// The scan as a network takes it: four channels in 0..1.
SparseTensor network_voxels(Session& session, const std::string& scan);

}  // namespace lattice::bench
