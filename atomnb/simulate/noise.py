"""From an ideal image to a measured one: scan distortion, shot noise, and what detectors do to it."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F


def shift_rows(images: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
    """Move each row of (B, H, W) to the right by `shift` (B, H) px, cubic interpolation, edges repeated."""
    b, h, w = images.shape
    x = torch.arange(w, device=images.device, dtype=images.dtype) - shift[..., None]
    y = torch.arange(h, device=images.device, dtype=images.dtype)[None, :, None].expand(b, h, w)
    grid = torch.stack([2 * (x + 0.5) / w - 1, 2 * (y + 0.5) / h - 1], dim=-1)
    moved = F.grid_sample(images[:, None], grid, mode="bicubic", padding_mode="border", align_corners=False)
    return moved[:, 0].clamp_(min=0)


def shot_noise(expected: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Poisson counts with the given expectation (…)."""
    return torch.poisson(expected.clamp(min=0), generator=generator)


def dwell_tail(images: torch.Tensor, decay: torch.Tensor) -> torch.Tensor:
    """Afterglow of a slow detector along the scan: each pixel leaks a share `decay` (B,) into the next four."""
    powers = torch.arange(5, device=images.device, dtype=images.dtype)
    kernel = decay[:, None] ** powers
    kernel = (kernel / kernel.sum(dim=1, keepdim=True)).flip(1)
    padded = F.pad(images[None], (4, 0, 0, 0), mode="replicate")
    return F.conv2d(padded, kernel[:, None, None, :], groups=len(images))[0]


def dwell_lag(decay: torch.Tensor) -> torch.Tensor:
    """How far (B,) px to the right `dwell_tail` drags a column."""
    steps = torch.arange(5, device=decay.device, dtype=decay.dtype)
    kernel = decay[:, None] ** steps
    return (kernel * steps).sum(dim=1) / kernel.sum(dim=1)


def smooth_field(shape: tuple[int, int, int], scale: float, generator: torch.Generator, device=None) -> torch.Tensor:
    """Random fields (B, H, W) of mean 0 and SD 1 that vary over about `scale` px."""
    b, h, w = shape
    coarse = [max(3, math.ceil(n / scale) + 3) for n in (h, w)]
    field = torch.randn(b, 1, *coarse, generator=generator, device=device)
    field = F.interpolate(field, size=(h, w), mode="bicubic", align_corners=True)[:, 0]
    field = field - field.mean(dim=(1, 2), keepdim=True)
    return field / field.std(dim=(1, 2), keepdim=True).clamp(min=1e-6)


def gaussian_blur(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """(B, H, W) blurred by a Gaussian of `sigma` px, edges mirrored."""
    radius = max(1, round(3 * sigma))
    x = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(images[:, None], (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[:, 0]


def quantize(images: torch.Tensor, levels: torch.Tensor) -> torch.Tensor:
    """Round each of (B, H, W) to `levels` (B,) grey values between its minimum and maximum."""
    low = images.amin(dim=(1, 2), keepdim=True)
    step = (images.amax(dim=(1, 2), keepdim=True) - low).clamp(min=1e-9) / levels[:, None, None]
    return torch.round((images - low) / step) * step + low


def clip_quantiles(images: torch.Tensor, low: torch.Tensor, high: torch.Tensor) -> torch.Tensor:
    """Saturate each of (B, H, W) below its quantile `low` (B,) and above its quantile `high` (B,)."""
    ordered = images.flatten(1).sort(dim=1).values
    last = ordered.shape[1] - 1
    lower = ordered.gather(1, (low * last).long()[:, None])[..., None]
    upper = ordered.gather(1, (high * last).long()[:, None])[..., None]
    return torch.minimum(torch.maximum(images, lower), torch.maximum(upper, lower + 1e-6))
