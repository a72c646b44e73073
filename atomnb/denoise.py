"""A Wiener filter in the image's own spectrum: what repeats stays, shot noise goes, a missing atom stays missing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from scipy import fft, ndimage

TILE = 192
"""px; the spectrum is taken tile by tile, so that every grain is filtered by its own lattice."""

SPECTRUM_SMOOTHING = 4 / 3
"""Frequency samples (SD) over which the noisy spectrum is averaged; sharper Bragg peaks than this are blurred."""

MEDIAN_OF_SMOOTHED = 0.95
"""Median over mean of the smoothed spectrum of white noise (an exponential distribution before smoothing)."""


def wiener_filter(image: np.ndarray, *, tile: int = TILE) -> np.ndarray:
    """The part of an image that stands above its white noise, frequency by frequency.

    Each frequency is kept in the share signal / (signal + noise), the linear filter of least mean square error
    (Wiener 1949), with the signal's spectrum estimated from the image itself and the noise level from its median.
    Being linear in what it keeps, it lets a vacancy leave its dip; it does blur defects, so it serves for finding
    atoms in low-dose lattices, never for measuring positions.

    Parameters
    ----------
    image : (H, W)
    tile : px

    Returns
    -------
    (H, W) float32, mean near 0
    """
    pixels = np.asarray(image, np.float32)
    total, weight = np.zeros(pixels.shape, np.float32), np.zeros(pixels.shape, np.float32)
    for rows, columns in _tiles(pixels.shape, tile):
        part = pixels[rows, columns]
        window = np.outer(*(_hump(n) for n in part.shape)).astype(np.float32)
        total[rows, columns] += window * _filtered(part)
        weight[rows, columns] += window
    return total / weight


def _filtered(part: np.ndarray) -> np.ndarray:
    part = part - part.mean()
    spectrum = fft.fft2(part)
    power = ndimage.gaussian_filter(np.abs(spectrum) ** 2, SPECTRUM_SMOOTHING, mode="wrap")
    noise = np.median(power) / MEDIAN_OF_SMOOTHED
    share = np.clip(1 - noise / np.maximum(power, 1e-30), 0, 1)
    return fft.ifft2(spectrum * share).real.astype(np.float32)


def _tiles(shape: tuple[int, int], tile: int) -> Iterator[tuple[slice, slice]]:
    """Windows of side `tile`, half overlapping, that cover the image; one when it is smaller."""

    def along(n: int) -> list[slice]:
        if n <= 1.25 * tile:
            return [slice(0, n)]
        count = int(np.ceil((n - tile) / (tile / 2))) + 1
        return [slice(s, s + tile) for s in np.linspace(0, n - tile, count).round().astype(int)]

    return ((rows, columns) for rows in along(shape[0]) for columns in along(shape[1]))


def _hump(n: int) -> np.ndarray:
    """A weight that falls to nearly nothing at the ends, so that tiles blend."""
    return np.sin(np.pi * (np.arange(n) + 0.5) / n) ** 2 + 1e-3
