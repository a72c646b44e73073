"""Pyramid: an image in ever smaller copies, cut in tiles, so that a browser never holds more than it shows."""

from __future__ import annotations

import numpy as np

TILE = 512
"""Side of a tile, px."""


class Pyramid:
    """An image quantised for display, halved until it fits one tile.

    Parameters
    ----------
    pixels : array, shape (H, W)
    reduce : {'mean', 'max'}
        How four pixels become one: the mean for images, the maximum for probabilities (so that no peak fades).
    dtype : numpy dtype
        uint16 or uint8; the range of the image is spread over it.
    limits : (float, float), optional
        Values that become the smallest and largest integer; by default the image's own.
    """

    def __init__(self, pixels, *, reduce: str = "mean", dtype=np.uint16, limits=None) -> None:
        pixels = np.asarray(pixels)
        self.low, self.high = limits or (float(pixels.min()), float(pixels.max()))
        self.shape = pixels.shape
        self.levels = [_quantise(pixels, self.low, self.high, dtype)]
        while max(self.levels[-1].shape) > TILE:
            self.levels.append(_halve(self.levels[-1], reduce))

    def tile(self, level: int, row: int, column: int) -> np.ndarray:
        """Tile (row, column) of a level, at most TILE × TILE; raises IndexError outside the image."""
        pixels = self.levels[level]
        tile = pixels[row * TILE : (row + 1) * TILE, column * TILE : (column + 1) * TILE]
        if min(level, row, column) < 0 or tile.size == 0:
            raise IndexError(f"there is no tile ({row}, {column}) at level {level} of an image of {self.shape} px")
        return np.ascontiguousarray(tile)

    def contrast(self, *, tails: tuple[float, float] = (0.3, 99.7)) -> tuple[float, float]:
        """Where the darkest and brightest pixels worth showing lie, as fractions of the range."""
        smallest = self.levels[min(1, len(self.levels) - 1)]
        low, high = np.percentile(smallest, tails) / np.iinfo(smallest.dtype).max
        return (float(low), float(high)) if high > low else (0.0, 1.0)


def _quantise(pixels: np.ndarray, low: float, high: float, dtype) -> np.ndarray:
    top = np.iinfo(dtype).max
    out = np.empty(pixels.shape, dtype)
    scale = top / (high - low) if high > low else 0.0
    # By bands of rows: a large image is never held twice in float.
    for start in range(0, len(pixels), TILE):
        band = (pixels[start : start + TILE].astype(np.float32) - low) * scale
        out[start : start + TILE] = np.clip(band + 0.5, 0, top)
    return out


def _halve(pixels: np.ndarray, reduce: str) -> np.ndarray:
    padded = np.pad(pixels, [(0, n % 2) for n in pixels.shape], mode="edge")
    quarters = [padded[i::2, j::2] for i in (0, 1) for j in (0, 1)]
    if reduce == "max":
        return np.maximum.reduce(quarters)
    total = sum(quarter.astype(np.uint32) for quarter in quarters)
    return ((total + 2) // 4).astype(pixels.dtype)
