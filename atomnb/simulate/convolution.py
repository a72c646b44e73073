"""The instant image of a structure: its atoms through the convolution model, on the whole cell, without noise."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np
import torch

from atomnb.errors import AtomnbError, RangeWarning
from atomnb.said import warn
from atomnb.simulate.optics import Optics, detector_angles
from atomnb.simulate.probe import probe_transfer, render_convolution
from atomnb.simulate.probe_scattering import apparent_width, scattering_strength
from atomnb.simulate.thermal import thermal_widths

INCOHERENT_DETECTORS = ("haadf", "maadf")
"""Detectors that the convolution model can stand for."""

THIN_ANGSTROM = 25.0
"""Å along the beam up to which the convolution model is used without a warning: at 40 Å of SrTiO3 its column profiles
are a fifth off (`benchmarks/renderer_vs_multislice.py`)."""

CHUNK_ATOMS = 4000
"""Atoms summed at once, so that thick crystals need little memory."""


def convolution_image(
    structure,
    *,
    optics: Optics | None = None,
    detector: str = "haadf",
    pixel_size: float = 0.15,
    thermal_angstrom: float | Mapping[str, float] | None = None,
) -> np.ndarray:
    """Noise-free image of a structure's cell, from its origin.

    Every atom is a peak of its own strength and width under the probe at the entrance of the specimen: exact for
    sheets, and without channelling, so too bright for heavy columns of thick crystals; multislice is right there.

    Parameters
    ----------
    structure : Structure
    optics : Optics, optional
    detector : {'haadf', 'maadf'}
    pixel_size : float
        Å.
    thermal_angstrom : float, mapping by symbol, or None
        As for `MultisliceConfig`.

    Returns
    -------
    (H, W) float32, share of the beam that reaches the detector; not negative

    Raises
    ------
    AtomnbError
        For another detector: coherent images need `simulate_multislice`.

    Warns
    -----
    RangeWarning
        If the specimen is too thick for the model (`convolution_doubt`).
    """
    optics = optics or Optics()
    if detector not in INCOHERENT_DETECTORS:
        raise AtomnbError(
            f"the convolution model stands for {', '.join(INCOHERENT_DETECTORS)}, not for {detector!r}: use "
            "simulate_multislice for ABF and BF."
        )
    doubt = convolution_doubt(structure)
    if doubt is not None:
        warn(doubt, RangeWarning, stacklevel=2)
    size = structure.size_angstrom
    shape = tuple(max(1, math.ceil(length / pixel_size - 1e-6)) for length in size)
    transfer = probe_transfer(optics, size)
    angles = detector_angles(detector, optics)
    numbers, positions = structure.atoms.get_atomic_numbers(), structure.atoms.get_positions()
    thermal = thermal_widths(structure.atoms.get_chemical_symbols(), thermal_angstrom)
    width = torch.as_tensor(apparent_width(optics, angles, thermal), dtype=torch.float32)[None]
    strength = {z: float(s) for z, s in zip(*_strengths(numbers, optics, angles), strict=True)}
    image = torch.zeros(shape)
    for start in range(0, len(numbers), CHUNK_ATOMS):
        part = slice(start, start + CHUNK_ATOMS)
        yx = torch.as_tensor(positions[part, 1::-1].copy(), dtype=torch.float32)[None]
        power = torch.tensor([[strength[z] for z in numbers[part]]])
        image += render_convolution(yx, power, width[:, part], transfer, shape=shape, pixel_size=pixel_size)[0]
    return image.clamp(min=0).numpy()


def convolution_doubt(structure) -> str | None:
    """Why the convolution model is not to be trusted for a structure, or None where it is."""
    heights = structure.atoms.get_positions()[:, 2]
    thickness = float(np.ptp(heights)) if len(heights) else 0.0
    if thickness <= THIN_ANGSTROM:
        return None
    return (
        f"the specimen is {thickness:.0f} Å thick: the convolution model knows no channelling, and beyond "
        f"{THIN_ANGSTROM:.0f} Å its columns have the wrong brightness and width. Use multislice, or a thinner specimen."
    )


def _strengths(numbers: np.ndarray, optics: Optics, angles) -> tuple[np.ndarray, np.ndarray]:
    kinds = np.unique(numbers)
    return kinds, scattering_strength(kinds, optics, angles)
