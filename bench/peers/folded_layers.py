"""Layers of spconv with their batch norms folded: what a user who cares for speed runs."""

from __future__ import annotations

import spconv.pytorch as spconv
import torch
from torch import nn


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
