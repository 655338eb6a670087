#!/usr/bin/env python3
"""Voxels by numpy's unique, as a server of bench/in_turn.py: what users write who have no library for it."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from serving import Work, in_turn, serve
from voxel_sets import frames_of, scan_points, scan_voxel_size


def voxelize(case: dict[str, Any]) -> Work:
    frames = [scan_points(frame)[:, :4].copy() for frame in frames_of(case["voxels"])]
    size = np.float32(scan_voxel_size(case["voxels"]))

    def run(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        coords = np.floor(points[:, :3] / size).astype(np.int64)
        coords -= coords.min(axis=0)
        # One integer a voxel: ten times faster than unique over rows.
        key = (coords[:, 0] << 42) | (coords[:, 1] << 21) | coords[:, 2]
        _, first, row, counts = np.unique(key, return_index=True, return_inverse=True, return_counts=True)
        sums = [np.bincount(row, weights=points[:, column], minlength=len(first)) for column in range(4)]
        return coords[first], (np.stack(sums, axis=1) / counts[:, None]).astype(np.float32)

    runs = [partial(run, points) for points in frames]
    return Work(in_turn(runs), items=len(frames[0]), output_rows=len(runs[0]()[0]), edges=0)


if __name__ == "__main__":
    serve({"program": f"numpy {np.__version__}", "threads": 1}, {"voxelize": voxelize})
