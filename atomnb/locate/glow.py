"""The tails of the probe: how far bright columns glow beyond their Gaussian, and over their fainter neighbours.

A Gaussian fit next to a column several times brighter is drawn toward it by that column's tails; carbon beside silicon
by 0.3 Å in real frames. The tails are modelled as a second Gaussian, of a common share and `REACH` times as wide.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

REACH = 3.0
"""Width of the tails over that of the column."""

MOST = 0.15
"""Largest believable height of the tails over that of the column."""

UNEVEN = 2.5
"""Brightest over median column from which the tails matter; among equals they are a level background."""

TRIED = (0.0, 0.05, 0.1)
"""Heights at which the misfit is measured; its minimum follows from the parabola through them."""


def glow_image(positions_yx, heights, sigma: float, shape: tuple[int, int]) -> np.ndarray:
    """Image (H, W) float32 of Gaussians of the given `heights` (N,), `REACH` times `sigma` px wide."""
    out = np.zeros(shape, np.float32)
    low = np.floor(positions_yx).astype(int)
    part = positions_yx - low
    for dy in (0, 1):
        for dx in (0, 1):
            share = np.abs(1 - dy - part[:, 0]) * np.abs(1 - dx - part[:, 1])
            y, x = low[:, 0] + dy, low[:, 1] + dx
            inside = (y >= 0) & (y < shape[0]) & (x >= 0) & (x < shape[1])
            np.add.at(out, (y[inside], x[inside]), (share * heights)[inside])
    width = REACH * sigma
    return gaussian_filter(out, width, mode="constant", truncate=3.5) * np.float32(2 * np.pi * width**2)


def matters(heights) -> bool:
    """Whether columns (N,) are uneven enough for tails to shift positions."""
    return len(heights) > 20 and float(np.max(heights)) > UNEVEN * float(np.median(heights))


def best_height(misfits) -> float:
    """Height of least misfit, from the misfits (χ²) at `TRIED`; zero unless the tails explain more than chance."""
    a, b, _ = np.polyfit(TRIED, misfits, 2)
    best = -b / (2 * a) if a > 0 else TRIED[int(np.argmin(misfits))]
    best = float(np.clip(best, 0, MOST))
    gain = misfits[0] - (a * best**2 + b * best + misfits[0])
    return best if gain > 9 else 0.0
