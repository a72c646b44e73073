"""IdealImage: a noise-free image with the labelled columns of its structure, from which exposures are made."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from atomnb.errors import AtomnbError
from atomnb.simulate.classes import ClassScheme, LabelledColumns, label_columns

if TYPE_CHECKING:
    from atomnb.simulate.structures.lattice import Lattice

DARK_DETECTORS = ("abf", "bf")
"""Detectors on which columns are darker than their surroundings."""

COLUMN_SIGMA_ANGSTROM = 0.42
"""Usual standard deviation of a column's image."""


@dataclass(frozen=True, eq=False)
class IdealImage:
    """A noise-free image and what it shows; made by `ideal_image`.

    image : (H, W), not negative; in shares of the beam if doses per Å² are wanted. Its first pixel is the origin
    size_angstrom : (height, width) that the image spans; its pixels divide it evenly
    columns : positions in Å from the origin, what is there, and its class
    group : the structure, for the split into training and test
    periodic : whether the image repeats after `size_angstrom`, so that any part of it can be seen at any angle
    sigma_angstrom : standard deviation of a column's image
    dark : whether columns darken a bright background
    n_columns : columns of matter in the image (those of `columns` less vacancies), over which a dose is shared
    lattices : of the perfect crystal, one for each grain; () where there is none, or where it is not known
    """

    image: np.ndarray
    size_angstrom: tuple[float, float]
    columns: LabelledColumns
    group: str
    periodic: bool
    sigma_angstrom: float
    dark: bool
    n_columns: int
    lattices: tuple[Lattice, ...] = ()


def ideal_image(
    image: np.ndarray,
    structure,
    *,
    pixel_size: float,
    scheme: ClassScheme,
    dark: bool = False,
    sigma_angstrom: float = COLUMN_SIGMA_ANGSTROM,
) -> IdealImage:
    """A noise-free image of a structure, with the structure's columns and defects labelled.

    Parameters
    ----------
    image : (H, W)
        Of the whole cell from its origin, by whatever simulated it; not negative.
    structure : Structure
        Its columns, defects and periodicity are the truth.
    pixel_size : float
        Å.
    scheme : ClassScheme
    dark : bool
        Columns darken a bright background, as in ABF and BF.
    sigma_angstrom : float
        Standard deviation of a column's image.

    Raises
    ------
    AtomnbError
        If the image does not fit the structure's cell, is negative or not finite, or a column has no class.
    """
    pixels = np.asarray(image, np.float32)
    size = np.asarray(structure.size_angstrom, float)
    _check_ideal(pixels, size, pixel_size)
    periodic = bool(np.all(structure.atoms.pbc[:2]))
    pixels = _evenly_divided(pixels, size, pixel_size)
    columns = structure.columns()
    labelled = label_columns(columns.positions_yx, columns.content, scheme, defects=structure.defects)
    count = len(columns.content)
    group, lattices = structure_group(structure), structure.lattices
    return IdealImage(pixels, tuple(size), labelled, group, periodic, sigma_angstrom, dark, count, lattices)


def ideal_from_multislice(images, structure, *, scheme: ClassScheme, detector: str = "haadf") -> IdealImage:
    """One detector's image of a `MultisliceImages` with the truth of its structure.

    Raises
    ------
    AtomnbError
        If that detector was not simulated; see `ideal_image`.
    """
    if detector not in images.images:
        raise AtomnbError(f"the {detector!r} detector was not simulated: choose from {', '.join(images.images)}.")
    return ideal_image(
        images.images[detector],
        structure,
        pixel_size=images.pixel_size,
        scheme=scheme,
        dark=detector in DARK_DETECTORS,
    )


def structure_group(structure) -> str:
    """A name for the structure that tells it from others of its kind: the same whatever the optics or the dose."""
    told = {k: v for k, v in structure.provenance.items() if k != "versions"}
    digest = hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()
    return f"{structure.name}-{digest[:10]}"


def _evenly_divided(image: np.ndarray, size, pixel_size: float) -> np.ndarray:
    """The image on pixels that divide its cell evenly: cubic splines that know that it repeats."""
    from scipy.interpolate import CubicSpline

    for axis, length in enumerate(size):
        count = image.shape[axis]
        if abs(count * pixel_size - length) < 1e-6 * length:
            continue
        knots = np.append(np.arange(count) * pixel_size, length)
        closed = np.concatenate([image, image.take([0], axis=axis)], axis=axis)
        spline = CubicSpline(knots, closed, axis=axis, bc_type="periodic")
        image = spline(np.arange(count + 1) * (length / (count + 1)))
    return np.clip(image, 0, None).astype(np.float32)


def _check_ideal(image: np.ndarray, size, pixel_size: float) -> None:
    if image.ndim != 2 or not np.isfinite(image).all() or image.min() < 0 or not image.max() > 0:
        raise AtomnbError(
            f"a noise-free image must be (H, W), finite, not negative and not empty; got shape {image.shape}, values "
            f"from {np.nanmin(image):.3g} to {np.nanmax(image):.3g}."
        )
    spanned = np.array(image.shape) * pixel_size
    if (np.abs(spanned - size) > pixel_size * 1.01).any():
        raise AtomnbError(
            f"the image spans {spanned[0]:.2f} × {spanned[1]:.2f} Å, the structure's cell {size[0]:.2f} × "
            f"{size[1]:.2f} Å: it must be an image of that cell, from its origin."
        )
