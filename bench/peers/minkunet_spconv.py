"""MinkUNet18 in spconv, layer for layer as include/lattice/minkunet.h describes it, with batch norms folded."""

from __future__ import annotations

import spconv.pytorch as spconv
import torch
from torch import nn

ENCODER = [32, 64, 128, 256]
DECODER = [256, 128, 96, 96]
SKIPS = [128, 64, 32, 32]


class ConvBias(nn.Module):
    """A convolution and its bias, which spconv's CPU code refuses to add itself; the ReLU in place."""

    def __init__(self, convolution: nn.Module, channels: int, relu: bool = True) -> None:
        super().__init__()
        self.convolution = convolution
        self.bias = nn.Parameter(torch.randn(channels) * 0.1)
        self.relu = relu

    def forward(self, x: spconv.SparseConvTensor) -> spconv.SparseConvTensor:
        y = self.convolution(x)
        y.features.add_(self.bias)
        if self.relu:
            y.features.relu_()
        return y


def subm(inputs: int, outputs: int, level: int, relu: bool = True) -> ConvBias:
    return ConvBias(spconv.SubMConv3d(inputs, outputs, 3, bias=False, indice_key=f"subm{level}"), outputs, relu)


class Block(nn.Module):
    def __init__(self, inputs: int, outputs: int, level: int) -> None:
        super().__init__()
        self.first = subm(inputs, outputs, level)
        self.second = subm(outputs, outputs, level, relu=False)
        self.shortcut = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()

    def forward(self, x: spconv.SparseConvTensor) -> spconv.SparseConvTensor:
        y = self.second(self.first(x))
        y.features.add_(self.shortcut(x.features)).relu_()
        return y


def blocks(inputs: int, outputs: int, level: int) -> nn.Sequential:
    return nn.Sequential(Block(inputs, outputs, level), Block(outputs, outputs, level))


class MinkUNet18(nn.Module):
    def __init__(self, in_channels: int, classes: int) -> None:
        super().__init__()
        self.stem = subm(in_channels, 32, 0)
        self.downs, self.encoder = nn.ModuleList(), nn.ModuleList()
        channels = 32
        for level, outputs in enumerate(ENCODER):
            down = spconv.SparseConv3d(channels, channels, 2, 2, bias=False, indice_key=f"down{level}")
            self.downs.append(ConvBias(down, channels))
            self.encoder.append(blocks(channels, outputs, level + 1))
            channels = outputs
        self.ups, self.decoder = nn.ModuleList(), nn.ModuleList()
        for stage, outputs in enumerate(DECODER):
            level = len(ENCODER) - 1 - stage
            up = spconv.SparseInverseConv3d(channels, outputs, 2, bias=False, indice_key=f"down{level}")
            self.ups.append(ConvBias(up, outputs))
            self.decoder.append(blocks(outputs + SKIPS[stage], outputs, level))
            channels = outputs
        self.head = nn.Linear(channels, classes)

    def forward(self, features: torch.Tensor, coords: torch.Tensor, shape: list[int]) -> torch.Tensor:
        x = self.stem(spconv.SparseConvTensor(features, coords, shape, 1))
        skips = [x]
        for down, stage in zip(self.downs, self.encoder):
            x = stage(down(x))
            skips.append(x)
        skips.pop()
        for up, stage in zip(self.ups, self.decoder):
            x = up(x)
            x = stage(x.replace_feature(torch.cat([x.features, skips.pop().features], dim=1)))
        return self.head(x.features)
