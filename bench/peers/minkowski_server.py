#!/usr/bin/env python3
"""MinkowskiEngine on the CPU, as a server of bench/in_turn.py.

    minkowski_server.py --threads N

Layers call its own functions on kernel maps that are there already, without its modules around them: what is measured
is its convolution, not Python.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch_peer import THREADS, serve_peer

# isort: split
import torch

warnings.filterwarnings("ignore", message="The MinkowskiEngine was compiled with CPU_ONLY")
import MinkowskiEngine as ME  # noqa: E402
from MinkowskiEngine import CoordinateManager, CoordinateMapKey, SparseTensor  # noqa: E402
from MinkowskiEngineBackend import _C  # noqa: E402
from minkunet import MinkUNet18  # noqa: E402
from serving import Refused, Work, in_turn  # noqa: E402
from torch import nn  # noqa: E402
from voxel_sets import VoxelSet, frames_of, scan_points, scan_voxel_size, step, voxel_set  # noqa: E402

ONES = [1, 1, 1]
Inserted = list[tuple[torch.Tensor, list[int]]]


def new_manager() -> CoordinateManager:
    return CoordinateManager(D=3, num_threads=THREADS)  # by default it takes every processor


@dataclass
class Geometry:
    """A convolution as its functions want it."""

    kernel: list[int]
    stride: list[int]
    transposed: bool

    def convolve(
        self,
        x: torch.Tensor,
        weight: torch.Tensor,
        source: CoordinateMapKey,
        target: CoordinateMapKey,
        manager: CoordinateManager,
    ) -> torch.Tensor:
        """Sets `target` where it has no coordinates yet; makes the kernel map where there is none yet."""
        function = _C.ConvolutionTransposeForwardCPU if self.transposed else _C.ConvolutionForwardCPU
        return function(
            x,
            weight,
            self.kernel,
            self.stride,
            ONES,
            ME.RegionType.HYPER_CUBE,
            torch.IntTensor(),
            False,
            _C.ConvolutionMode.DEFAULT,
            source,
            target,
            manager._manager,
        )

    def kernel_map(
        self, source: CoordinateMapKey, target: CoordinateMapKey, manager: CoordinateManager
    ) -> dict[int, torch.Tensor]:
        """Pairs of each tap that has any."""
        return manager.kernel_map(source, target, self.stride, self.kernel, is_transpose=self.transposed)


@dataclass
class Relation:
    """Where the kernel map is that has been made, and what its making returned."""

    manager: CoordinateManager
    source: CoordinateMapKey
    target: CoordinateMapKey
    returned: Any


def geometry_of(case: dict[str, Any]) -> Geometry:
    kind = case["kind"]
    if kind == "regular":
        raise Refused("MinkowskiEngine's strided outputs are the inputs' floor(c / stride), not all that a tap reaches")
    return Geometry(case["kernel"], case["stride"], transposed=kind in ("inverse", "transposed", "generative"))


def strided(voxels: VoxelSet, stride: list[int]) -> torch.Tensor:
    """MinkowskiEngine's coordinates of a strided tensor are multiples of its stride."""
    return voxels.coords * torch.tensor([1, *stride], dtype=torch.int32)


def coordinates_of(case: dict[str, Any], name: str) -> Inserted:
    """What is there before a relation: coordinates and strides of the inputs, and of outputs not made from them."""
    kind, stride, voxels = case["kind"], case["stride"], voxel_set(name)
    if kind == "inverse":
        return [(strided(step("d", 0, voxels), stride), stride), (voxels.coords, ONES)]
    if kind in ("transposed", "generative"):
        return [(strided(voxels, stride), stride)]
    return [(voxels.coords, ONES)]


def relate(kind: str, geometry: Geometry, coordinates: Inserted) -> Relation:
    """Inserts the coordinates into its hash, makes those of the outputs, and looks the neighbours up.

    That is all that a first layer does before it convolves. A little more is counted: the kernel map comes as a copy in
    tensors (a hundredth), and only a transposed convolution itself makes its sites, so it runs with one channel (a
    twentieth).
    """
    manager = new_manager()
    source, *targets = [manager.insert_and_map(coords, stride)[0] for coords, stride in coordinates]
    if kind in ("transposed", "generative"):
        target = CoordinateMapKey(4)
        taps = geometry.kernel[0] * geometry.kernel[1] * geometry.kernel[2]
        x, weight = torch.ones(len(coordinates[0][0]), 1), torch.ones(taps, 1, 1)
        return Relation(manager, source, target, geometry.convolve(x, weight, source, target, manager))
    if kind == "forward":
        target = manager.stride(source, geometry.stride)
    else:
        target = targets[0] if kind == "inverse" else source
    return Relation(manager, source, target, geometry.kernel_map(source, target, manager))


def sizes_of(geometry: Geometry, found: Relation) -> dict[str, int]:
    maps = geometry.kernel_map(found.source, found.target, found.manager)
    return {
        "items": found.manager.size(found.source),
        "output_rows": found.manager.size(found.target),
        "edges": sum(pairs.shape[1] for pairs in maps.values()),
    }


def layer(case: dict[str, Any]) -> Work:
    """Whatever the precision: it has no packed weights, so its float32 is the yardstick."""
    inputs, outputs = case["in_channels"], case["out_channels"]
    if case["kernel"] == ONES and case["stride"] == ONES:
        rows = len(voxel_set(case["voxels"]).coords)
        x, weight = torch.randn(rows, inputs), torch.randn(inputs, outputs)
        return Work(lambda: torch.mm(x, weight), items=rows, output_rows=rows, edges=rows)  # as its module does
    geometry = geometry_of(case)
    found = relate(case["kind"], geometry, coordinates_of(case, case["voxels"]))
    sizes = sizes_of(geometry, found)
    kernel = case["kernel"]
    x = torch.randn(sizes["items"], inputs)
    weight = torch.randn(kernel[0] * kernel[1] * kernel[2], inputs, outputs)
    return Work(lambda: geometry.convolve(x, weight, found.source, found.target, found.manager), **sizes)


def relation(case: dict[str, Any]) -> Work:
    kind, geometry = case["kind"], geometry_of(case)
    runs = [partial(relate, kind, geometry, coordinates_of(case, frame)) for frame in frames_of(case["voxels"])]
    return Work(in_turn(runs), **sizes_of(geometry, runs[0]()))


def voxelize(case: dict[str, Any]) -> Work:
    """A sparse tensor of the points' voxels with the means of their features."""
    frames = [torch.from_numpy(scan_points(frame)[:, :4].copy()) for frame in frames_of(case["voxels"])]
    size = scan_voxel_size(case["voxels"])

    def run(points: torch.Tensor) -> SparseTensor:
        coords = nn.functional.pad(torch.floor(points[:, :3] / size).int(), (1, 0))  # of batch 0
        average = ME.SparseTensorQuantizationMode.UNWEIGHTED_AVERAGE
        return SparseTensor(points, coords, quantization_mode=average, coordinate_manager=new_manager())

    runs = [partial(run, points) for points in frames]
    return Work(in_turn(runs), items=len(frames[0]), output_rows=len(runs[0]()), edges=0)


class Minkowski:
    """The folded_layers.Library of MinkowskiEngine, which keeps the levels apart itself."""

    def subm(self, inputs: int, outputs: int, level: int) -> nn.Module:
        return ME.MinkowskiConvolution(inputs, outputs, kernel_size=3, dimension=3)

    def down(self, inputs: int, outputs: int, level: int) -> nn.Module:
        return ME.MinkowskiConvolution(inputs, outputs, kernel_size=2, stride=2, dimension=3)

    def up(self, inputs: int, outputs: int, level: int) -> nn.Module:
        return ME.MinkowskiConvolutionTranspose(inputs, outputs, kernel_size=2, stride=2, dimension=3)

    def with_features(self, x: SparseTensor, features: torch.Tensor) -> SparseTensor:
        return SparseTensor(features, coordinate_map_key=x.coordinate_map_key, coordinate_manager=x.coordinate_manager)


def network(case: dict[str, Any]) -> Work:
    if case["voxels"] == "centerpoint":
        raise Refused("MinkowskiEngine has no regular convolutions, of which CenterPoint's encoder is made")
    coords = voxel_set(case["voxels"]).coords
    model = MinkUNet18(Minkowski(), 4, classes=20).eval()
    x = torch.rand(len(coords), 4)

    def run() -> tuple[torch.Tensor, SparseTensor]:
        voxels = SparseTensor(x, coords, coordinate_manager=new_manager())
        return model(voxels), voxels  # which keeps the kernel maps until the clock has stopped

    return Work(run, items=len(coords), output_rows=len(run()[0]), edges=0)


def main() -> None:
    makers = {"layer": layer, "relation": relation, "voxelize": voxelize, "network": network}
    serve_peer(f"MinkowskiEngine {ME.__version__}", makers)


if __name__ == "__main__":
    main()
