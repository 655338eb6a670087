"""MinkUNet18 and CenterPoint's encoder in spconv: the layers of lattice/minkunet.h and lattice/detectors.h."""

from __future__ import annotations

import spconv.pytorch as spconv
import torch
from folded_layers import ConvBias, blocks, subm
from torch import nn

ENCODER = [32, 64, 128, 256]
DECODER = [256, 128, 96, 96]
SKIPS = [128, 64, 32, 32]


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


class CenterPointEncoder(nn.Module):
    """With axes x, y, z."""

    def __init__(self, in_channels: int) -> None:
        super().__init__()
        layers: list[nn.Module] = [subm(in_channels, 16, 0), *blocks(16, 16, 0)]
        inputs = 16
        for level, (outputs, padding) in enumerate([(32, 1), (64, 1), (128, (1, 1, 0))], start=1):
            down = spconv.SparseConv3d(inputs, outputs, 3, 2, padding, bias=False)
            layers += [ConvBias(down, outputs), *blocks(outputs, outputs, level)]
            inputs = outputs
        out = spconv.SparseConv3d(inputs, 128, (1, 1, 3), (1, 1, 2), 0, bias=False)
        self.layers = nn.Sequential(*layers, ConvBias(out, 128))

    def forward(self, features: torch.Tensor, coords: torch.Tensor, shape: list[int]) -> torch.Tensor:
        return self.layers(spconv.SparseConvTensor(features, coords, shape, 1)).features
