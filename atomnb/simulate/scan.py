"""The path of the scanning beam: where it is for each pixel, and so where the image shows what is there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

SETTLING_LIMIT = 0.6
"""Largest fly-back shift as a share of its decay length: beyond, the beam would run backwards over the sample."""

_ITERATIONS = 16
"""Of solving for the place that shows a point; each shrinks the error by SETTLING_LIMIT at least."""


@dataclass(frozen=True, eq=False)
class ScanPath:
    """A raster scan with its distortions; the beam's place at pixel (y, x) is `centre + pixel_size · R (s - middle)`.

    Here `s` = (y, x) + the displacements below, in px, and R turns by `rotation_rad`.

    shape : (H, W) px
    pixel_size : Å
    centre_angstrom : (y, x) in the sample where the middle of the frame looks
    rotation_rad : angle of the scan against the sample
    drift_px : (y, x), by how much the sample moves under the beam during the frame
    row_shift : (H,) px by which each row appears moved to the right
    flyback_px, flyback_decay_px : shift to the right at the start of each row, and over which length it decays
    """

    shape: tuple[int, int]
    pixel_size: float
    centre_angstrom: tuple[float, float]
    rotation_rad: float
    drift_px: tuple[float, float]
    row_shift: np.ndarray
    flyback_px: float = 0.0
    flyback_decay_px: float = 10.0


def beam_positions(path: ScanPath) -> np.ndarray:
    """Where the beam is for each pixel: (H, W, 2), Å in the sample."""
    y, x = np.meshgrid(*(np.arange(n, dtype=float) for n in path.shape), indexing="ij")
    pixels = np.stack([y, x], axis=-1)
    return _to_sample(path, pixels + _displacement(path, pixels, path.row_shift[:, None]))


def shown_positions(
    path: ScanPath,
    points_angstrom: np.ndarray,
    *,
    sigma_px: float,
    period_angstrom: tuple[float, float] | None = None,
    lag_px: float = 0.0,
) -> tuple[np.ndarray, np.ndarray]:
    """Where the image shows points of the sample.

    Parameters
    ----------
    path : ScanPath
    points_angstrom : (N, 2)
    sigma_px : width of a column's image: it feels the mean shift of the rows it spans
    period_angstrom : (height, width) after which the sample repeats, or None
    lag_px : by how much a slow detector moves everything along the rows

    Returns
    -------
    positions_yx : (M, 2) px, those inside the image
    index : (M,) which point each of them is
    """
    points = np.asarray(points_angstrom, float).reshape(-1, 2)
    index = np.arange(len(points))
    if period_angstrom is not None:
        points, index = _repeated(path, points, index, period_angstrom)
    target = _to_pixels(path, points)
    near = (np.abs(target - _middle(path)) < np.array(path.shape) / 2 + 4 + reach_px(path)).all(axis=1)
    target, index = target[near], index[near]
    shown = target.copy()
    for _ in range(_ITERATIONS):
        felt = felt_shift(path.row_shift, shown[:, 0], sigma_px)
        shown = target - _displacement(path, shown, felt)
    shown[:, 1] += lag_px
    inside = ((shown >= -0.5) & (shown < np.array(path.shape) - 0.5)).all(axis=1)
    return shown[inside], index[inside]


def felt_shift(row_shift: np.ndarray, rows: np.ndarray, sigma_px: float) -> np.ndarray:
    """Shift (N,) of columns at `rows` (N,): the rows' shifts averaged over those the column spans."""
    at = np.clip(rows, 0, len(row_shift) - 1)
    weight = np.exp(-0.5 * ((at[:, None] - np.arange(len(row_shift))) / max(sigma_px, 0.5)) ** 2)
    return weight @ row_shift / weight.sum(axis=1)


def reach_px(path: ScanPath) -> float:
    """By how much, at most, the distortions move anything, px."""
    drift = 0.5 * float(np.hypot(*path.drift_px))
    return drift + float(np.abs(path.row_shift).max(initial=0)) + abs(path.flyback_px)


def _displacement(path: ScanPath, pixels: np.ndarray, row_shift) -> np.ndarray:
    """(..., 2) px to add to a pixel to know where the beam is; `row_shift` is that of each pixel's row."""
    height, width = path.shape
    y, x = pixels[..., 0], pixels[..., 1]
    time = (y + np.clip(x, 0, width) / width) / height - 0.5
    settling = path.flyback_px * np.exp(-np.clip(x, 0, None) / path.flyback_decay_px)
    # the sample moves by +drift, so the beam sees what lay that much before
    return np.stack([-path.drift_px[0] * time, -path.drift_px[1] * time - row_shift - settling], axis=-1)


def _turn(path: ScanPath) -> np.ndarray:
    c, s = np.cos(path.rotation_rad), np.sin(path.rotation_rad)
    return np.array([[c, -s], [s, c]])


def _middle(path: ScanPath) -> np.ndarray:
    return (np.array(path.shape) - 1) / 2


def _to_sample(path: ScanPath, pixels: np.ndarray) -> np.ndarray:
    return (pixels - _middle(path)) @ (_turn(path).T * path.pixel_size) + np.asarray(path.centre_angstrom)


def _to_pixels(path: ScanPath, points: np.ndarray) -> np.ndarray:
    return (points - np.asarray(path.centre_angstrom)) @ (_turn(path) / path.pixel_size) + _middle(path)


def _repeated(path: ScanPath, points, index, period) -> tuple[np.ndarray, np.ndarray]:
    """The points and all their repeats that the frame can see."""
    period = np.asarray(period, float)
    half = 0.5 * path.pixel_size * (np.hypot(*path.shape) + 2 * reach_px(path) + 8)
    low = np.floor((np.asarray(path.centre_angstrom) - half) / period).astype(int) - 1
    high = np.ceil((np.asarray(path.centre_angstrom) + half) / period).astype(int)
    cells = np.stack(np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True)), indexing="ij"), -1)
    cells = cells.reshape(-1, 2)
    return (points[None] + (cells * period)[:, None]).reshape(-1, 2), np.tile(index, len(cells))
