"""A dilated fully convolutional network: one resolution throughout, neighbours seen through gaps in the kernels."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import nn

from atomnb.nets.blocks import ConvBlock, check_size, class_head


@dataclass(frozen=True)
class DilatedConfig:
    """Channels, the dilation of each layer in px of the folded input, and the number of classes (background first).

    The default rises and falls again, so that no grid of holes is left in what a pixel sees.
    """

    n_classes: int = 2
    width: int = 48
    dilations: tuple[int, ...] = (1, 2, 4, 8, 4, 2, 1)


class DilatedFCN(nn.Module):
    """Normalised images (B, 1, H, W) to class logits (B, C, H, W); H and W must be multiples of `stride`.

    After Yu and Koltun (2016), arXiv:1511.07122, on the 2 × 2 folded input of our U-Net. No pooling: the output
    follows the image even when it moves by 2 px.
    """

    stride = 2

    def __init__(self, config: DilatedConfig | None = None):
        super().__init__()
        self.config = config = config or DilatedConfig()
        self.stem = ConvBlock(4, config.width)
        self.layers = nn.ModuleList(ConvBlock(config.width, config.width, dilation=d) for d in config.dilations)
        self.head = class_head(config.width, config.n_classes, fold=2)

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        check_size(images, self.stride)
        x = self.stem(F.pixel_unshuffle(images, 2))
        for layer in self.layers:
            x = x + layer(x)
        return F.pixel_shuffle(self.head(x), 2)
