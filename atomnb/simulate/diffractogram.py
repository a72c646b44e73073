"""The diffractogram: the power spectrum of an image, and where the lattice of its structure puts spots in it."""

from __future__ import annotations

import numpy as np

from atomnb.errors import AtomnbError
from atomnb.simulate.ideal import IdealImage

SPOT_SHARE = 0.05
"""Spots weaker than this share of the strongest (in amplitude) are not shown."""

MOST_SPOTS = 80

RARE = 0.1
"""Columns with a smaller share than this are defects of the lattice, not part of it."""


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
    """Frequencies (N, 2) as (ky, kx) in 1/Å of the lattice's spots, strongest first, as an exposure shows them.

    Parameters
    ----------
    ideal : IdealImage
        Its columns say where spots can be, its spectrum which of them the microscope lets through.
    reach : float
        Highest frequency, 1/Å.
    rotation_rad : float
        Angle of the scan against the sample.
    """
    ky, kx = (np.arange(-int(reach * length), int(reach * length) + 1) / length for length in ideal.size_angstrom)
    rows, columns = (
        np.exp(-2j * np.pi * np.outer(k, x)) for k, x in zip((ky, kx), ideal.columns.positions_yx.T, strict=True)
    )
    lattice = np.abs(rows @ (_usual_brightness(ideal)[:, None] * columns.T))
    spectrum = np.abs(np.fft.fft2(ideal.image))
    seen = spectrum[np.ix_(*(np.round(k * n).astype(int) for k, n in zip((ky, kx), ideal.size_angstrom, strict=True)))]
    wanted = (np.hypot(ky[:, None], kx) <= reach) & (ky[:, None] ** 2 + kx**2 > 0)
    wanted &= lattice > SPOT_SHARE * lattice[wanted].max()
    y, x = np.nonzero(wanted & (seen > SPOT_SHARE * seen[wanted].max(initial=0)))
    order = np.argsort(-seen[y, x], kind="stable")[:MOST_SPOTS]
    found = np.stack([ky[y[order]], kx[x[order]]], axis=1)
    c, s = np.cos(rotation_rad), np.sin(rotation_rad)
    return found @ np.array([[c, -s], [s, c]])


def _usual_brightness(ideal: IdealImage) -> np.ndarray:
    """Brightness (N,) of the columns above the image's least; 0 for rare ones, so that defects make no spots."""
    species = np.asarray(ideal.columns.species, str)
    step = np.array(ideal.size_angstrom) / ideal.image.shape
    at = np.round(ideal.columns.positions_yx / step).astype(int) % ideal.image.shape
    value = np.abs(ideal.image[tuple(at.T)] - (ideal.image.max() if ideal.dark else ideal.image.min()))
    _, index, counts = np.unique(species, return_inverse=True, return_counts=True)
    means = np.bincount(index, value) / counts
    return np.where(counts < RARE * len(species), 0.0, means)[index]
