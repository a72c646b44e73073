"""Strain, rotation and displacement at every atom of any lattice, each with its standard error."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from atomnb.data.atoms import AtomTable
from atomnb.errors import AtomnbError
from atomnb.graph.deformation import (
    Stretches,
    fit_gradients,
    gradient_covariance,
    polar_decomposition,
    turn_matrix,
)
from atomnb.order.lattice_index import LatticeIndex, index_lattice

COMPONENTS = ("eps_xx", "eps_yy", "eps_xy", "rotation")
"""Columns of a strain table that have an error column NAME_err each."""

LEAST_SHARE = 0.1
"""Groups of a table's `sublattice` with a smaller share of the atoms do not count as sublattices of their own."""

_LARGEST_MULTIPLE = 4
_LARGEST_MISFIT = (0.2, 0.15)


class Reference(NamedTuple):
    """The lattice that strain is measured against.

    vectors_yx : (G, 2, 2) lattice vectors of each grain, rows (y, x), in the unit of the positions
    kind : 'median', 'region' or 'given'
    """

    vectors_yx: np.ndarray
    kind: str


@dataclass(frozen=True, eq=False)
class StrainMap:
    """Strain at every atom.

    Parameters
    ----------
    atoms : AtomTable
        The atoms measured, in their order, with these columns added; each but the last five has a standard error
        `NAME_err` beside it, and all are NaN where an atom has no two independent neighbours.

        - `eps_xx`, `eps_yy`, `eps_xy`: U − 1 of F = R U, where F maps the reference lattice onto the neighbours
          found. x points right and y down as in the table, so `eps_xy` has the sign opposite to that with y upward.
        - `rotation`: rad, positive from +x toward +y: clockwise on the screen.
        - `u_x`, `u_y`: displacement from the reference lattice, in Å (in px if uncalibrated). Each sublattice has its
          own origin; beyond a dislocation the displacement depends on the path.
        - `residual`: rms distance of the neighbours from where F puts them: distortion that is no strain.
        - `neighbors`: how many took part; `grain`, `lattice_site` (sublattice in the grain), `n1`, `n2`: node.
    reference : Reference
    position_error : float
        Standard error per axis that positions without a stated one were given, from the residuals; NaN if all had one.
    """

    atoms: AtomTable
    reference: Reference
    position_error: float

    @property
    def df(self) -> pd.DataFrame:
        """Table of the atoms with their strain."""
        return self.atoms.df

    @property
    def grains(self) -> pd.DataFrame:
        """One row per grain: atoms, lattice vectors of the reference, their lengths and direction."""
        rows = []
        for grain, (first, second) in enumerate(self.reference.vectors_yx):
            rows.append(
                {
                    "grain": grain,
                    "atoms": int((self.df["grain"] == grain).sum()),
                    "a1_y": first[0], "a1_x": first[1], "a2_y": second[0], "a2_x": second[1],
                    "a1": float(np.hypot(*first)), "a2": float(np.hypot(*second)),
                    "direction": float(np.arctan2(first[0], first[1])),
                }
            )  # fmt: skip
        names = ["grain", "atoms", "a1_y", "a1_x", "a2_y", "a2_x", "a1", "a2", "direction"]
        return pd.DataFrame(rows, columns=names)


def measure_strain(
    atoms, *, reference=None, region=None, sublattice=None, reach: float = 1.5, errors_yx=None
) -> StrainMap:
    """Displacement, strain and rotation at every atom, against a reference lattice.

    Parameters
    ----------
    atoms : AtomTable of one frame, or positions (N, 2) in Å
    reference : array (2, 2), optional
        Lattice vectors of the unstrained crystal, rows (y, x), in Å (in px for an uncalibrated table). They may be any
        pair that spans the lattice, or a conventional cell, and are turned to each grain's mean orientation.
    region : bool array (N,), optional
        Atoms whose mean lattice is the reference, such as a substrate. Give `reference`, `region` or neither; then
        each grain is measured against its own median lattice.
    sublattice : int array (N,), optional
        Atoms that differ in kind, such as A and B columns of a perovskite. By default the column of that name, as far
        as its groups hold a tenth of the atoms; kinds alike by geometry (the two of a honeycomb) are told apart
        without it.
    reach : float
        Neighbours up to this many times the longer lattice vector take part. More of them lower the errors and blur
        the map.
    errors_yx : array (N, 2), optional
        Standard errors of the positions in their unit, in place of the table's.

    Returns
    -------
    StrainMap

    Raises
    ------
    AtomnbError
        If positions are not finite or coincide, the table holds several frames, or the reference does not fit.

    Notes
    -----
    Neighbours are those by lattice vectors, on the same sublattice: a shift of one sublattice against another is no
    strain. F is fitted to them by least squares, weighted by their errors, and decomposed in closed form. Errors are
    propagated from those of the positions, assumed independent; the reference is taken as exact. Beside an edge or a
    hole the value stands for the middle of the neighbours that are there, up to half a lattice vector inward. Waves of
    strain shorter than about 25 lattice vectors are damped by more than 1 %.

    Examples
    --------
    >>> import numpy as np
    >>> yx = 4.0 * np.stack(np.meshgrid(np.arange(9), np.arange(9), indexing="ij"), -1).reshape(-1, 2)
    >>> stretched = measure_strain(yx * [1.0, 1.01], reference=4.0 * np.eye(2))
    >>> round(float(stretched.df["eps_xx"].mean()), 6)
    0.01
    """
    table, unit = _as_table(atoms)
    _check(table, reference, region, reach)
    yx = table.positions_yx * unit
    lattice = index_lattice(yx, classes=_classes(table, sublattice), reach=reach)
    chosen = _reference(lattice, yx, reference, region)
    errors = _stated_errors(table, errors_yx, unit)
    expected, vectors = _pairs(lattice, yx, chosen)
    errors, guessed = _complete_errors(errors, lattice, expected, vectors)
    measured = _fit(lattice, expected, vectors, errors)
    columns = _columns(lattice, *measured)
    columns |= _displacement(lattice, yx, errors, chosen, region)
    columns |= {
        "grain": lattice.grain, "lattice_site": lattice.sublattice,
        "n1": lattice.indices[:, 0], "n2": lattice.indices[:, 1],
    }  # fmt: skip
    provenance = {**table.provenance, "strain": {"reference": chosen.kind, "reach": reach}}
    df = table.df.assign(**columns)
    return StrainMap(AtomTable(df, table.pixel_size, table.shape, provenance), chosen, guessed)


def _as_table(atoms) -> tuple[AtomTable, float]:
    if isinstance(atoms, AtomTable):
        return atoms, atoms.pixel_size or 1.0
    return AtomTable.from_positions(atoms, pixel_size=1.0), 1.0


def _check(table: AtomTable, reference, region, reach: float) -> None:
    if reference is not None and region is not None:
        raise AtomnbError("give reference (lattice vectors) or region (a mask of atoms), not both.")
    if not np.isfinite(table.positions_yx).all():
        raise AtomnbError("the table holds NaN or infinite positions: drop those rows first.")
    if table.df["frame"].nunique() > 1:
        raise AtomnbError("the table holds several frames: measure one at a time, atoms.in_frame(0).")
    if not 1.0 <= reach <= 6.0:
        raise AtomnbError(f"reach must lie between 1 and 6 lattice vectors, got {reach!r}.")
    if region is not None and np.shape(region) != (len(table),):
        raise AtomnbError(
            f"region must hold one bool per atom, shape ({len(table)},), got {np.shape(region)}; a mask of the image "
            "is read at the atoms' positions first."
        )
    if len(table) > 1:
        gap, near = cKDTree(table.positions_yx).query(table.positions_yx, k=2)
        first = int(np.argmin(gap[:, 1]))
        if gap[first, 1] < 1e-3 * np.median(gap[:, 1]) or gap[first, 1] == 0:
            raise AtomnbError(f"atoms {first} and {near[first, 1]} stand at one place: drop one of them.")


def _classes(table: AtomTable, sublattice) -> np.ndarray | None:
    """Kinds of atoms; rare ones, by default, count with the most frequent kind."""
    if sublattice is not None:
        classes = np.asarray(sublattice).ravel()
        if classes.shape != (len(table),):
            raise AtomnbError(f"sublattice must hold one value per atom, got {len(classes)} for {len(table)} atoms.")
        return classes
    classes = table.df["sublattice"].to_numpy()
    kinds, count = np.unique(classes, return_counts=True)
    if not len(kinds):
        return None
    rare = kinds[count < LEAST_SHARE * len(classes)]
    return np.where(np.isin(classes, rare), kinds[np.argmax(count)], classes)


def _stated_errors(table: AtomTable, errors_yx, unit: float) -> np.ndarray:
    if errors_yx is None:
        return table.errors_yx * unit
    errors = np.asarray(errors_yx, float)
    if errors.shape != (len(table), 2):
        raise AtomnbError(f"errors_yx must have shape ({len(table)}, 2), got {errors.shape}.")
    return errors


def _reference(lattice: LatticeIndex, yx, given, region) -> Reference:
    own = np.array([_mean_lattice(lattice, yx, lattice.grain == g) for g in range(_n_grains(lattice))])
    own = own.reshape(-1, 2, 2)
    if given is not None:
        given = np.asarray(given, float)
        usable = given.shape == (2, 2) and np.isfinite(given).all()
        if not usable or abs(np.linalg.det(given)) < 1e-3 * (given**2).sum():
            raise AtomnbError("reference must be two lattice vectors, shape (2, 2), rows (y, x), not along one line.")
        return Reference(np.array([_turned_like(given, grain) for grain in own]).reshape(-1, 2, 2), "given")
    if region is None:
        return Reference(own, "median")
    inside = np.asarray(region, bool) & (lattice.grain >= 0)
    if not inside.any():
        raise AtomnbError("region holds no atom that belongs to a lattice: choose a larger or a more ordered one.")
    home = int(np.bincount(lattice.grain[inside]).argmax())
    base = _mean_lattice(lattice, yx, inside & (lattice.grain == home))
    if not np.isfinite(base).all():
        raise AtomnbError("region holds no two neighbours along two directions: choose a larger one.")
    vectors = [base if g == home else _turned_like(base, grain) for g, grain in enumerate(own)]
    return Reference(np.array(vectors), "region")


def _n_grains(lattice: LatticeIndex) -> int:
    return int(lattice.grain.max(initial=-1)) + 1


def _mean_lattice(lattice: LatticeIndex, yx, atoms: np.ndarray) -> np.ndarray:
    """Lattice vectors (2, 2) fitted to the median vector of each step that the atoms make."""
    used = atoms[lattice.owner]
    steps, way = np.unique(lattice.step[used], axis=0, return_inverse=True)
    vectors = (yx[lattice.member] - yx[lattice.owner])[used]
    if np.linalg.matrix_rank(steps) < 2:
        return np.full((2, 2), np.nan)
    medians = np.array([np.median(vectors[way.ravel() == k], axis=0) for k in range(len(steps))])
    number = np.bincount(way.ravel())[:, None] ** 0.5
    return np.linalg.lstsq(number * steps, number * medians, rcond=None)[0]


def _turned_like(given: np.ndarray, own: np.ndarray) -> np.ndarray:
    """The given lattice by the pair of vectors that `own` is nearest to, turned to the orientation of `own`.

    The given cell may be a multiple of the primitive one; that is tried where it cannot be primitive itself.
    """
    span = np.arange(-3, 4)
    choices = np.stack(np.meshgrid(span, span, span, span, indexing="ij"), -1).reshape(-1, 2, 2)
    determinant = choices[:, 0, 0] * choices[:, 1, 1] - choices[:, 0, 1] * choices[:, 1, 0]
    for multiple in range(1, _LARGEST_MULTIPLE + 1):
        pairs = np.linalg.inv(choices[np.abs(determinant) == multiple]) @ given
        gradients = np.swapaxes(np.linalg.inv(pairs) @ own, 1, 2)
        proper = np.linalg.det(gradients) > 0
        pairs, found = pairs[proper], polar_decomposition(gradients[proper])
        size = (found.strain**2 * [1, 1, 2]).sum(axis=1)
        best = np.flatnonzero(size < size.min() + 1e-9)
        best = best[np.argmin(np.abs(found.rotation[best]))]
        if size[best] < _LARGEST_MISFIT[multiple > 1] ** 2:
            return pairs[best] @ turn_matrix(found.rotation[best : best + 1])[0].T
    raise AtomnbError(
        f"the lattice found has vectors of {np.hypot(*own[0]):.3f} and {np.hypot(*own[1]):.3f}, which the given "
        "reference cannot be strained into: check its unit (Å), the pixel size, and that it is a cell of the "
        "projected lattice."
    )


def _pairs(lattice: LatticeIndex, yx, chosen: Reference) -> tuple[np.ndarray, np.ndarray]:
    """Vector of each neighbour pair in the reference and as found, (E, 2) both."""
    frames = chosen.vectors_yx[lattice.grain[lattice.owner]].reshape(-1, 2, 2)
    expected = np.einsum("ei,eij->ej", lattice.step, frames)
    return expected, yx[lattice.member] - yx[lattice.owner]


def _complete_errors(errors, lattice: LatticeIndex, expected, vectors) -> tuple[np.ndarray, float]:
    """Errors with those of the residuals where none are stated, and what that is (NaN if it was not needed)."""
    missing = ~(np.isfinite(errors) & (errors > 0))
    if not missing.any():
        return errors, float("nan")
    guess = _error_from_residuals(lattice, expected, vectors)
    return np.where(missing, guess, errors), guess


def _error_from_residuals(lattice: LatticeIndex, expected, vectors) -> float:
    """Position error per axis that explains the misfit of the neighbours, by the median over the atoms.

    Per axis, the misfits of n neighbours have n − 3 directions of variance σ² and one of (1 + q) σ²: along it the
    owner's own error moves all of them, q being what the fit leaves of (1, ..., 1).
    """
    n = len(lattice.grain)
    fit = fit_gradients(expected, vectors, lattice.owner, n)
    miss = vectors - np.einsum("eab,eb->ea", fit.matrix[lattice.owner], expected)
    square = np.bincount(lattice.owner, weights=(miss**2).sum(axis=1), minlength=n)
    response = [np.bincount(lattice.owner, weights=fit.response[:, 0, b], minlength=n) for b in (0, 1)]
    taken_up = np.einsum("eb,be->e", expected, np.array(response)[:, lattice.owner])
    common = np.bincount(lattice.owner, weights=(1 - taken_up) ** 2, minlength=n)
    used = np.isfinite(square) & (fit.count > 3)
    if not used.any():
        return float("nan")
    count, common = fit.count[used], common[used]
    mean = 2 * (count - 2 + common)
    freedom = mean**2 / (2 * (count - 3 + (1 + common) ** 2))
    # median of a χ² over its mean (Wilson and Hilferty)
    return float(np.sqrt(np.median(square[used] / mean / (1 - 2 / (9 * freedom)) ** 3)))


def _fit(lattice: LatticeIndex, expected, vectors, errors) -> tuple[Stretches, np.ndarray, np.ndarray]:
    """Strain, number of neighbours and residual of each atom."""
    n = len(lattice.grain)
    variance = errors**2
    typical = np.nanmedian(variance, axis=0) if np.isfinite(variance).any() else np.ones(2)
    # tempered by the typical error, lest one atom with a tiny one decide alone
    weights = 1 / (np.where(np.isfinite(variance), variance, typical)[lattice.member] + typical)
    fit = fit_gradients(expected, vectors, lattice.owner, n, weights=weights)
    covariance = gradient_covariance(fit, lattice.owner, lattice.member, errors)
    miss = vectors - np.einsum("eab,eb->ea", fit.matrix[lattice.owner], expected)
    square = np.bincount(lattice.owner, weights=(miss**2).sum(axis=1), minlength=n)
    return polar_decomposition(fit.matrix, covariance), fit.count, np.sqrt(square / np.maximum(fit.count, 1))


def _columns(lattice: LatticeIndex, found: Stretches, count, residual) -> dict[str, np.ndarray]:
    values = {
        "eps_xx": (found.strain[:, 1], found.strain_errors[:, 1]),
        "eps_yy": (found.strain[:, 0], found.strain_errors[:, 0]),
        "eps_xy": (found.strain[:, 2], found.strain_errors[:, 2]),
        "rotation": (found.rotation, found.rotation_errors),
    }
    columns = {}
    for name in COMPONENTS:
        columns[name], columns[f"{name}_err"] = values[name]
    undetermined = ~np.isfinite(found.rotation)
    columns["residual"] = np.where(undetermined, np.nan, residual)
    columns["neighbors"] = count
    return columns


def _displacement(lattice: LatticeIndex, yx, errors, chosen: Reference, region) -> dict[str, np.ndarray]:
    """Displacement from the reference lattice; its origin is the median over the region or the whole sublattice."""
    moved = np.full(yx.shape, np.nan)
    part = np.stack([lattice.grain, lattice.sublattice], axis=1)
    for grain, sublattice in np.unique(part[lattice.grain >= 0], axis=0):
        atoms = np.flatnonzero((part == [grain, sublattice]).all(axis=1))
        offset = yx[atoms] - lattice.indices[atoms] @ chosen.vectors_yx[grain]
        home = np.asarray(region, bool)[atoms] if region is not None else np.ones(len(atoms), bool)
        moved[atoms] = offset - np.median(offset[home] if home.any() else offset, axis=0)
    errors = np.where(np.isfinite(moved), errors, np.nan)
    return {"u_x": moved[:, 1], "u_x_err": errors[:, 1], "u_y": moved[:, 0], "u_y_err": errors[:, 0]}
