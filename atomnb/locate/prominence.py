"""Single atoms on a rough support: how wide they are, and which of them stand out of the support's grain."""

from __future__ import annotations

import numpy as np
from scipy import ndimage

WIDTHS = np.geomspace(1.5, 8.0, 8)
"""px of the image; widths (σ) of single atoms that are tried."""

MAX_SIDE = 1024
"""px; the middle of larger images stands for the whole."""


def prominence_map(image: np.ndarray, sigma: float) -> np.ndarray:
    """How far each pixel of (H, W) stands out, as a spot of width `sigma` px, of the grain around it, in robust SDs.

    A Laplacian of Gaussian over its own local spread: the grain of a support can look like an atom anywhere; an atom
    differs by being stronger than it.
    """
    response = -ndimage.gaussian_laplace(np.asarray(image, np.float32), sigma)
    response /= 1.48 * np.median(np.abs(response - np.median(response))) + 1e-30
    local = np.sqrt(ndimage.gaussian_filter(np.clip(response, -4, 4) ** 2, 7 * sigma))
    return response / (local + 1e-6)


def single_atom_width(image: np.ndarray) -> float:
    """Width (σ, px) at which the strongest spots of the image (H, W) stand out most; up to 1.7 times too wide."""
    cut = [slice((n - min(n, MAX_SIDE)) // 2, (n + min(n, MAX_SIDE)) // 2) for n in image.shape]
    part = image[tuple(cut)]
    return float(max(WIDTHS, key=lambda sigma: _strongest_spots(prominence_map(part, sigma), sigma)))


def _strongest_spots(prominence: np.ndarray, sigma: float) -> float:
    """Mean prominence of the strongest spots; ten, so that one outlier does not decide."""
    top = prominence[prominence == ndimage.maximum_filter(prominence, size=2 * int(sigma) + 1)]
    return float(np.sort(top)[-10:].mean())


def prominence_at(image: np.ndarray, positions_yx: np.ndarray, sigma: float) -> np.ndarray:
    """Prominence (N,) of spots of width `sigma` px at positions (N, 2)."""
    index = np.clip(np.round(positions_yx).astype(int), 0, np.array(image.shape) - 1)
    return prominence_map(image, sigma)[index[:, 0], index[:, 1]]
