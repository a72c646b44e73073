"""The electron microscope as numbers: beam, aperture, aberrations, source size, and the detectors' angles."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from atomnb.errors import AtomnbError

ABERRATIONS: Mapping[str, tuple[int, int]] = {
    "C12": (1, 2), "C21": (2, 1), "C23": (2, 3), "C30": (3, 0), "C32": (3, 2), "C34": (3, 4),
    "C41": (4, 1), "C43": (4, 3), "C45": (4, 5), "C50": (5, 0), "C52": (5, 2), "C54": (5, 4), "C56": (5, 6),
}  # fmt: skip
"""Krivanek's names of the aberrations beside defocus: name → (radial order n, azimuthal order m), in Å.

Those with m > 0 have an azimuth beside them, in rad: `phi12` for `C12`.
"""

DETECTORS = ("haadf", "maadf", "abf", "bf")

HAADF_MRAD = (60.0, 180.0)
MAADF_MRAD = (35.0, 60.0)

_PLANCK, _ELECTRON_MASS, _LIGHT_SPEED, _CHARGE = 6.62607015e-34, 9.1093837015e-31, 299792458.0, 1.602176634e-19
_ELECTRON_REST_EV = 510998.95


@dataclass(frozen=True)
class Optics:
    """How the probe is formed.

    Parameters
    ----------
    energy_ev : float
        Beam energy, eV.
    semiangle_mrad : float
        Convergence semi-angle, mrad.
    defocus_angstrom : float
        Å; positive = underfocus (C10 = -defocus), at the entrance of the specimen.
    aberrations : mapping
        Other aberrations by Krivanek's names (`ABERRATIONS`), in Å, and their azimuths (`phi12`, ...) in rad.
    source_fwhm_angstrom : float
        Full width at half maximum of the effective source in the specimen's plane, Å.

    Raises
    ------
    AtomnbError
        If a value is outside what an electron microscope does, or an aberration is unknown.
    """

    energy_ev: float = 200e3
    semiangle_mrad: float = 25.0
    defocus_angstrom: float = 0.0
    aberrations: Mapping[str, float] = field(default_factory=dict)
    source_fwhm_angstrom: float = 0.8

    def __post_init__(self) -> None:
        _within("energy_ev", self.energy_ev, 10e3, 1500e3, "eV")
        _within("semiangle_mrad", self.semiangle_mrad, 1.0, 100.0, "mrad")
        _within("defocus_angstrom", self.defocus_angstrom, -5000.0, 5000.0, "Å")
        _within("source_fwhm_angstrom", self.source_fwhm_angstrom, 0.0, 10.0, "Å")
        known = set(ABERRATIONS) | {f"phi{name[1:]}" for name, (_, m) in ABERRATIONS.items() if m}
        unknown = sorted(set(self.aberrations) - known)
        if unknown:
            raise AtomnbError(f"unknown aberrations {unknown}: choose from {', '.join(sorted(known))} (Å, rad).")
        for name, value in self.aberrations.items():
            if not math.isfinite(value):
                raise AtomnbError(f"the aberration {name} must be a finite number, got {value!r}.")

    @property
    def wavelength_angstrom(self) -> float:
        """Relativistic wavelength of the electrons, Å."""
        return wavelength_angstrom(self.energy_ev)

    @property
    def band_limit(self) -> float:
        """Highest spatial frequency (1/Å) that a scanned image can hold: twice the aperture's."""
        return 2e-3 * self.semiangle_mrad / self.wavelength_angstrom

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, for JSON and provenance."""
        return asdict(self) | {"aberrations": {k: float(v) for k, v in sorted(self.aberrations.items())}}


@dataclass(frozen=True)
class OpticsRanges:
    """Ranges (low, high) from which microscopes are drawn; the defaults are a corrected microscope, tuned by hand.

    Each aberration is drawn as a complex number, so that its azimuth is even and its size at most the range's high.
    """

    energy_ev: tuple[float, ...] = (60e3, 80e3, 200e3)
    """The beam energies to choose from, eV."""
    semiangle_mrad: tuple[float, float] = (21.0, 32.0)
    defocus_angstrom: tuple[float, float] = (-30.0, 30.0)
    aberrations: Mapping[str, tuple[float, float]] = field(
        default_factory=lambda: {
            "C12": (0.0, 20.0),
            "C21": (0.0, 400.0),
            "C23": (0.0, 400.0),
            "C30": (-8000.0, 8000.0),
        }
    )
    """Å; of those with an azimuth the size (0 ≤ low ≤ high), of the round ones the signed value."""
    source_fwhm_angstrom: tuple[float, float] = (0.5, 1.1)


def sample_optics(rng: np.random.Generator, ranges: OpticsRanges | None = None) -> Optics:
    """Draw a microscope.

    Parameters
    ----------
    rng : numpy.random.Generator
        The only source of chance.
    ranges : OpticsRanges, optional

    Raises
    ------
    AtomnbError
        If a range runs backwards or names an unknown aberration.

    Examples
    --------
    >>> sample_optics(np.random.default_rng(1)).energy_ev in (60e3, 80e3, 200e3)
    True
    """
    ranges = ranges or OpticsRanges()
    aberrations: dict[str, float] = {}
    for name, limits in ranges.aberrations.items():
        if name not in ABERRATIONS:
            raise AtomnbError(f"unknown aberration {name!r} in the ranges: choose from {', '.join(ABERRATIONS)}.")
        aberrations[name] = _uniform(rng, name, limits)
        if ABERRATIONS[name][1]:
            aberrations[f"phi{name[1:]}"] = float(rng.uniform(-np.pi, np.pi))
    return Optics(
        energy_ev=float(rng.choice(ranges.energy_ev)),
        semiangle_mrad=_uniform(rng, "semiangle_mrad", ranges.semiangle_mrad),
        defocus_angstrom=_uniform(rng, "defocus_angstrom", ranges.defocus_angstrom),
        aberrations=aberrations,
        source_fwhm_angstrom=_uniform(rng, "source_fwhm_angstrom", ranges.source_fwhm_angstrom),
    )


def wavelength_angstrom(energy_ev: float) -> float:
    """Relativistic de Broglie wavelength of electrons of `energy_ev`, in Å.

    >>> round(wavelength_angstrom(80e3), 5)
    0.04176
    """
    momentum = math.sqrt(2 * _ELECTRON_MASS * _CHARGE * energy_ev * (1 + energy_ev / (2 * _ELECTRON_REST_EV)))
    return 1e10 * _PLANCK / momentum


def detector_angles(
    detector: str, optics: Optics, overrides: Mapping[str, tuple[float, float]] | None = None
) -> tuple[float, float]:
    """Inner and outer angle of a detector, in mrad.

    ABF spans the outer half of the aperture, BF its inner half; the dark fields have fixed angles.

    Parameters
    ----------
    detector : {'haadf', 'maadf', 'abf', 'bf'}
    optics : Optics
    overrides : mapping, optional
        Angles of detectors that are to differ: name → (inner, outer) mrad.

    Raises
    ------
    AtomnbError
        If the detector is unknown, its angles run backwards, or a dark field would take in the direct beam.
    """
    aperture = optics.semiangle_mrad
    angles = {
        "haadf": HAADF_MRAD,
        "maadf": (max(MAADF_MRAD[0], 1.1 * aperture), max(MAADF_MRAD[1], 1.9 * aperture)),
        "abf": (0.5 * aperture, aperture),
        "bf": (0.0, 0.5 * aperture),
    }
    if detector not in angles:
        raise AtomnbError(f"unknown detector {detector!r}: choose from {', '.join(DETECTORS)}.")
    inner, outer = (overrides or {}).get(detector, angles[detector])
    if not 0 <= inner < outer:
        raise AtomnbError(f"the {detector} detector needs 0 ≤ inner < outer, got {inner:g}–{outer:g} mrad.")
    if detector in ("haadf", "maadf") and inner < aperture:
        raise AtomnbError(
            f"the {detector} detector starts at {inner:g} mrad, inside the {aperture:g} mrad of the direct beam: give "
            f"it a larger inner angle or the probe a smaller semiangle_mrad."
        )
    return float(inner), float(outer)


def aberration_phase(optics: Optics, ky: np.ndarray, kx: np.ndarray) -> np.ndarray:
    """Phase χ (rad) that the lens adds to the plane wave of frequency (ky, kx), 1/Å; the wave is exp(-iχ).

    χ = (2π/λ) Σ C_nm α^(n+1) cos(m(φ - φ_nm)) / (n + 1), after Krivanek, with x (columns) the axis of azimuth 0.
    """
    wavelength = optics.wavelength_angstrom
    alpha = wavelength * np.hypot(ky, kx)
    azimuth = np.arctan2(ky, kx)
    path = -0.5 * optics.defocus_angstrom * alpha**2
    for name, (n, m) in ABERRATIONS.items():
        size = optics.aberrations.get(name, 0.0)
        if size:
            turned = np.cos(m * (azimuth - optics.aberrations.get(f"phi{name[1:]}", 0.0)))
            path = path + size * alpha ** (n + 1) * turned / (n + 1)
    return 2 * np.pi / wavelength * path


def _within(name: str, value: float, low: float, high: float, unit: str) -> None:
    if not low <= value <= high:
        raise AtomnbError(f"{name} must lie between {low:g} and {high:g} {unit}, got {value!r}.")


def _uniform(rng: np.random.Generator, name: str, limits: tuple[float, float]) -> float:
    low, high = limits
    if not low <= high:
        raise AtomnbError(f"the range of {name} must be (low, high), got {limits!r}.")
    return float(rng.uniform(low, high))
