"""Class averages: many pictures of one kind of defect laid on one another by their atoms, with standard errors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from scipy.ndimage import map_coordinates
from scipy.spatial import cKDTree

from atomnb.errors import AtomnbError
from atomnb.graph.geometry import bond_angles, bond_lengths
from atomnb.graph.matching import Placement, best_placement, match_structures, refine_match
from atomnb.graph.record import DefectRecord

LARGEST = 120
"""Atoms that a defect may have with those bonded to it: to lay larger ones on one another takes long, and boundaries
and holes of that size differ anyway."""

_ROUNDS = 8
_SETTLED = 1e-5

_CLOSE = 1.8
"""Å; about a bond: the neighbours of the counted atoms help to lay defects on one another."""


@dataclass(frozen=True, eq=False)
class ClassAverage:
    """The mean of aligned defects.

    Parameters
    ----------
    image, image_err : arrays (H, W)
        Mean of the pictures, each brought to mean 0 and standard deviation 1, and its standard error; NaN where no
        picture, or only one for the error, reaches.
    count : int array (H, W)
        Pictures that reach each pixel.
    pixel_size : float
        Å.
    positions_yx, errors_yx, spread_yx : arrays (N, 2)
        Mean positions (Å from the centre of the top-left pixel), their standard errors, and the standard deviation of
        one defect's about them.
    found : int array (N,)
        Defects in which each atom was found.
    species : tuple of str (N,)
    pairs : int array (E, 2)
        Bonds that at least half of the defects with both atoms have.
    bonds, angles : pandas.DataFrame
        Mean of each bond length (Å) and angle (rad) over the defects, `error` of the mean, `spread` and `number`.
    used : int array (K,)
        The records averaged; those that could not be laid on the rest are left out.
    placements : tuple of Placement (K,)
        From each record's patch (Å) to the average.
    formula, topology : str
    """

    image: np.ndarray
    image_err: np.ndarray
    count: np.ndarray
    pixel_size: float
    positions_yx: np.ndarray
    errors_yx: np.ndarray
    spread_yx: np.ndarray
    found: np.ndarray
    species: tuple[str, ...]
    pairs: np.ndarray
    bonds: pd.DataFrame
    angles: pd.DataFrame
    used: np.ndarray
    placements: tuple[Placement, ...]
    formula: str
    topology: str


def average_class(
    records: Sequence[DefectRecord],
    *,
    mirror: bool = False,
    size_angstrom: float | None = None,
    pixel_size: float | None = None,
    tolerance: float = 0.7,
) -> ClassAverage:
    """Align defects of one kind by their atoms and average pictures and positions.

    Parameters
    ----------
    records : sequence of DefectRecord
        Of one formula.
    mirror : bool
        Whether defects may be turned over: right for a flat one, wrong if the two forms are to be told apart.
    size_angstrom : float, optional
        Side of the average picture; by default twice the reach of the counted atoms and 3 Å on either side.
    pixel_size : float, optional
        Å; by default the smallest of the records.
    tolerance : float
        Å; atoms farther than this from the mean's are not the same.

    Returns
    -------
    ClassAverage
        In the orientation of the first record, the counted atoms' centre in the middle.

    Raises
    ------
    AtomnbError
        If there are no records, or they differ in formula, or are larger than LARGEST, as long boundaries are.

    Notes
    -----
    Each record is laid on the mean (matching, then least squares), the mean is renewed, and so on. Positions are then
    relative to the defect as a whole: what its place and turn took up (3 numbers per record) is corrected for in the
    errors. Pictures are resampled once, by cubic splines, at the final placement.

    Examples
    --------
    >>> average = average_class([library[i] for i in library.find(formula="Si1C3")])  # doctest: +SKIP
    >>> average.bonds[["length", "error"]]  # doctest: +SKIP
    """
    records = list(records)
    _check(records)
    aligned, shape = _matched(records, _Shape.of(records[0]), mirror, tolerance)
    for _ in range(_ROUNDS):
        aligned = _laid_on(records, aligned, shape)
        shape, settled = _renewed(aligned, shape)
        if settled:
            break
    return _average(records, aligned, shape, size_angstrom, pixel_size)


@dataclass(frozen=True, eq=False)
class _Shape:
    """The mean so far: positions, species and which are counted."""

    yx: np.ndarray
    species: tuple[str, ...]
    counted: np.ndarray

    @classmethod
    def of(cls, record: DefectRecord) -> _Shape:
        return cls(record.positions_yx, record.species, record.counted)


@dataclass(frozen=True, eq=False)
class _Aligned:
    """Records laid on the mean: `places` (K, N, 2) and `atoms` (K, N), −1 where an atom was not found."""

    used: np.ndarray
    placements: tuple[Placement, ...]
    atoms: np.ndarray
    places: np.ndarray


def _check(records: list[DefectRecord]) -> None:
    if not records:
        raise AtomnbError("there are no records to average: look with library.find(formula=...).")
    formulas = sorted({r.formula for r in records})
    if len(formulas) > 1:
        raise AtomnbError(f"records of different formulas cannot be averaged: {', '.join(formulas)}; choose one.")
    if not any(len(r) for r in records[:1]):
        raise AtomnbError("the first record has no atoms to align the others by.")
    largest = max(int(_near(r.positions_yx, r.counted).sum()) for r in records if len(r))
    if largest > LARGEST:
        raise AtomnbError(
            f"a defect of {largest} atoms with its neighbours is too large to average, at most {LARGEST} can be laid "
            "on one another: leave boundaries and holes out, or let the records' `counted` mark one repeat unit alone."
        )


def _matched(records, first: _Shape, mirror: bool, tolerance: float) -> tuple[_Aligned, _Shape]:
    """Which atom of each record is which of the first one's; only atoms that at least half of the records have."""
    used, placements, atoms = [], [], []
    near = _near(first.yx, first.counted)
    for number, record in enumerate(records):
        own = _near(record.positions_yx, record.counted)
        try:
            # the crystal around a defect fits on itself in many ways: the defect itself must decide
            match = match_structures(
                record.positions_yx[own], np.array(record.species)[own], first.yx[near],
                np.array(first.species)[near], mirror=mirror, tolerance=tolerance,
            )  # fmt: skip
        except AtomnbError:  # nothing in common with the rest
            continue
        match = refine_match(
            match.placement, record.positions_yx, record.species, first.yx, first.species, tolerance=tolerance
        )
        row = np.full(len(first.yx), -1)
        row[match.pairs[:, 1]] = match.pairs[:, 0]
        if (row[first.counted] < 0).any():
            continue
        used.append(number)
        placements.append(match.placement)
        atoms.append(row)
    if not used:
        raise AtomnbError("no record can be laid on the first: raise tolerance (Å), or check the species.")
    atoms = np.array(atoms)
    common = ((atoms >= 0).mean(axis=0) >= 0.5) | first.counted
    species = tuple(s for s, kept in zip(first.species, common, strict=True) if kept)
    shape = _Shape(first.yx[common], species, first.counted[common])
    return _Aligned(np.array(used), tuple(placements), atoms[:, common], np.empty(0)), shape


def _near(yx: np.ndarray, counted: np.ndarray) -> np.ndarray:
    """Mask of the counted atoms and those close to one of them."""
    return cKDTree(yx[counted]).query(yx)[0] < _CLOSE if counted.any() else np.ones(len(yx), bool)


def _laid_on(records, aligned: _Aligned, shape: _Shape) -> _Aligned:
    """Each record laid on the mean by least squares."""
    placements = []
    places = np.full((*aligned.atoms.shape, 2), np.nan)
    for k, (number, before) in enumerate(zip(aligned.used, aligned.placements, strict=True)):
        here = aligned.atoms[k] >= 0
        yx = records[number].positions_yx[aligned.atoms[k, here]]
        placement = best_placement(yx, shape.yx[here], mirrored=before.mirrored) if here.sum() > 1 else before
        places[k, here] = placement.apply(yx)
        placements.append(placement)
    return replace(aligned, placements=tuple(placements), places=places)


def _renewed(aligned: _Aligned, shape: _Shape) -> tuple[_Shape, bool]:
    """The mean of the aligned atoms, and whether it stayed as it was."""
    yx = np.nanmean(aligned.places, axis=0)
    # in the orientation and place it had, lest it wander
    yx = best_placement(yx, shape.yx).apply(yx)
    return replace(shape, yx=yx), float(np.abs(yx - shape.yx).max()) < _SETTLED


def _average(records, aligned: _Aligned, shape: _Shape, size, pixel_size) -> ClassAverage:
    own = [records[k] for k in aligned.used]
    centre = shape.yx[shape.counted].mean(axis=0)
    reach = np.hypot(*(shape.yx[shape.counted] - centre).T).max()
    pixel = float(pixel_size or min(r.pixel_size for r in own))
    side = max(round((size or 2 * (reach + 3.0)) / pixel), 2)
    move = (side - 1) / 2 * pixel - centre
    placements = tuple(p._replace(shift_yx=p.shift_yx + move) for p in aligned.placements)
    image, image_err, count = _mean_picture(own, placements, side, pixel)
    found = (aligned.atoms >= 0).sum(axis=0)
    spread = _spread(aligned.places, found)
    pairs = _common_pairs(own, aligned.atoms)
    return ClassAverage(
        image, image_err, count, pixel, np.nanmean(aligned.places, axis=0) + move,
        spread / np.sqrt(np.maximum(found, 1))[:, None], spread, found, shape.species, pairs,
        _mean_bonds(aligned.places, pairs), _mean_angles(aligned.places, pairs), aligned.used, placements,
        own[0].formula, own[0].topology,
    )  # fmt: skip


def _spread(places: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Standard deviation (N, 2) of one defect's positions, with what the alignment took up given back."""
    miss = places - np.nanmean(places, axis=0)
    variance = np.nansum(miss**2, axis=0) / np.where(found > 1, found - 1, np.nan)[:, None]
    coordinates = 2 * (~np.isnan(places[..., 0])).sum(axis=1).mean()
    kept = max(1 - 3 / coordinates, 0) if coordinates > 3 else 0
    return np.sqrt(variance / kept) if kept else np.full_like(variance, np.nan)


def _common_pairs(own, atoms: np.ndarray) -> np.ndarray:
    """Bonds between atoms of the mean that at least half of the records with both atoms have."""
    n = atoms.shape[1]
    bonded, both = np.zeros((n, n)), np.zeros((n, n))
    for record, row in zip(own, atoms, strict=True):
        back = np.full(len(record) + 1, -1)
        back[row[row >= 0]] = np.flatnonzero(row >= 0)
        ends = back[record.pairs]
        ends = np.sort(ends[(ends >= 0).all(axis=1)], axis=1)
        bonded[ends[:, 0], ends[:, 1]] += 1
        here = row >= 0
        both += here[:, None] & here
    return np.argwhere((bonded > 0) & (bonded >= 0.5 * both))


def _mean_bonds(places: np.ndarray, pairs: np.ndarray) -> pd.DataFrame:
    values = np.array([bond_lengths(p, pairs).value for p in places]).reshape(len(places), -1)
    return pd.DataFrame({"i": pairs[:, 0], "j": pairs[:, 1]} | _stats("length", values))


def _mean_angles(places: np.ndarray, pairs: np.ndarray) -> pd.DataFrame:
    measured = [bond_angles(p, pairs) for p in places]
    atoms = measured[0].atoms
    values = np.array([m.value for m in measured]).reshape(len(places), -1)
    return pd.DataFrame({"i": atoms[:, 0], "vertex": atoms[:, 1], "j": atoms[:, 2]} | _stats("angle", values))


def _stats(name: str, values: np.ndarray) -> dict[str, np.ndarray]:
    """Mean, error, spread and number of each column, NaN left out."""
    number = np.isfinite(values).sum(axis=0)
    mean = np.nansum(values, axis=0) / np.maximum(number, 1)
    square = np.nansum((values - mean) ** 2, axis=0)
    spread = np.sqrt(square / np.where(number > 1, number - 1, np.nan))
    return {name: mean, "error": spread / np.sqrt(np.maximum(number, 1)), "spread": spread, "number": number}


def _mean_picture(own, placements, side: int, pixel: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean of the resampled pictures, its standard error and their number, each (side, side)."""
    grid = pixel * np.stack(np.meshgrid(*[np.arange(side)] * 2, indexing="ij"), -1).reshape(-1, 2)
    total, square, count = (np.zeros((side, side)) for _ in range(3))
    for record, placement in zip(own, placements, strict=True):
        value = _resampled(record, placement.undo(grid)).reshape(side, side)
        known = np.isfinite(value)
        if not known.any() or np.ptp(value[known]) == 0:
            continue
        value = np.where(known, (value - value[known].mean()) / value[known].std(), 0)
        total, square, count = total + value, square + value**2, count + known
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = np.where(count > 0, total / count, np.nan)
        variance = np.maximum(square - count * mean**2, 0) / (count - 1)
        error = np.where(count > 1, np.sqrt(variance / count), np.nan)
    return mean, error, count.astype(int)


def _resampled(record: DefectRecord, places_yx: np.ndarray) -> np.ndarray:
    """The patch at places (M, 2) in Å, by cubic splines; NaN outside."""
    at = places_yx / record.pixel_size
    shape = np.array(record.patch.shape)
    inside = ((at >= 0) & (at <= shape - 1)).all(axis=1)
    if not inside.any():
        return np.full(len(at), np.nan)
    values = map_coordinates(record.patch.astype(float), at.T, order=3, mode="nearest")
    return np.where(inside, values, np.nan)
