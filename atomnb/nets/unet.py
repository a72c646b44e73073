"""A small U-Net on a 2 × 2 space-to-depth input: half the resolution inside, full resolution out."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from atomnb.nets.blocks import ConvBlock, Level, check_size, class_head


@dataclass(frozen=True)
class UNetConfig:
    """Widths of the levels from fine to coarse, and the number of classes (background first)."""

    n_classes: int = 2
    widths: tuple[int, ...] = (32, 48, 64, 96)


class UNet(nn.Module):
    """Normalised images (B, 1, H, W) to class logits (B, C, H, W); H and W must be multiples of `stride`.

    After Ronneberger et al. (2015), arXiv:1505.04597, with the input folded to half its size (Shi et al. 2016,
    arXiv:1609.05158), which costs a quarter and loses nothing at more than 5 px between atoms.
    """

    def __init__(self, config: UNetConfig | None = None):
        super().__init__()
        self.config = config = config or UNetConfig()
        widths = config.widths
        self.stride = 2 ** len(widths)
        self.stem = ConvBlock(4, widths[0])
        self.down = nn.ModuleList(Level(a, b) for a, b in zip(widths[:1] + widths[:-1], widths, strict=True))
        self.bottom = Level(widths[-1], widths[-1], dilation=2)
        self.up = nn.ModuleList(Level(a + b, a) for a, b in pairwise(widths))
        self.head = class_head(widths[0], config.n_classes, fold=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        check_size(images, self.stride)
        x = self.stem(F.pixel_unshuffle(images, 2))
        skips = []
        for depth, level in enumerate(self.down):
            x = level(x if depth == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        x = self.bottom(x)
        for level, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = level(torch.cat([skip, x], dim=1))
        return F.pixel_shuffle(self.head(x), 2)
