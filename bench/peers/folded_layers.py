"""Layers of sparse networks with their batch norms folded: what a user who cares for speed runs."""

from __future__ import annotations

from typing import Any, Protocol

import torch
from torch import nn


class Library(Protocol):
    """Whose convolutions a network runs, without their biases. `level` counts the strides of 2 above a layer.

    Sparse tensors are the library's own; all that the layers here ask of one is its `features`.
    """

    def subm(self, inputs: int, outputs: int, level: int) -> nn.Module: ...

    def down(self, inputs: int, outputs: int, level: int) -> nn.Module:
        """From `level` to the next."""

    def up(self, inputs: int, outputs: int, level: int) -> nn.Module:
        """Back to the voxels of `level`."""

    def with_features(self, x: Any, features: torch.Tensor) -> Any:
        """`x` with other features."""


class ConvBias(nn.Module):
    """A convolution and its bias, which spconv's CPU code refuses to add itself; the ReLU in place."""

    def __init__(self, convolution: nn.Module, channels: int, relu: bool = True) -> None:
        super().__init__()
        self.convolution = convolution
        self.bias = nn.Parameter(torch.randn(channels) * 0.1)
        self.relu = relu

    def forward(self, x: Any) -> Any:
        y = self.convolution(x)
        y.features.add_(self.bias)
        if self.relu:
            y.features.relu_()
        return y


def subm(library: Library, inputs: int, outputs: int, level: int, relu: bool = True) -> ConvBias:
    return ConvBias(library.subm(inputs, outputs, level), outputs, relu)


class Block(nn.Module):
    def __init__(self, library: Library, inputs: int, outputs: int, level: int) -> None:
        super().__init__()
        self.first = subm(library, inputs, outputs, level)
        self.second = subm(library, outputs, outputs, level, relu=False)
        self.shortcut = nn.Linear(inputs, outputs) if inputs != outputs else nn.Identity()

    def forward(self, x: Any) -> Any:
        y = self.second(self.first(x))
        y.features.add_(self.shortcut(x.features)).relu_()
        return y


def blocks(library: Library, inputs: int, outputs: int, level: int) -> nn.Sequential:
    return nn.Sequential(Block(library, inputs, outputs, level), Block(library, outputs, outputs, level))
