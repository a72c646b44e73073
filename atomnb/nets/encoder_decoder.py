"""The published encoder–decoder of the method's first paper, as the yardstick the other networks must beat."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import nn

from atomnb.nets.blocks import check_size, class_head


@dataclass(frozen=True)
class EncoderDecoderConfig:
    """Filters of the levels from fine to coarse, and the number of classes (background first)."""

    n_classes: int = 2
    widths: tuple[int, ...] = (8, 16, 32, 32)


class EncoderDecoder(nn.Module):
    """Normalised images (B, 1, H, W) to class logits (B, C, H, W); H and W must be multiples of `stride`.

    Ziatdinov et al., ACS Nano 11, 12742 (2017): 3 × 3 convolutions with ReLU, max pooling down, upsampling back, the
    same filters in mirrored order, no skip connections and no batch normalisation; the softmax over the classes is in
    the loss and in `atomnb.segment`.
    """

    def __init__(self, config: EncoderDecoderConfig | None = None):
        super().__init__()
        self.config = config = config or EncoderDecoderConfig()
        widths = config.widths
        self.stride = 2 ** (len(widths) - 1)
        self.down = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise((1, *widths)))
        mirrored = widths[::-1]
        self.up = nn.ModuleList(nn.Conv2d(a, b, 3, padding=1) for a, b in pairwise((mirrored[0], *mirrored)))
        self.head = class_head(widths[0], config.n_classes)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        check_size(images, self.stride)
        x = images
        for depth, layer in enumerate(self.down):
            x = F.relu(layer(x if depth == 0 else F.max_pool2d(x, 2)))
        for depth, layer in enumerate(self.up):
            x = F.relu(layer(x if depth == 0 else F.interpolate(x, scale_factor=2, mode="nearest")))
        return self.head(x)
