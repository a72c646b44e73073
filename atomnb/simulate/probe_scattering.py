"""How strongly an atom scatters to a detector, and how wide it looks to it: what the convolution model is fed with."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.spatial import cKDTree
from scipy.special import j0, k0, k1

from atomnb.errors import AtomnbError
from atomnb.simulate.optics import Optics, wavelength_angstrom

OWN_WIDTH = 0.13
"""Width (SD) of an atom at rest, in units of wavelength / inner detector angle.

Fitted to single atoms of C to W in multislice (`benchmarks/renderer_vs_multislice.py` checks it).
"""

SAME_COLUMN = 0.4
"""Atoms nearer than this in projection (Å) interfere as one column."""

_REST_EV = 510998.95
_TABLE = Path(__file__).with_name("probe_scattering.tsv")


def scattering_strength(numbers, optics: Optics, angles_mrad: tuple[float, float]) -> np.ndarray:
    """Integral of an isolated atom's image: the cross-section for scattering the probe into a dark-field detector.

    The atom is a phase grating, exp(iσv) - 1, so heavy atoms saturate as they do in multislice; |that|² is summed
    over the detector for every direction in the probe's cone.

    Parameters
    ----------
    numbers : (N,) atomic numbers
    optics : Optics
    angles_mrad : (inner, outer) of the detector

    Returns
    -------
    (N,) Å²

    Raises
    ------
    AtomnbError
        If an element is not tabulated (1 to 103), or the detector takes in the direct beam.
    """
    numbers = np.asarray(numbers, int)
    inner, outer = (float(a) for a in angles_mrad)
    if inner < optics.semiangle_mrad:
        raise AtomnbError(
            f"the convolution model needs a detector outside the direct beam of {optics.semiangle_mrad:g} mrad, got "
            f"{inner:g}–{outer:g} mrad: ABF and BF need multislice."
        )
    each = {z: _cross_section(int(z), optics.energy_ev, optics.semiangle_mrad, inner, outer) for z in set(numbers.flat)}
    return np.array([each[z] for z in numbers.flat]).reshape(numbers.shape)


def sheet_strength(
    positions, numbers, thermal_angstrom, optics: Optics, angles_mrad: tuple[float, float]
) -> np.ndarray:
    """As `scattering_strength`, with the interference of atoms that stand behind one another in a sheet.

    Two sulfur atoms scatter more than twice what one does: at the angles of a dark-field detector they are still
    partly coherent, less so the more they vibrate and the farther they are apart along the beam.

    Parameters
    ----------
    positions : (N, 3) x, y, z in Å, beam along z
    numbers : (N,) atomic numbers
    thermal_angstrom : (N,) root-mean-square displacement along each axis, Å
    optics, angles_mrad : as for `scattering_strength`

    Returns
    -------
    (N,) Å²; the gain of a pair is shared between its atoms
    """
    positions, numbers = np.asarray(positions, float).reshape(-1, 3), np.asarray(numbers, int)
    strength = scattering_strength(numbers, optics, angles_mrad)
    thermal = np.round(np.broadcast_to(thermal_angstrom, numbers.shape).astype(float), 4)
    microscope = (optics.energy_ev, optics.semiangle_mrad, float(angles_mrad[0]), float(angles_mrad[1]))
    for i, j in cKDTree(positions[:, :2]).query_pairs(SAME_COLUMN):
        apart = round(abs(float(positions[i, 2] - positions[j, 2])), 2)
        spread = round(float(np.hypot(thermal[i], thermal[j])), 3)
        pair = tuple(sorted((int(numbers[i]), int(numbers[j]))))
        gain = _interference(*pair, apart, spread, *microscope)
        strength[[i, j]] += 0.5 * gain
    return strength


def apparent_width(optics: Optics, angles_mrad: tuple[float, float], thermal_angstrom) -> np.ndarray:
    """Standard deviation (Å) of the peak that a vibrating atom is to a detector; shape of `thermal_angstrom`."""
    own = OWN_WIDTH * optics.wavelength_angstrom / (1e-3 * angles_mrad[0])
    return np.hypot(np.asarray(thermal_angstrom, float), own)


@lru_cache(maxsize=4096)
def _cross_section(z: int, energy_ev: float, semiangle: float, inner: float, outer: float) -> float:
    wavelength = wavelength_angstrom(energy_ev)
    q = np.geomspace(1e-3, 1e-3 * (outer + semiangle) / wavelength, 240)
    inner, outer, aperture = (1e-3 * angle / wavelength for angle in (inner, outer, semiangle))
    caught = (_overlap(q, aperture, outer) - _overlap(q, aperture, inner)) / (np.pi * aperture**2)
    return float(np.trapezoid(np.abs(_scattered(z, energy_ev, q)) ** 2 * caught * 2 * np.pi * q, q))


@lru_cache(maxsize=4096)
def _interference(
    z_1: int, z_2: int, apart: float, spread: float, energy_ev: float, semiangle: float, inner: float, outer: float
) -> float:
    """What two atoms `apart` Å along the beam scatter beyond the sum of each, Å².

    2 Re of F₁ F₂* exp(iπλ(K² - k²)Δz) exp(-2π²q²u²), over all directions K of the detector and k of the probe's cone,
    with q = K - k the scattering vector and u the spread of the atoms' relative displacement.
    """
    wavelength = wavelength_angstrom(energy_ev)
    inner, outer, aperture = (1e-3 * angle / wavelength for angle in (inner, outer, semiangle))
    grid = np.geomspace(1e-3, outer + aperture, 240)
    both = _scattered(z_1, energy_ev, grid) * np.conj(_scattered(z_2, energy_ev, grid))
    leaving = np.linspace(inner, outer, 60)[:, None, None]
    arriving = (np.sqrt((np.arange(12) + 0.5) / 12) * aperture)[:, None]  # equal areas of the cone
    angle = (np.arange(32) + 0.5) / 32 * np.pi
    q = np.sqrt(np.maximum(leaving**2 + arriving**2 - 2 * leaving * arriving * np.cos(angle), 0))
    product = np.interp(q, grid, both.real) + 1j * np.interp(q, grid, both.imag)
    path = np.pi * wavelength * (leaving**2 - arriving**2) * apart
    value = (product * np.exp(1j * path) * np.exp(-2 * (np.pi * q * spread) ** 2)).mean(axis=(1, 2)).real
    return float(2 * np.trapezoid(value * 2 * np.pi * leaving[:, 0, 0], leaving[:, 0, 0]))


def _scattered(z: int, energy_ev: float, q: np.ndarray) -> np.ndarray:
    """Fourier transform (Q,) of exp(iφ) - 1, with φ(r) the atom's phase shift, at frequencies q (1/Å); in Å²."""
    table = _table()
    if z not in table:
        raise AtomnbError(f"there is no scattering factor for atomic number {z}: 1 to 103 are tabulated.")
    a, b = table[z]
    r = np.geomspace(1e-4, 8.0, 1500)
    u = 2 * np.pi * r[:, None] / np.sqrt(b)
    # 2-D Fourier transform of a (2 + b q²) / (1 + b q²)² = a / (1 + b q²) + a / (1 + b q²)²
    projected = (2 * np.pi * a / b * (k0(u) + 0.5 * u * k1(u))).sum(axis=1)
    phase = wavelength_angstrom(energy_ev) * (1 + energy_ev / _REST_EV) * projected
    grating = (np.exp(1j * phase) - 1) * 2 * np.pi * r
    return np.trapezoid(grating * j0(2 * np.pi * q[:, None] * r), r, axis=1)


def _overlap(distance: np.ndarray, a: float, b: float) -> np.ndarray:
    """Area common to circles of radius a and b whose centres are `distance` apart."""
    d = np.clip(distance, abs(a - b) + 1e-12, a + b - 1e-12)
    at_a, at_b = ((d**2 + x**2 - y**2) / (2 * d * x) for x, y in ((a, b), (b, a)))
    kite = np.sqrt(np.clip((-d + a + b) * (d + a - b) * (d - a + b) * (d + a + b), 0, None))
    lens = a**2 * np.arccos(np.clip(at_a, -1, 1)) + b**2 * np.arccos(np.clip(at_b, -1, 1)) - 0.5 * kite
    return np.where(distance >= a + b, 0.0, np.where(distance <= abs(a - b), np.pi * min(a, b) ** 2, lens))


@lru_cache(maxsize=1)
def _table() -> dict[int, tuple[np.ndarray, np.ndarray]]:
    rows = np.loadtxt(_TABLE, skiprows=3, delimiter="\t")
    return {int(row[0]): (row[1:6], row[6:11]) for row in rows}
