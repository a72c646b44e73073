"""Columns to images: sub-pixel, additive, many images at once, on CPU or GPU.

A Gaussian is separable, so an image of N columns is one matrix product (H, N) × (N, W); a probe with tails is two.
"""

from __future__ import annotations

import torch

_SQRT_HALF = 0.5**0.5

LABEL_SIGMA = 1.3
"""Width, in px of the network's input, of the soft label painted on each column."""


def pixel_profile(centres: torch.Tensor, sigma: torch.Tensor, size: int) -> torch.Tensor:
    """Share of a unit Gaussian that falls in each of `size` pixels along one axis.

    Parameters
    ----------
    centres : (B, N) px, origin at the centre of the first pixel
    sigma : (B, N) px

    Returns
    -------
    (B, N, size); sums to 1 when the Gaussian lies inside.
    """
    edges = torch.arange(size + 1, device=centres.device, dtype=centres.dtype) - 0.5
    cumulative = torch.erf((edges - centres[..., None]) * (_SQRT_HALF / sigma[..., None]))
    return 0.5 * (cumulative[..., 1:] - cumulative[..., :-1])


def render_columns(
    positions_yx: torch.Tensor, intensity: torch.Tensor, sigma: torch.Tensor, shape: tuple[int, int]
) -> torch.Tensor:
    """Sum of pixel-integrated Gaussians.

    Parameters
    ----------
    positions_yx : (B, N, 2) px
    intensity : (B, N) integral of each column; 0 for padding
    sigma : (B, N) px
    shape : (H, W)

    Returns
    -------
    (B, H, W)
    """
    rows = pixel_profile(positions_yx[..., 0], sigma, shape[0])
    columns = pixel_profile(positions_yx[..., 1], sigma, shape[1])
    return torch.bmm((rows * intensity[..., None]).transpose(1, 2), columns)


def render_probe(positions_yx, intensity, sigma, shape, *, tail_share, tail_width, stretch_yx) -> torch.Tensor:
    """Columns seen through a probe with tails and astigmatism.

    `tail_share` (B,) of the intensity lies in a Gaussian `tail_width` (B,) times wider; `stretch_yx` (B, 2) px draws
    the probe out along that direction (half the intensity each way).
    """
    at, weight, width = positions_yx, intensity, sigma
    if stretch_yx.any():
        half = stretch_yx[:, None, :]
        at = torch.cat([positions_yx + half, positions_yx - half], dim=1)
        weight, width = 0.5 * torch.cat([intensity, intensity], dim=1), torch.cat([sigma, sigma], dim=1)
    core = render_columns(at, weight * (1 - tail_share[:, None]), width, shape)
    if not tail_share.any():
        return core
    return core + render_columns(positions_yx, intensity * tail_share[:, None], sigma * tail_width[:, None], shape)


def render_heatmap(
    positions_yx: torch.Tensor, present: torch.Tensor, shape: tuple[int, int], *, sigma: float
) -> torch.Tensor:
    """Soft map (B, H, W) of one class; `present` (B, N) as in `render_heatmaps`."""
    return render_heatmaps(positions_yx, present[:, None], shape, sigma=sigma)[:, 0]


def render_heatmaps(
    positions_yx: torch.Tensor, present: torch.Tensor, shape: tuple[int, int], *, sigma: float
) -> torch.Tensor:
    """Soft class maps in [0, 1]: a Gaussian of height 1 and width `sigma` px on each present column.

    Parameters
    ----------
    positions_yx : (B, N, 2) px
    present : (B, K, N) 1 where the column belongs to class k, else 0
    shape : (H, W)

    Returns
    -------
    (B, K, H, W)
    """
    grid = [torch.arange(n, device=present.device, dtype=present.dtype) for n in shape]
    rows, columns = (bell((grid[axis] - positions_yx[..., axis, None]) / sigma) for axis in (0, 1))
    by_class = [torch.bmm((rows * here[..., None]).transpose(1, 2), columns) for here in present.unbind(dim=1)]
    return torch.stack(by_class, dim=1).clamp_(0, 1)


def bell(x: torch.Tensor) -> torch.Tensor:
    """exp(-x² / 2), without the numbers below 1e-30 that slow a processor down six times."""
    return torch.exp(-(0.5 * x * x).clamp_(max=70.0))
