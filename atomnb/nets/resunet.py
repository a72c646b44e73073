"""A residual U-Net: shortcuts inside every level as well as across, for more depth at the same ease of training."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from atomnb.nets.blocks import ConvBlock, ResidualBlock, check_size, class_head


@dataclass(frozen=True)
class ResUNetConfig:
    """Widths of the levels from fine to coarse, residual blocks in each, and the number of classes."""

    n_classes: int = 2
    widths: tuple[int, ...] = (32, 48, 64, 96)
    blocks: int = 2


class ResUNet(nn.Module):
    """Normalised images (B, 1, H, W) to class logits (B, C, H, W); H and W must be multiples of `stride`.

    After Zhang, Liu and Wang (2018), arXiv:1711.10684, on the 2 × 2 folded input of our U-Net.
    """

    def __init__(self, config: ResUNetConfig | None = None):
        super().__init__()
        self.config = config = config or ResUNetConfig()
        widths = config.widths
        self.stride = 2 ** len(widths)
        self.stem = ConvBlock(4, widths[0])
        steps = zip(widths[:1] + widths[:-1], widths, strict=True)
        self.down = nn.ModuleList(_stage(a, b, config.blocks) for a, b in steps)
        self.up = nn.ModuleList(_stage(a + b, a, config.blocks) for a, b in pairwise(widths))
        self.head = class_head(widths[0], config.n_classes, fold=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        check_size(images, self.stride)
        x = self.stem(F.pixel_unshuffle(images, 2))
        skips = []
        for depth, stage in enumerate(self.down):
            x = stage(x if depth == 0 else F.max_pool2d(x, 2))
            skips.append(x)
        for stage, skip in zip(reversed(self.up), reversed(skips[:-1]), strict=True):
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
            x = stage(torch.cat([skip, x], dim=1))
        return F.pixel_shuffle(self.head(x), 2)


def _stage(n_in: int, n_out: int, blocks: int) -> nn.Sequential:
    return nn.Sequential(ResidualBlock(n_in, n_out), *(ResidualBlock(n_out, n_out) for _ in range(blocks - 1)))
