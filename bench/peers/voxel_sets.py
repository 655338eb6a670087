"""The coordinates that bench/voxel_sets.h names, made with numpy and spconv instead of lattice."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from spconv.core import ConvAlgo
from spconv.pytorch import ops

SHARED = Path(os.environ.get("LATTICE_SHARED_DIR") or Path(__file__).resolve().parents[2] / "../shared")
SCANS = {  # file, columns, size of a voxel in metres
    "kitti": ("kitti_000008.bin", 4, 0.05),
    "lidar": ("nuscenes_lidar_top.bin", 5, 0.05),
    "scannet": ("scannet_scene0000.bin", 6, 0.05),
    "scannet_2cm": ("scannet_scene0000.bin", 6, 0.02),
    "sweeps": ("nuscenes_10_sweeps.bin", 5, 0.1),
}
DETECTOR_EXTENT = [1440, 1440, 41]
FRAMES = 8
# A set without an extent gets one that is a multiple of this: then spconv's k2 s2 is floor(c / 2) on all levels.
EXTENT_UNIT = 64


@dataclass
class VoxelSet:
    coords: torch.Tensor  # (N, 4) int32: batch, x, y, z
    shape: list[int]


def frames_of(name: str) -> list[str]:
    """The names of a set's frames, as in kitti@5.d4."""
    scan, *steps = name.split(".")
    return [".".join([f"{scan}@{frame}", *steps]) for frame in range(FRAMES)]


def split_frame(scan: str) -> tuple[str, int]:
    base, _, frame = scan.partition("@")
    return base, int(frame or 0)


def mirror(frame: int, far: np.ndarray, rows: np.ndarray, x: int) -> None:
    """Mirrors columns x and x + 1 of the rows, each with its range's ends summed up in `far`, and exchanges them."""
    for axis in range(2):
        if frame >> axis & 1:
            rows[:, x + axis] = far[axis] - rows[:, x + axis]
    if frame & 4:
        rows[:, [x, x + 1]] = rows[:, [x + 1, x]]


def scan_points(scan: str) -> np.ndarray:
    base, frame = split_frame(scan)
    file, columns, _ = SCANS[base]
    points = np.fromfile(SHARED / "scans" / file, dtype="<f4").reshape(-1, columns)
    mirror(frame, points[:, :2].min(axis=0) + points[:, :2].max(axis=0), points, 0)
    return points


def scan_voxel_size(scan: str) -> float:
    return SCANS[split_frame(scan)[0]][2]


def first_appearances(coords: np.ndarray) -> np.ndarray:
    _, first = np.unique(coords, axis=0, return_index=True)
    return coords[np.sort(first)]


def with_own_shape(coords: np.ndarray) -> VoxelSet:
    """From (N, 3), shifted to zero already."""
    largest = coords.max(axis=0)
    shape = [int(-(-(value + 2) // EXTENT_UNIT) * EXTENT_UNIT) for value in largest]
    batch = np.zeros((len(coords), 1), dtype=np.int32)
    return VoxelSet(torch.from_numpy(np.hstack([batch, coords.astype(np.int32)])), shape)


def scan_voxels(scan: str) -> VoxelSet:
    base, frame = split_frame(scan)
    if base == "centerpoint":
        voxels = np.fromfile(SHARED / "scans" / "nuscenes_voxels_bxyz.i32", dtype="<i4").reshape(-1, 4)
        mirror(frame, np.array(DETECTOR_EXTENT[:2], dtype=np.int32) - 1, voxels, 1)  # of a square
        return VoxelSet(torch.from_numpy(voxels), DETECTOR_EXTENT)
    places = np.floor(scan_points(scan)[:, :3] / np.float32(scan_voxel_size(scan))).astype(np.int64)
    coords = first_appearances(places)
    return with_own_shape(coords - coords.min(axis=0))


def step(kind: str, number: int, voxels: VoxelSet) -> VoxelSet:
    xyz = voxels.coords[:, 1:].numpy()
    if kind == "d":
        return with_own_shape(first_appearances(xyz // 2))
    if kind == "u":
        children = np.stack(np.meshgrid([0, 1], [0, 1], [0, 1], indexing="ij"), axis=-1).reshape(8, 3)
        return with_own_shape((xyz[:, None, :] * 2 + children).reshape(-1, 3))
    padding = [1, 1, 0] if number == 2 else [1, 1, 1]
    kernel, stride, dilation = [3] * 3, [2] * 3, [1] * 3
    coords = ops.get_indice_pairs(
        voxels.coords, 1, voxels.shape, ConvAlgo.Native, kernel, stride, padding, dilation, [0] * 3
    )[0]
    return VoxelSet(coords, ops.get_conv_output_size(voxels.shape, kernel, stride, padding, dilation))


def voxel_set(name: str) -> VoxelSet:
    scan, *steps = name.split(".")
    voxels = scan_voxels(scan)
    for kind, times in steps:
        for number in range(int(times)):
            voxels = step(kind, number, voxels)
    return voxels
