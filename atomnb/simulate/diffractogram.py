"""The diffractogram: the power spectrum of an image, and where the lattice of its structure puts spots in it."""

from __future__ import annotations

import numpy as np

from atomnb.errors import AtomnbError
from atomnb.simulate.ideal import IdealImage

SPOT_SHARE = 0.05
"""Spots weaker than this share of the strongest (in amplitude) are not shown."""

MOST_SPOTS = 80


def log_power(image: np.ndarray, *, pixel_size: float, reach: float) -> tuple[np.ndarray, float]:
    """Logarithm of the power spectrum of an image, its middle at frequency 0.

    Parameters
    ----------
    image : (H, W)
    pixel_size : float
        Å.
    reach : float
        Highest frequency shown, 1/Å; less where the pixels are too coarse for it.

    Returns
    -------
    (2 n + 1, 2 n + 1) float32 : log10 of the power over its median
    step : 1/Å per pixel
    """
    pixels = np.asarray(image, float)
    if pixels.ndim != 2 or min(pixels.shape) < 8:
        raise AtomnbError(f"a diffractogram needs an image (H, W) of at least 8 px each, got shape {pixels.shape}.")
    window = np.outer(*(np.hanning(n + 2)[1:-1] for n in pixels.shape))
    side = 2 * max(pixels.shape)  # twice the field, so that spots are smooth
    power = np.abs(np.fft.fftshift(np.fft.fft2((pixels - pixels.mean()) * window, (side, side)))) ** 2
    step = 1 / (side * pixel_size)
    n = max(4, min(side // 2 - 1, round(reach / step)))
    middle = slice(side // 2 - n, side // 2 + n + 1)
    shown = power[middle, middle]
    floor = max(float(np.median(shown)), 1e-30 * float(shown.max()), 1e-300)
    return np.log10(np.maximum(shown, floor) / floor).astype(np.float32), step


def lattice_spots(ideal: IdealImage, *, reach: float, rotation_rad: float = 0.0) -> np.ndarray:
    """Frequencies (N, 2) as (ky, kx) in 1/Å of the host lattice's spots, strongest first, as an exposure shows them.

    Parameters
    ----------
    ideal : IdealImage
        Its lattices say where spots can be, its spectrum which of them the microscope lets through. Without a
        lattice (amorphous, five-fold particles, unknown) there are no spots.
    reach : float
        Highest frequency, 1/Å.
    rotation_rad : float
        Angle of the scan against the sample.
    """
    found = [np.zeros((0, 2))]
    for lattice in ideal.lattices:
        waves, amplitude = lattice.spots(reach)
        found.append(waves[amplitude > SPOT_SHARE * amplitude.max(initial=0)])
    waves = np.unique(np.round(np.concatenate(found), 6), axis=0)
    seen = _seen(ideal, waves)
    order = np.argsort(-seen, kind="stable")
    order = order[seen[order] > SPOT_SHARE * seen.max(initial=0)][:MOST_SPOTS]
    c, s = np.cos(rotation_rad), np.sin(rotation_rad)
    return waves[order] @ np.array([[c, -s], [s, c]])


def _seen(ideal: IdealImage, waves: np.ndarray) -> np.ndarray:
    """Amplitude (N,) of the image about each frequency: where the box is no multiple of the lattice, beside it, too."""
    spectrum = np.abs(np.fft.fft2(ideal.image))
    spectrum[0, 0] = 0
    at = np.round(waves * ideal.size_angstrom).astype(int)
    beside = at[:, None] + [(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]
    outside = (2 * np.abs(at) >= ideal.image.shape).any(axis=1)
    amplitude = spectrum[tuple(np.moveaxis(beside % ideal.image.shape, -1, 0))].max(axis=1)
    return np.where(outside, 0.0, amplitude)
