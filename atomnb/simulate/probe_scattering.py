"""How strongly an atom scatters to a detector, and how wide it looks to it: what the convolution model is fed with."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from scipy.special import j0, k0, k1

from atomnb.errors import AtomnbError
from atomnb.simulate.optics import Optics, wavelength_angstrom

OWN_WIDTH = 0.13
"""Width (SD) of an atom at rest, in units of wavelength / inner detector angle.

Fitted to single atoms of C to W in multislice (`benchmarks/renderer_vs_multislice.py` checks it).
"""

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
