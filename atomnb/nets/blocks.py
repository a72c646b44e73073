"""The pieces the networks are built from."""

from __future__ import annotations

import torch
from torch import nn

from atomnb.errors import ImageError

BACKGROUND_BIAS = 3.0
"""Logit of the background in a new network: most pixels show no atom, so training starts there."""


class ConvBlock(nn.Sequential):
    """3 × 3 convolution, batch normalisation, SiLU."""

    def __init__(self, n_in: int, n_out: int, *, dilation: int = 1):
        super().__init__(
            nn.Conv2d(n_in, n_out, 3, padding=dilation, dilation=dilation, bias=False),
            nn.BatchNorm2d(n_out),
            nn.SiLU(inplace=True),
        )


class Level(nn.Module):
    """Two convolutions with a shortcut around the second."""

    def __init__(self, n_in: int, n_out: int, *, dilation: int = 1):
        super().__init__()
        self.enter = ConvBlock(n_in, n_out)
        self.refine = ConvBlock(n_out, n_out, dilation=dilation)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.enter(x)
        return self.refine(x).add_(x)


class ResidualBlock(nn.Module):
    """Two convolutions with a shortcut around both (He et al. 2015, arXiv:1512.03385)."""

    def __init__(self, n_in: int, n_out: int):
        super().__init__()
        self.enter = ConvBlock(n_in, n_out)
        self.refine = nn.Sequential(nn.Conv2d(n_out, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out))
        self.shortcut = nn.Identity() if n_in == n_out else nn.Conv2d(n_in, n_out, 1)
        self.activate = nn.SiLU(inplace=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.activate(self.refine(self.enter(x)).add_(self.shortcut(x)))


def class_head(n_in: int, n_classes: int, *, fold: int = 1) -> nn.Conv2d:
    """1 × 1 convolution to class logits, `fold`² pixels of each class beside one another, starting at background."""
    head = nn.Conv2d(n_in, fold**2 * n_classes, 1)
    with torch.no_grad():
        head.bias[: fold**2] = BACKGROUND_BIAS
    return head


def check_size(images: torch.Tensor, stride: int) -> None:
    """Refuse images (B, 1, H, W) whose sides are no multiples of `stride`, and say which size would do.

    Raises
    ------
    ImageError
    """
    h, w = images.shape[-2:]
    if h % stride or w % stride:
        raise ImageError(
            f"this network takes images whose sides are multiples of {stride} px, got {h} × {w}: pad them to "
            f"{h + -h % stride} × {w + -w % stride}, as atomnb.segment does."
        )
