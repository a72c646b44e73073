"""A defect against a reference structure (a calculation, a perfect crystal): displacements, strain, bonds in sigmas."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.spatial import cKDTree

from atomnb._require import require
from atomnb.errors import AtomnbError
from atomnb.graph.deformation import (
    Gradients,
    fit_gradients,
    gradient_covariance,
    polar_decomposition,
    turn_matrix,
)
from atomnb.graph.geometry import angle_triples, bond_angles, bond_lengths
from atomnb.graph.matching import Match, best_placement, match_structures
from atomnb.graph.record import DefectRecord

_SCALE_ROUNDS = 5


@dataclass(frozen=True, eq=False)
class Comparison:
    """A measured structure beside its reference.

    Parameters
    ----------
    atoms : pandas.DataFrame
        One row per pair of corresponding atoms: `measured`, `reference` (their numbers), `species`, `y`, `x` measured
        (Å), `d_y`, `d_x` displacement from the reference laid on it, `d_y_err`, `d_x_err`; `eps_xx`, `eps_yy`,
        `eps_xy`, `rotation` of the neighbourhood with `_err`, in the axes of the image (y down; the rotation is
        positive from +x toward +y, against the whole), NaN where an atom has no two independent neighbours.
    bonds : pandas.DataFrame
        `i`, `j` (measured), `species`, `length`, `error`, `reference`, `difference` (Å), `sigmas` = difference / error.
    angles : pandas.DataFrame
        `i`, `vertex`, `j`, `species`, `angle`, `error`, `reference`, `difference` (rad), `sigmas`.
    match : Match
        Which atom is which (moving: measured, fixed: reference), and how the measured structure is laid on the
        reference.
    strain : dict
        Mean strain of the whole, as in `atoms`, with errors.
    scale : float
        Measured lengths over reference ones that was taken out; 1 unless asked for.
    """

    atoms: pd.DataFrame
    bonds: pd.DataFrame
    angles: pd.DataFrame
    match: Match
    strain: dict[str, float]
    scale: float

    @property
    def rms_sigmas(self) -> float:
        """Root mean square of the bond lengths' differences in sigmas: about 1 if only noise separates the two."""
        sigmas = self.bonds["sigmas"].to_numpy()
        return float(np.sqrt(np.nanmean(sigmas**2))) if np.isfinite(sigmas).any() else float("nan")


def compare_structure(
    measured,
    reference,
    *,
    errors_yx=None,
    pairs=None,
    mirror: bool = True,
    fit_scale: bool = False,
    tolerance: float = 0.7,
    reach: float = 1.9,
) -> Comparison:
    """Compare a defect with a structure from a calculation or elsewhere.

    Parameters
    ----------
    measured : DefectRecord, or (positions (N, 2) in Å, species (N,))
    reference : ase.Atoms, path of a .cif, .xyz or other file ASE reads, or (positions (M, 2) in Å, species (M,))
        Seen along z. It may hold more atoms than the defect; a periodic cell is repeated to look across its border.
    errors_yx : array (N, 2), optional
        Standard errors of the measured positions, Å; a record brings its own.
    pairs : int array (E, 2), optional
        Bonds of the measured structure; a record brings its own. Without any, bonds are the neighbours within 1.3
        times the shortest distance in the reference.
    mirror : bool
        Whether the measured structure may be turned over.
    fit_scale : bool
        Take out a common factor of all lengths first: for images whose pixel size is not trusted. Strain and bonds
        then tell shape only.
    tolerance : float
        Å; atoms farther apart than this do not correspond.
    reach : float
        Neighbours up to this many times the shortest distance enter an atom's strain (1.9: second neighbours of a
        honeycomb).

    Returns
    -------
    Comparison

    Raises
    ------
    AtomnbError
        If the two cannot be laid on one another, or fewer than two atoms correspond.

    Notes
    -----
    Atoms correspond by assignment over rotations and mirror images (`match_structures`), never by their order. The
    reference, laid on the image, and the vectors between neighbours give F by least squares; F = R (1 + ε). The
    reference counts as exact; a strain of the whole that equals the uncertainty of the pixel size means nothing.

    Examples
    --------
    >>> import numpy as np
    >>> shape = 1.5 * np.array([[0, 0], [0, 1], [1, 0], [0, -1.2], [-1, 0]])
    >>> found = compare_structure((shape * [1.0, 1.02], "SCCCC"), (shape, "SCCCC"))
    >>> round(found.strain["eps_xx"], 6)
    0.02
    """
    record = measured if isinstance(measured, DefectRecord) else None
    yx, species = (record.positions_yx, record.species) if record else _arrays(measured)
    errors = _errors(errors_yx if errors_yx is not None or record is None else record.errors_yx, len(yx))
    fixed, fixed_species = _reference(reference)
    scale, match = _matched(yx, species, fixed, fixed_species, mirror, fit_scale, tolerance)
    yx, errors = yx / scale, errors / scale
    own = match.pairs[:, 0]
    laid = _laid(match, yx, fixed)
    shortest = _shortest(laid)
    bonds = _bonds(record.pairs if record is not None and pairs is None else pairs, own, laid, shortest)
    atoms = _atom_table(yx, species, errors, match, laid, reach * shortest)
    return Comparison(
        atoms,
        _bond_table(yx, species, errors, own, laid, bonds),
        _angle_table(yx, species, errors, own, laid, bonds),
        match,
        _whole(yx[own], errors[own], laid),
        scale,
    )


def _arrays(structure) -> tuple[np.ndarray, tuple[str, ...]]:
    try:
        positions, species = structure
    except (TypeError, ValueError) as error:
        raise AtomnbError(
            "a structure is a DefectRecord, or a pair: positions (N, 2) in Å and species (N,)."
        ) from error
    yx = np.asarray(positions, float)
    if yx.ndim != 2 or yx.shape[1] != 2:
        raise AtomnbError(f"positions must have shape (N, 2), (y, x) in Å, got {yx.shape}.")
    return yx, tuple(str(s) for s in species)


def _errors(errors_yx, n: int) -> np.ndarray:
    errors = np.full((n, 2), np.nan) if errors_yx is None else np.asarray(errors_yx, float)
    if errors.shape != (n, 2):
        raise AtomnbError(f"errors_yx must have shape ({n}, 2), got {errors.shape}.")
    return errors


def _reference(reference) -> tuple[np.ndarray, tuple[str, ...]]:
    """Positions (y, x) and species, a periodic cell with its images around it."""
    if isinstance(reference, (str, Path)):
        path = Path(reference)
        if not path.exists():
            raise FileNotFoundError(f"there is no file {path}: check the spelling and the folder.")
        reference = require("ase.io", extra="simulate").read(path)
    if not hasattr(reference, "get_chemical_symbols"):
        return _arrays(reference)
    yx = np.asarray(reference.positions)[:, [1, 0]]
    symbols = tuple(reference.get_chemical_symbols())
    cell, periodic = np.asarray(reference.cell)[:, [1, 0]], np.asarray(reference.pbc)
    flat = periodic & (np.hypot(*cell.T) > 0.1)
    images = [np.zeros(2)]
    for vector in cell[flat]:
        images = [image + k * vector for image in images for k in (0, -1, 1)]
    images = np.unique(np.round(images, 9), axis=0)
    images = images[np.argsort(np.hypot(*images.T), kind="stable")]
    return (images[:, None] + yx[None]).reshape(-1, 2), symbols * len(images)


def _matched(yx, species, fixed, fixed_species, mirror, fit_scale, tolerance) -> tuple[float, Match]:
    """The match, and the common factor of lengths if it is to be taken out."""
    scale = 1.0
    for _ in range(_SCALE_ROUNDS if fit_scale else 1):
        match = match_structures(yx / scale, species, fixed, fixed_species, mirror=mirror, tolerance=tolerance)
        if len(match.pairs) < 2:
            raise AtomnbError("fewer than two atoms correspond: check species and scale, or raise tolerance (Å).")
        if fit_scale:
            own, other = match.pairs.T
            a, b = yx[own] - yx[own].mean(axis=0), fixed[other] - fixed[other].mean(axis=0)
            turned = a @ match.placement.matrix.T
            factor = float((a**2).sum() / (turned * b).sum())
            if abs(factor / scale - 1) < 1e-9:
                break
            scale = factor
    return scale, match


def _laid(match: Match, yx: np.ndarray, fixed: np.ndarray) -> np.ndarray:
    """The reference's partners (K, 2) laid on the measured atoms, so that the deformation of the whole has no turn.

    Least squares alone would leave a small one beside a strain, and with it the strain's axes off the image's.
    """
    own, other = match.pairs.T
    partners = fixed[other] * ([1.0, -1.0] if match.placement.mirrored else [1.0, 1.0])
    laid = best_placement(partners, yx[own]).apply(partners)
    middle = laid.mean(axis=0)
    turn = _deformation_of_all(yx[own], laid).matrix
    angle = polar_decomposition(turn).rotation
    return laid if np.isnan(angle[0]) else (laid - middle) @ turn_matrix(angle)[0].T + middle


def _shortest(laid: np.ndarray) -> float:
    return float(np.median(cKDTree(laid).query(laid, k=2)[0][:, 1]))


def _bonds(pairs, own: np.ndarray, laid: np.ndarray, shortest: float) -> np.ndarray:
    """Bonds (E, 2) in numbers of the corresponding atoms."""
    if pairs is None:
        return cKDTree(laid).query_pairs(1.3 * shortest, output_type="ndarray")
    pairs = np.asarray(pairs, int).reshape(-1, 2)
    number = np.full(max(int(pairs.max(initial=-1)), int(own.max())) + 1, -1)
    number[own] = np.arange(len(own))
    bonds = number[pairs]
    return bonds[(bonds >= 0).all(axis=1)]


def _atom_table(yx, species, errors, match: Match, laid, radius: float) -> pd.DataFrame:
    own, other = match.pairs.T
    places, spread = yx[own], errors[own]
    moved = places - laid
    pairs = cKDTree(laid).query_pairs(radius, output_type="ndarray").reshape(-1, 2)
    owner, member = np.concatenate([pairs, pairs[:, ::-1]]).T
    fit = fit_gradients(laid[member] - laid[owner], places[member] - places[owner], owner, len(own))
    found = polar_decomposition(fit.matrix, gradient_covariance(fit, owner, member, spread))
    columns = {
        "measured": own, "reference": other, "species": [species[k] for k in own],
        "y": places[:, 0], "x": places[:, 1], "d_y": moved[:, 0], "d_x": moved[:, 1],
        "d_y_err": spread[:, 0], "d_x_err": spread[:, 1],
    }  # fmt: skip
    return pd.DataFrame(columns | _strain_columns(found))


def _strain_columns(found) -> dict[str, np.ndarray]:
    columns = {}
    for name, k in (("eps_xx", 1), ("eps_yy", 0), ("eps_xy", 2)):
        columns |= {name: found.strain[:, k], f"{name}_err": found.strain_errors[:, k]}
    return columns | {"rotation": found.rotation, "rotation_err": found.rotation_errors}


def _whole(places, spread, laid) -> dict[str, float]:
    """Strain of all atoms together, as vectors from their centre."""
    fit = _deformation_of_all(places, laid)
    # the responses sum to zero, so the common centre has no part in the error
    outer = fit.response[:, :, :, None] * fit.response[:, :, None, :]
    covariance = (outer * (spread**2)[:, :, None, None]).sum(axis=0)[None]
    found = polar_decomposition(fit.matrix, covariance)
    return {name: float(values[0]) for name, values in _strain_columns(found).items()}


def _deformation_of_all(places, laid) -> Gradients:
    """The one gradient that takes the laid reference to the measured places, about their centres."""
    return fit_gradients(laid - laid.mean(axis=0), places - places.mean(axis=0), np.zeros(len(laid), int), 1)


def _bond_table(yx, species, errors, own, laid, bonds) -> pd.DataFrame:
    measured = bond_lengths(yx[own], bonds, errors[own])
    table = {
        "i": own[bonds[:, 0]], "j": own[bonds[:, 1]], "species": _labels(species, own[bonds]),
        "length": measured.value, "error": measured.error, "reference": bond_lengths(laid, bonds).value,
    }  # fmt: skip
    return _with_sigmas(pd.DataFrame(table), "length")


def _angle_table(yx, species, errors, own, laid, bonds) -> pd.DataFrame:
    measured = bond_angles(yx[own], bonds, errors[own])
    triples = angle_triples(bonds)
    table = {
        "i": own[triples[:, 0]], "vertex": own[triples[:, 1]], "j": own[triples[:, 2]],
        "species": _labels(species, own[triples]), "angle": measured.value, "error": measured.error,
        "reference": bond_angles(laid, bonds).value,
    }  # fmt: skip
    return _with_sigmas(pd.DataFrame(table), "angle")


def _with_sigmas(table: pd.DataFrame, name: str) -> pd.DataFrame:
    difference = table[name] - table["reference"]
    return table.assign(difference=difference, sigmas=difference / table["error"])


def _labels(species, atoms: np.ndarray) -> list[str]:
    return ["–".join(species[k] for k in row) for row in atoms]
