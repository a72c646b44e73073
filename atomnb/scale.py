"""How large the atoms are in the image: the lattice's own ruler beside the file's, and the zoom a model needs."""

from __future__ import annotations

from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from scipy import fft, ndimage
from scipy.spatial import cKDTree

from atomnb.errors import CalibrationError
from atomnb.resample import output_shape, resample

MAX_SIDE = 1024
"""Largest part of an image, in px, whose spectrum is taken; the middle of larger images stands for the whole."""

NOISE_CONTRAST = 16.0
"""Noise alone hardly has a higher peak in its spectrum, in medians of the ring around."""

MAX_FREQUENCY = 0.3
"""Cycles per px; lattice planes less than 3.3 px apart are not looked for."""

PLAUSIBLE_SPACING = (0.9, 8.0)
"""Å; distances between neighbouring atomic columns or molecules outside this range mean a wrong pixel size."""


class ScaleReport(NamedTuple):
    """What is known of an image's scale.

    spacing_px : median nearest-neighbour distance in px of the image, or None when there are no neighbours
    spacing_angstrom : the same in Å, or None when uncalibrated
    zoom : magnification at which the model saw the image, or None when none did
    pixel_size : Å, or None
    messages : what the user should know
    """

    spacing_px: float | None
    spacing_angstrom: float | None
    zoom: float | None
    pixel_size: float | None
    messages: tuple[str, ...] = ()


def estimate_scale(image: np.ndarray, *, pixel_size: float | None = None) -> ScaleReport:
    """Lattice spacing from the image alone, beside its pixel size; quick, without a network.

    Parameters
    ----------
    image : (H, W), atoms bright
    pixel_size : Å, or None when unknown

    Notes
    -----
    The strongest Bragg peak gives a plane distance, smoothing at that scale gives maxima, and their median
    nearest-neighbour distance is the spacing. `analyze` measures it again on the atoms it finds.
    """
    period = dominant_period(image)
    spacing = None if period is None else _spacing_of_maxima(image, period)
    angstrom = None if spacing is None or pixel_size is None else spacing * pixel_size
    return ScaleReport(spacing, angstrom, None, pixel_size)


def dominant_period(image: np.ndarray, *, least_contrast: float = NOISE_CONTRAST) -> float | None:
    """Distance in px of the lattice planes with the strongest Bragg peak, or None when none stands out.

    A peak stands out when it is `least_contrast` times the median of its ring; noise alone hardly exceeds 16, the
    hum of scan electronics 40, and the lattice of a large image reaches thousands.
    """
    pixels = _middle(np.asarray(image, np.float32))
    power = _power_spectrum(pixels)
    rings = _rings(pixels.shape)
    contrast = np.where(rings.usable, power / _ring_median(power, rings), 0)
    y, x = np.nonzero(contrast > min(NOISE_CONTRAST, least_contrast))
    around = np.lib.stride_tricks.sliding_window_view(np.pad(power, 2), (5, 5))[y, x]
    peak = power[y, x] == around.max(axis=(1, 2), initial=0)
    y, x = y[peak], x[peak]
    if not (contrast[y, x] >= least_contrast).any():
        return None
    # tilts against slow changes of the background
    strength = np.where(contrast[y, x] > NOISE_CONTRAST, power[y, x] * rings.frequency[y, x], 0)
    best = np.argmax(strength)
    return float(1 / rings.frequency[y[best], x[best]])


def measure_spacing(positions_yx: np.ndarray) -> float | None:
    """Typical distance of nearest neighbours among positions (N, 2), in their unit; None for fewer than two.

    The median over all pairs about as close as the closest: the median of each position's *smallest* distance
    would be too short, because noise in the positions always finds a shorter one.
    """
    if len(positions_yx) < 2:
        return None
    tree = cKDTree(positions_yx)
    shortest = float(np.median(tree.query(positions_yx, k=2)[0][:, 1]))
    pairs = tree.query_pairs(1.3 * shortest, output_type="ndarray")
    distance = np.hypot(*(positions_yx[pairs[:, 0]] - positions_yx[pairs[:, 1]]).T)
    alike = distance[distance > 0.6 * shortest]
    return float(np.median(alike)) if len(alike) else shortest


def neighbour_distances(positions_yx: np.ndarray) -> np.ndarray:
    """Distance (N,) of each of at least two positions (N, 2) to its nearest neighbour, in their unit."""
    return cKDTree(positions_yx).query(positions_yx, k=2)[0][:, 1]


def pixel_size_from_spacing(spacing_px: float, known_angstrom: float) -> float:
    """Pixel size in Å from a spacing measured in px and known in Å.

    Raises
    ------
    CalibrationError
    """
    if not (np.isfinite([spacing_px, known_angstrom]).all() and min(spacing_px, known_angstrom) > 0):
        raise CalibrationError(f"both lengths must be positive, got {spacing_px!r} px and {known_angstrom!r} Å.")
    return known_angstrom / spacing_px


def pixel_size_from_points(first_yx, second_yx, distance_angstrom: float) -> float:
    """Pixel size in Å from two points (y, x) in px a known distance apart.

    Raises
    ------
    CalibrationError
    """
    return pixel_size_from_spacing(float(np.hypot(*np.subtract(first_yx, second_yx))), distance_angstrom)


def conflict_message(spacing_px: float | None, pixel_size: float | None, known_angstrom: float) -> str | None:
    """A warning when the file's pixel size and a known nearest-neighbour distance differ by more than 3 %."""
    if spacing_px is None or pixel_size is None:
        return None
    ratio = spacing_px * pixel_size / known_angstrom
    if abs(ratio - 1) < 0.03:
        return None
    return (
        f"the atoms are {spacing_px * pixel_size:.3f} Å apart by the pixel size, {abs(ratio - 1):.0%} "
        f"{'more' if ratio > 1 else 'less'} than the known {known_angstrom:.3f} Å: calibrate with pixel_size="
        f"{known_angstrom / spacing_px:.5g} if the material is right."
    )


def _middle(pixels: np.ndarray) -> np.ndarray:
    cut = [slice((n - min(n, MAX_SIDE)) // 2, (n + min(n, MAX_SIDE)) // 2) for n in pixels.shape]
    return pixels[tuple(cut)]


class _Rings(NamedTuple):
    """The frequencies of a spectrum and the rings they lie in: fixed by the shape of the image.

    frequency : (2m + 1, n) cycles per px; `usable` where a lattice may show
    ring : number of the ring of each; `order` sorts them by it, and `edges` are where each ring begins
    """

    frequency: np.ndarray
    usable: np.ndarray
    ring: np.ndarray
    order: np.ndarray
    edges: np.ndarray


@lru_cache(maxsize=2)
def _rings(shape: tuple[int, int]) -> _Rings:
    ny, nx = _reach(shape)
    frequency = np.hypot(np.arange(-ny, ny + 1)[:, None] / shape[0], np.arange(nx + 1) / shape[1]).astype(np.float32)
    usable = (frequency > 2.5 / min(shape)) & (frequency < MAX_FREQUENCY)
    number = max(8, min(shape[0], shape[1] // 2 + 1) // 6)
    ring = (frequency * 2 * number).astype(np.uint16)
    order = np.argsort(ring, axis=None)
    return _Rings(frequency, usable, ring, order, np.searchsorted(ring.flat[order], np.arange(ring.max() + 2)))


def _reach(shape: tuple[int, int]) -> tuple[int, int]:
    """Places of a spectrum, along y and x, up to a ring beyond `MAX_FREQUENCY`."""
    return tuple(int((MAX_FREQUENCY + 0.07) * n) for n in shape)


def _power_spectrum(pixels: np.ndarray) -> np.ndarray:
    """Power at `_rings(pixels.shape).frequency` of the windowed, flattened image, smoothed."""
    low, high = np.percentile(pixels[:: max(1, pixels.size >> 16)], [0.1, 99.9])
    flat = np.clip(pixels, np.float32(low), np.float32(high))
    flat -= ndimage.uniform_filter(flat, size=max(8, min(pixels.shape) // 8))
    for axis in (0, 1):
        flat *= np.expand_dims(np.hanning(pixels.shape[axis]).astype(np.float32), 1 - axis)
    power = np.abs(fft.rfft2(flat)) ** 2
    ny, nx = _reach(pixels.shape)
    return ndimage.uniform_filter(np.roll(power, ny, axis=0)[: 2 * ny + 1, : nx + 1], size=3, mode="wrap")


def _ring_median(power: np.ndarray, rings: _Rings) -> np.ndarray:
    """Median power of the ring each frequency lies in, as a map."""
    values = power.flat[rings.order]
    medians = [_middle_value(values[a:b]) if b > a else np.inf for a, b in pairwise(rings.edges)]
    return np.array(medians, np.float32)[rings.ring] + np.float32(1e-30)


def _middle_value(values: np.ndarray) -> np.floating:
    half = len(values) // 2
    return np.partition(values, half)[half]


def _spacing_of_maxima(image: np.ndarray, period: float) -> float | None:
    pixels = _middle(np.asarray(image, np.float32))
    zoom = min(1.0, 8.0 / period)
    small = resample(pixels, output_shape(pixels.shape, zoom))
    smooth = ndimage.gaussian_filter(small, 0.16 * period * zoom)
    smooth -= ndimage.gaussian_filter(small, 0.8 * period * zoom)
    top = (smooth == ndimage.maximum_filter(smooth, size=3)) & (smooth > 0.5 * smooth.std())
    spacing = measure_spacing(_subpixel(smooth, np.argwhere(top)))
    return None if spacing is None else spacing / zoom


def _subpixel(image: np.ndarray, index: np.ndarray) -> np.ndarray:
    """Maxima (N, 2) shifted to the top of the parabola through each and its neighbours along either axis."""
    padded = np.pad(image, 1, mode="edge")
    centre = index + 1
    out = index.astype(float)
    for axis, step in enumerate(np.eye(2, dtype=int)):
        before, at, after = (padded[tuple((centre + k * step).T)] for k in (-1, 0, 1))
        curvature = before - 2 * at + after
        out[:, axis] += np.where(curvature < 0, 0.5 * (before - after) / np.minimum(curvature, -1e-12), 0).clip(
            -0.5, 0.5
        )
    return out
