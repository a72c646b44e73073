"""The one normalisation of images before a network, in training and in use."""

from __future__ import annotations

import torch
import torch.nn.functional as F

BLOCK = 8
"""Side, in px, of the blocks over which local mean and spread are taken."""

REACH = 3
"""Blocks on each side that are averaged: the local statistics see about ±(REACH + ½) × BLOCK px."""

LIMIT = 8.0
"""Local standard scores are squeezed smoothly into ±LIMIT, so that one dopant does not hide its neighbours."""


def local_statistics(images: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Mean and spread around each block of (B, 1, H, W): two maps (B, 1, ⌈H/8⌉, ⌈W/8⌉)."""
    h, w = images.shape[-2:]
    padded = F.pad(images, (0, -w % BLOCK, 0, -h % BLOCK), mode="replicate")
    offset = padded.mean(dim=(2, 3), keepdim=True)  # keeps the squares small against their difference
    first = _smooth(F.avg_pool2d(padded - offset, BLOCK))
    second = _smooth(F.avg_pool2d((padded - offset) ** 2, BLOCK))
    spread = (second - first**2).clamp(min=0).sqrt()
    typical = spread.mean(dim=(2, 3), keepdim=True)
    return first + offset, spread + 0.1 * typical + 1e-12


def normalize(images: torch.Tensor, statistics: tuple[torch.Tensor, torch.Tensor] | None = None) -> torch.Tensor:
    """Images (B, 1, H, W) to local standard scores, invariant to gain and offset.

    `statistics` are those of a larger image cut to this part, as the tiled inference needs; by default the image's own.
    """
    mean, spread = (_enlarge(s, images.shape[-2:]) for s in statistics or local_statistics(images))
    score = (images - mean) / spread
    return LIMIT * torch.asinh(score / LIMIT * 2) / 2


def _smooth(blocks: torch.Tensor) -> torch.Tensor:
    for _ in range(2):
        side = F.pad(blocks, (REACH, REACH, REACH, REACH), mode="replicate")
        blocks = F.avg_pool2d(side, 2 * REACH + 1, 1)
    return blocks


def _enlarge(blocks: torch.Tensor, shape) -> torch.Tensor:
    full = F.interpolate(blocks, scale_factor=BLOCK, mode="bilinear", align_corners=False)
    return full[..., : shape[0], : shape[1]]
