"""spconv's convolutions for minkunet.py, and CenterPoint's encoder: the layers of lattice/detectors.h."""

from __future__ import annotations

import spconv.pytorch as spconv
import torch
from folded_layers import ConvBias, blocks, subm
from torch import nn


class Spconv:
    """The folded_layers.Library of spconv."""

    def subm(self, inputs: int, outputs: int, level: int) -> nn.Module:
        return spconv.SubMConv3d(inputs, outputs, 3, bias=False, indice_key=f"subm{level}")

    def down(self, inputs: int, outputs: int, level: int) -> nn.Module:
        return spconv.SparseConv3d(inputs, outputs, 2, 2, bias=False, indice_key=f"down{level}")

    def up(self, inputs: int, outputs: int, level: int) -> nn.Module:
        return spconv.SparseInverseConv3d(inputs, outputs, 2, bias=False, indice_key=f"down{level}")

    def with_features(self, x: spconv.SparseConvTensor, features: torch.Tensor) -> spconv.SparseConvTensor:
        return x.replace_feature(features)


class CenterPointEncoder(nn.Module):
    """With axes x, y, z."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        library = Spconv()
        layers: list[nn.Module] = [subm(library, in_channels, 16, 0), *blocks(library, 16, 16, 0)]
        inputs = 16
        for level, (outputs, padding) in enumerate([(32, 1), (64, 1), (128, (1, 1, 0))], start=1):
            down = spconv.SparseConv3d(inputs, outputs, 3, 2, padding, bias=False)
            layers += [ConvBias(down, outputs), *blocks(library, outputs, outputs, level)]
            inputs = outputs
        out = spconv.SparseConv3d(inputs, 128, (1, 1, 3), (1, 1, 2), 0, bias=False)
        self.layers = nn.Sequential(*layers, ConvBias(out, 128))

    def forward(self, x: spconv.SparseConvTensor) -> torch.Tensor:
        return self.layers(x).features
