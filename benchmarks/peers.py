"""The atom finders we compare with; each takes a `scoring.Frame` and returns positions (n, 2) in px."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

LOG_SIGMA = 0.28
"""Width of the Laplacian of Gaussian, in nearest-neighbour distances."""

LOG_THRESHOLD = 0.25
"""Least response, as a share of the strong maxima's (their 90th percentile)."""


def laplacian_told_the_spacing(frame) -> np.ndarray:
    """Maxima of a Laplacian of Gaussian whose width is set by the *true* spacing, refined by a parabola."""
    response = -ndimage.gaussian_laplace(frame.image.astype(float), LOG_SIGMA * frame.spacing)
    yx = local_maxima(response, max(1, round(0.35 * frame.spacing)))
    height = response[tuple(yx.T)]
    if not len(yx):
        return np.zeros((0, 2))
    strong = height >= LOG_THRESHOLD * np.percentile(height, 90)
    return parabolic(response, yx[strong])


def local_maxima(response: np.ndarray, radius: int) -> np.ndarray:
    """Pixels (n, 2) that are the highest of a square of half-width `radius`, and positive."""
    highest = ndimage.maximum_filter(response, 2 * radius + 1)
    return np.argwhere((response == highest) & (response > 0))


def parabolic(response: np.ndarray, yx: np.ndarray) -> np.ndarray:
    """Sub-pixel maxima from the parabola through each pixel's neighbours, per axis."""
    padded = np.pad(response, 1, mode="edge")
    row, col = yx[:, 0] + 1, yx[:, 1] + 1
    middle = padded[row, col]
    out = yx.astype(float)
    for axis, (dy, dx) in enumerate([(1, 0), (0, 1)]):
        before, after = padded[row - dy, col - dx], padded[row + dy, col + dx]
        curvature = before - 2 * middle + after
        with np.errstate(divide="ignore", invalid="ignore"):
            step = 0.5 * (before - after) / curvature
        out[:, axis] += np.clip(np.nan_to_num(step), -0.5, 0.5)
    return out


FINDERS = {"log": laplacian_told_the_spacing}
