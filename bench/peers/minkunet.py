"""MinkUNet18 of any library: the layers of lattice/minkunet.h."""

from __future__ import annotations

from typing import Any

import torch
from folded_layers import ConvBias, Library, blocks, subm
from torch import nn

ENCODER = [32, 64, 128, 256]
DECODER = [256, 128, 96, 96]
SKIPS = [128, 64, 32, 32]


class MinkUNet18(nn.Module):
    def __init__(self, library: Library, in_channels: int, classes: int) -> None:
        super().__init__()
        self.library = library
        self.stem = subm(library, in_channels, 32, 0)
        self.downs, self.encoder = nn.ModuleList(), nn.ModuleList()
        channels = 32
        for level, outputs in enumerate(ENCODER):
            self.downs.append(ConvBias(library.down(channels, channels, level), channels))
            self.encoder.append(blocks(library, channels, outputs, level + 1))
            channels = outputs
        self.ups, self.decoder = nn.ModuleList(), nn.ModuleList()
        for stage, outputs in enumerate(DECODER):
            level = len(ENCODER) - 1 - stage
            self.ups.append(ConvBias(library.up(channels, outputs, level), outputs))
            self.decoder.append(blocks(library, outputs + SKIPS[stage], outputs, level))
            channels = outputs
        self.head = nn.Linear(channels, classes)

    def forward(self, x: Any) -> torch.Tensor:
        """The logits of the library's sparse tensor `x`."""
        x = self.stem(x)
        skips = [x]
        for down, stage in zip(self.downs, self.encoder):
            x = stage(down(x))
            skips.append(x)
        skips.pop()
        for up, stage in zip(self.ups, self.decoder):
            x = up(x)
            x = stage(self.library.with_features(x, torch.cat([x.features, skips.pop().features], dim=1)))
        return self.head(x.features)
