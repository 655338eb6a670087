"""spconv's PointToVoxel on a scan, for the tests of lattice: coordinates, kept points and their means for several limits.

    python voxels.py SCAN OUT_DIR

SCAN holds rows of five float32. OUT_DIR/voxels.safetensors gets `points`, and for each case `CASE.coords` (x, y, z),
`CASE.counts` and `CASE.means` of all columns, in spconv's row order.
"""

import sys
from pathlib import Path

import cumm.tensorview as tv
import numpy as np
from spconv.utils import Point2VoxelCPU3d

import arrays_file

# name: voxel size, range (lower corner, then upper), points a voxel, voxels
CASES = {
    "nuscenes": ([0.075, 0.075, 0.2], [-54, -54, -5, 54, 54, 3], 10, 120000),
    "few_points": ([0.3, 0.3, 0.4], [-30, -20, -3, 30, 40, 1], 2, 60000),
    "few_voxels": ([0.1, 0.1, 0.2], [-54, -54, -5, 54, 54, 3], 5, 7000),
}


def main() -> None:
    points = np.fromfile(sys.argv[1], np.float32).reshape(-1, 5)
    arrays = {"points": points}
    for name, (voxel_size, corners, most_points, most_voxels) in CASES.items():
        generator = Point2VoxelCPU3d(voxel_size, corners, points.shape[1], most_voxels, most_points)
        voxels, indices, counts = (x.numpy() for x in generator.point_to_voxel(tv.from_numpy(points)))
        counts = counts.astype(np.int32)
        sums = voxels.astype(np.float64).sum(axis=1)  # rows beyond the count are zeros
        arrays[f"{name}.coords"] = np.ascontiguousarray(indices[:, ::-1].astype(np.int32))
        arrays[f"{name}.counts"] = counts.copy()
        arrays[f"{name}.means"] = (sums / counts[:, None]).astype(np.float32)
    arrays_file.save(Path(sys.argv[2]) / "voxels.safetensors", arrays)


if __name__ == "__main__":
    main()
