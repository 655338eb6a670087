"""CenterPoint's encoder and VoxelNeXt in torch with spconv, on a CPU, with random weights and the running statistics of
a pass over the voxels: their weights, input and the output of every stage, for the tests of lattice.

    python detectors.py VOXELS OUT_DIR

VOXELS holds rows of four int32: batch, x, y, z. Written are centerpoint.safetensors and voxelnext.safetensors, with
weights as `weights.NAME` under OpenPCDet's names, and for the input and each stage `STAGE.coords` (batch, x, y, z) and
`STAGE.features`.
"""

import sys
from pathlib import Path

import numpy as np
import spconv.pytorch as spconv
import torch
from torch import Tensor, nn

import arrays_file

EPS = 1e-3
EXTENT = [41, 1440, 1440]  # z, y, x
SparseTensor = spconv.SparseConvTensor


class Norm(nn.BatchNorm1d):
    """A batch norm whose first pass, in training, leaves exactly the statistics of its input."""

    def __init__(self, channels: int) -> None:
        super().__init__(channels, eps=EPS, momentum=1.0)
        nn.init.uniform_(self.weight, 0.5, 1.5)
        nn.init.normal_(self.bias, 0, 0.3)


class Convolution(nn.Module):
    """A convolution, with its bias added in torch: on the CPU spconv has none outside of training."""

    def __init__(self, layer: nn.Module, has_bias: bool, channels: int) -> None:
        super().__init__()
        self.layer = layer
        self.bias = nn.Parameter(torch.randn(channels) * 0.1) if has_bias else None
        fan_in = layer.weight.numel() / channels
        nn.init.normal_(layer.weight, 0, (2 / fan_in) ** 0.5)

    def forward(self, x: SparseTensor) -> SparseTensor:
        y = self.layer(x)
        return y if self.bias is None else y.replace_feature(y.features + self.bias)


def submanifold(ins: int, outs: int, key: str, has_bias: bool, kernel: int = 3, flat: bool = False) -> Convolution:
    kind = spconv.SubMConv2d if flat else spconv.SubMConv3d
    return Convolution(kind(ins, outs, kernel, padding=kernel // 2, bias=False, indice_key=key), has_bias, outs)


def normed(x: SparseTensor, norm: Norm, residual: Tensor | None = None) -> SparseTensor:
    features = norm(x.features)
    if residual is not None:
        features = features + residual
    return x.replace_feature(torch.relu(features))


class ConvNorm(nn.ModuleList):
    """[convolution, norm], the names that OpenPCDet's sequences give."""

    def __init__(self, convolution: Convolution, channels: int) -> None:
        super().__init__([convolution, Norm(channels)])

    def forward(self, x: SparseTensor) -> SparseTensor:
        return normed(self[0](x), self[1])


class Block(nn.Module):
    def __init__(self, channels: int, key: str) -> None:
        super().__init__()
        self.conv1 = submanifold(channels, channels, key, True)
        self.bn1 = Norm(channels)
        self.conv2 = submanifold(channels, channels, key, True)
        self.bn2 = Norm(channels)

    def forward(self, x: SparseTensor) -> SparseTensor:
        return normed(self.conv2(normed(self.conv1(x), self.bn1)), self.bn2, x.features)


def stage(ins: int, outs: int, number: int, padding: int | list[int]) -> nn.ModuleList:
    key = f"res{number}"
    blocks: list[nn.Module] = [Block(outs, key), Block(outs, key)]
    if number > 1:
        layer = spconv.SparseConv3d(ins, outs, 3, 2, padding, bias=False, indice_key=f"down{number}")
        blocks.insert(0, ConvNorm(Convolution(layer, False, outs), outs))
    return nn.ModuleList(blocks)


class Backbone(nn.Module):
    def __init__(self, stages: int) -> None:
        super().__init__()
        self.conv_input = ConvNorm(submanifold(5, 16, "subm1", False), 16)
        channels = [16, 16, 32, 64, 128, 128, 128]
        for number in range(1, stages + 1):
            padding = [0, 1, 1] if number == 4 else 1
            setattr(self, f"conv{number}", stage(channels[number - 1], channels[number], number, padding))
        self.stages = stages

    def forward(self, x: SparseTensor) -> dict[str, SparseTensor]:
        outputs = {}
        x = self.conv_input(x)
        for number in range(1, self.stages + 1):
            for part in getattr(self, f"conv{number}"):
                x = part(x)
            outputs[f"conv{number}"] = x
        return outputs


class CenterPointEncoder(Backbone):
    def __init__(self) -> None:
        super().__init__(4)
        layer = spconv.SparseConv3d(128, 128, (3, 1, 1), (2, 1, 1), 0, bias=False, indice_key="out")
        self.conv_out = ConvNorm(Convolution(layer, False, 128), 128)

    def forward(self, x: SparseTensor) -> dict[str, SparseTensor]:
        outputs = super().forward(x)
        return outputs | {"out": self.conv_out(outputs["conv4"])}


HEADS = {"hm": 10, "center": 2, "center_z": 1, "dim": 3, "rot": 2, "vel": 2}


class Head(nn.ModuleList):
    def __init__(self, name: str, channels: int) -> None:
        inner = ConvNorm(submanifold(128, 128, "head", True, flat=True), 128)
        super().__init__([inner, submanifold(128, channels, name, True, kernel=1, flat=True)])

    def forward(self, x: SparseTensor) -> SparseTensor:
        return self[1](self[0](x))


class Heads(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.heads_list = nn.ModuleList([nn.ModuleDict({name: Head(name, size) for name, size in HEADS.items()})])

    def forward(self, x: SparseTensor) -> dict[str, SparseTensor]:
        return {name: head(x) for name, head in self.heads_list[0].items()}


def folded(outputs: dict[str, SparseTensor]) -> SparseTensor:
    """The last three stages' voxels at the first one's resolution, summed over each column."""
    fine = outputs["conv4"]
    indices, features = [], []
    for name, factor in (("conv4", 1), ("conv5", 2), ("conv6", 4)):
        index = outputs[name].indices.clone()
        index[:, 1:] *= factor
        indices.append(index[:, [0, 2, 3]])
        features.append(outputs[name].features)
    columns, inverse = torch.unique(torch.cat(indices), dim=0, return_inverse=True)
    sums = torch.zeros(len(columns), 128).index_add_(0, inverse, torch.cat(features))
    return SparseTensor(sums, columns.int(), fine.spatial_shape[1:], fine.batch_size)


class FlatBackbone(Backbone):
    def __init__(self) -> None:
        super().__init__(6)
        layer = spconv.SparseConv2d(128, 128, 3, 1, 1, bias=False, indice_key="flat")
        self.conv_out = ConvNorm(Convolution(layer, False, 128), 128)
        self.shared_conv = ConvNorm(submanifold(128, 128, "shared", True, flat=True), 128)

    def forward(self, x: SparseTensor) -> dict[str, SparseTensor]:
        outputs = super().forward(x)
        flat = self.conv_out(folded(outputs))
        return outputs | {"flat": flat, "shared": self.shared_conv(flat)}


class VoxelNeXt(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.backbone_3d = FlatBackbone()
        self.dense_head = Heads()

    def forward(self, x: SparseTensor) -> dict[str, SparseTensor]:
        outputs = self.backbone_3d(x)
        return outputs | self.dense_head(outputs["shared"])


def arrays_of(name: str, x: SparseTensor) -> dict[str, np.ndarray]:
    indices = x.indices.numpy().astype(np.int32)
    if indices.shape[1] == 3:  # batch, y, x
        indices = np.insert(indices, 1, 0, axis=1)
    return {f"{name}.coords": np.ascontiguousarray(indices[:, [0, 3, 2, 1]]), f"{name}.features": x.features.numpy()}


def weights_of(network: nn.Module) -> dict[str, np.ndarray]:
    """Under OpenPCDet's names, which know no layer inside a convolution; floats alone."""
    tensors = {key.replace(".layer.", "."): value for key, value in network.state_dict().items()}
    return {f"weights.{key}": value.numpy() for key, value in tensors.items() if value.dtype == torch.float32}


def run(network: nn.Module, voxels: np.ndarray, path: Path) -> None:
    indices = torch.from_numpy(np.ascontiguousarray(voxels[:, [0, 3, 2, 1]]))
    features = torch.randn(len(voxels), 5)

    def make_input() -> SparseTensor:
        return SparseTensor(features, indices, EXTENT, int(voxels[:, 0].max()) + 1)

    with torch.no_grad():
        network.train()
        network(make_input())  # leaves the running statistics
        network.eval()
        outputs = network(make_input())
    arrays = weights_of(network) | arrays_of("input", make_input())
    for name, output in outputs.items():
        arrays |= arrays_of(name, output)
    arrays_file.save(path, arrays)


def main() -> None:
    torch.manual_seed(5)
    voxels = np.fromfile(sys.argv[1], np.int32).reshape(-1, 4)
    folder = Path(sys.argv[2])
    run(CenterPointEncoder(), voxels, folder / "centerpoint.safetensors")
    run(VoxelNeXt(), voxels, folder / "voxelnext.safetensors")


if __name__ == "__main__":
    main()
