#!/usr/bin/env python3
"""spconv on the CPU, as a server of bench/in_turn.py.

    spconv_server.py --threads N

Layers call spconv's own functions on pairs that are there already, without its modules around them: what is measured
is its convolution, not Python.
"""

from __future__ import annotations

from functools import cache, partial
from typing import Any, Callable

from torch_peer import serve_peer

# isort: split
import spconv
import torch
from minkunet import MinkUNet18
from serving import Refused, Work, in_turn
from spconv.core import ConvAlgo
from spconv.pytorch import SparseConvTensor, ops
from spconv.pytorch import functional as Fsp
from spconv.pytorch.utils import PointToVoxel
from spconv_networks import CenterPointEncoder, Spconv
from voxel_sets import VoxelSet, frames_of, scan_points, scan_voxel_size, voxel_set

Run = Callable[[], Any]
ONES = [1, 1, 1]
MOST_CELLS = 2**31  # it counts them in 32 bits


def pairs_of(case: dict[str, Any], kind: str, voxels: VoxelSet) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Output coordinates, pairs, and pairs a tap."""
    return ops.get_indice_pairs(
        voxels.coords,
        1,
        voxels.shape,
        ConvAlgo.Native,
        case["kernel"],
        case["stride"],
        case["padding"],
        ONES,
        [0, 0, 0],
        subm=kind == "subm",
        transpose=kind == "transposed",
    )


def edge_count(kind: str, rows: int, pairs: torch.Tensor, counts: torch.Tensor) -> int:
    if kind != "subm":
        return int(counts.sum())
    return int(counts[: len(counts) // 2].sum()) * 2 + rows  # the second half mirrors the first; the centre is all rows


def layer(case: dict[str, Any]) -> Work:
    kind, voxels = case["kind"], voxel_set(case["voxels"])
    rows = len(voxels.coords)
    inputs, outputs = case["in_channels"], case["out_channels"]
    if kind == "generative":
        raise Refused("spconv has no generative convolution")
    if case["precision"] != "float32":
        case = {**case, "precision": "float32"}  # it has no packed weights on the CPU: its float32 is the yardstick
    if case["kernel"] == ONES:
        x, weight = torch.randn(rows, inputs), torch.randn(inputs, outputs)
        return Work(lambda: torch.mm(x, weight), items=rows, output_rows=rows, edges=rows)
    coords, pairs, counts = pairs_of(case, kind, voxels)
    edges = edge_count(kind, rows, pairs, counts)
    weight = torch.randn(outputs, *case["kernel"], inputs)
    if kind == "inverse":
        x, count = torch.randn(len(coords), inputs), rows
        convolve: Callable[..., torch.Tensor] = Fsp.indice_inverse_conv
    else:
        x, count = torch.randn(rows, inputs), len(coords)
        convolve = Fsp.indice_subm_conv if kind == "subm" else Fsp.indice_conv
    return Work(
        lambda: convolve(x, weight, pairs, counts, count, ConvAlgo.Native),
        items=len(x),
        output_rows=count,
        edges=edges,
    )


def relation(case: dict[str, Any]) -> Work:
    kind = case["kind"]
    if kind in ("inverse", "generative"):
        raise Refused(f"spconv looks nothing up for {kind} convolutions")
    frames = [voxel_set(frame) for frame in frames_of(case["voxels"])]
    coords, pairs, counts = pairs_of(case, kind, frames[0])
    rows = len(frames[0].coords)
    return Work(
        in_turn([partial(pairs_of, case, kind, voxels) for voxels in frames]),
        items=rows,
        output_rows=len(coords),
        edges=edge_count(kind, rows, pairs, counts),
    )


def voxelize(case: dict[str, Any]) -> Work:
    """PointToVoxel with room for every voxel and 5 points in each, then the mean: what a detector's input takes."""
    frames = [torch.from_numpy(scan_points(frame)[:, :4].copy()) for frame in frames_of(case["voxels"])]
    size = scan_voxel_size(case["voxels"])

    @cache  # frames that are mirrored share a grid, which may take gigabytes
    def generator_over(*corners: float) -> PointToVoxel:
        return PointToVoxel([size] * 3, corners, 4, len(frames[0]), 5)

    def generator_of(points: torch.Tensor) -> PointToVoxel:
        low = (points[:, :3].min(0).values / size).floor() * size - size
        high = (points[:, :3].max(0).values / size).floor() * size + 2 * size
        cells = float(((high - low) / size).prod())
        if cells > MOST_CELLS:
            raise Refused(f"spconv's PointToVoxel keeps 4 bytes of each of the grid's {cells:.1e} cells")
        return generator_over(*low.tolist(), *high.tolist())

    def run(generator: PointToVoxel, points: torch.Tensor) -> torch.Tensor:
        voxels, _, counts = generator(points)
        return voxels.sum(1) / counts.view(-1, 1)

    runs = [partial(run, generator_of(points), points) for points in frames]
    return Work(in_turn(runs), items=len(frames[0]), output_rows=len(runs[0]()), edges=0)


def network(case: dict[str, Any]) -> Work:
    voxels = voxel_set(case["voxels"])
    if case["voxels"] == "centerpoint":
        channels, model = 5, CenterPointEncoder(5).eval()
    else:
        channels, model = 4, MinkUNet18(Spconv(), 4, classes=20).eval()
    rows = len(voxels.coords)
    x = torch.rand(rows, channels)

    def run() -> tuple[torch.Tensor, SparseConvTensor]:
        tensor = SparseConvTensor(x, voxels.coords, voxels.shape, 1)
        return model(tensor), tensor  # which keeps the pairs until the clock has stopped

    return Work(run, items=rows, output_rows=len(run()[0]), edges=0)


def main() -> None:
    makers = {"layer": layer, "relation": relation, "voxelize": voxelize, "network": network}
    serve_peer(f"spconv {spconv.__version__}", makers)


if __name__ == "__main__":
    main()
