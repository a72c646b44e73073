"""Crystals turned so that a zone axis lies along the beam, in a box that repeats, cut to a size."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from atomnb._require import require
from atomnb.simulate.structures.base import StructureError
from atomnb.simulate.structures.kinds import Option
from atomnb.simulate.structures.lattice import Lattice, lattice_in_box

if TYPE_CHECKING:
    from ase import Atoms

EXACT = 1e-4
"""Cosine between two edges below which they count as perpendicular."""

MOST_ATOMS = 2_000_000
"""Crystals with more atoms are refused before memory runs out."""

THICKNESS = Option("thickness_angstrom", 40.0, "thickness along the beam, Å", low=1.0, high=2000.0)


class OrthogonalCell(NamedTuple):
    """Whole-number combinations of a crystal's cell vectors that form a box.

    matrix : (3, 3) int, rows for x, y and z (the beam)
    strain : largest cosine between two edges before they are made perpendicular
    lengths : (3,) Å
    """

    matrix: np.ndarray
    strain: float
    lengths: np.ndarray


def direction_indices(zone_axis) -> np.ndarray:
    """Three whole numbers [uvw] from [uvw] or Miller–Bravais [uvtw], without a common factor."""
    try:
        axis = np.array([int(n) for n in zone_axis])
        whole = np.array_equal(axis, np.asarray(zone_axis, float))
    except (TypeError, ValueError):
        axis, whole = np.zeros(0, int), False
    if not whole or len(axis) not in (3, 4) or not axis.any():
        raise StructureError(
            f"zone_axis must be whole numbers [u, v, w] or [u, v, t, w], not all 0; got {zone_axis!r}."
        )
    if len(axis) == 4:
        if axis[:3].sum():
            raise StructureError(f"zone_axis [u, v, t, w] needs u + v + t = 0, got {axis.tolist()}.")
        axis = np.array([axis[0] - axis[2], axis[1] - axis[2], axis[3]])
    return axis // math.gcd(*axis.tolist())


def orthogonal_cell(
    cell: np.ndarray, zone_axis, *, up=None, max_length: float = 60.0, max_strain: float = 0.0
) -> OrthogonalCell:
    """Smallest box of whole crystal cells with the zone axis along z.

    Parameters
    ----------
    cell : (3, 3) Å, cell vectors as rows
    zone_axis : [u, v, w] along the beam
    up : [u, v, w] wanted along y, or None for the smallest box with its shorter edge along x
    max_length : longest edge tried, Å
    max_strain : largest cosine between edges that may be forced to 0

    Raises
    ------
    StructureError
        If there is none; says how nearly the best one fits and which zone axes have one.
    """
    cell = np.asarray(cell, float)
    axis = direction_indices(zone_axis)
    found = _best_cell(cell, axis, up, max_length, EXACT)
    if found is None and max_strain > EXACT:
        found = _best_cell(cell, axis, up, max_length, max_strain)
    if found is None:
        raise StructureError(_why_no_cell(cell, axis, up, max_length, max_strain))
    return found


def _best_cell(cell, axis, up, max_length, tolerance) -> OrthogonalCell | None:
    beam = axis @ cell
    steps, vectors, lengths = _candidates(cell, max_length)
    flat = np.abs(vectors @ beam) <= tolerance * lengths * np.linalg.norm(beam)
    steps, vectors, lengths = steps[flat], vectors[flat], lengths[flat]
    if up is not None:
        wanted = direction_indices(up) @ cell
        along = vectors @ wanted / lengths / np.linalg.norm(wanted) > 1 - EXACT
        ys = np.flatnonzero(along)[:1]
    else:
        ys = np.arange(min(len(steps), 400))
    best = None
    for j in ys:
        cosine = np.abs(vectors @ vectors[j]) / lengths / lengths[j]
        fits = np.flatnonzero(cosine <= tolerance)
        if len(fits) and (best is None or lengths[fits[0]] * lengths[j] < best[0] - 1e-6):
            best = (lengths[fits[0]] * lengths[j], fits[0], j)
    if best is None:
        return None
    x, y = best[1:] if up is not None or lengths[best[1]] <= lengths[best[2]] else best[:0:-1]
    matrix = np.array([steps[x], steps[y], axis])
    if np.linalg.det(matrix @ cell) < 0:
        matrix[0] *= -1
    edges = matrix @ cell
    size = np.linalg.norm(edges, axis=1)
    cosines = np.abs(edges @ edges.T / np.outer(size, size) - np.eye(3))
    return OrthogonalCell(matrix, float(cosines.max()), size)


def _candidates(cell, max_length) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Lattice steps (N, 3), vectors and lengths, short ones first; of v and -v the one that points forward wins."""
    heights = 1 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    reach = np.minimum(np.ceil(max_length / heights).astype(int), 15)
    steps = np.array(list(itertools.product(*(range(-n, n + 1) for n in reach))))
    vectors = steps @ cell
    lengths = np.linalg.norm(vectors, axis=1)
    keep = (lengths > 1e-9) & (lengths <= max_length)
    steps, vectors, lengths = steps[keep], vectors[keep], lengths[keep]
    order = np.lexsort((*(-steps.T), -steps.sum(axis=1), np.round(lengths, 6)))
    return steps[order], vectors[order], lengths[order]


def _why_no_cell(cell, axis, up, max_length, max_strain) -> str:
    """What would work instead."""
    near = next((f for t in (0.01, 0.02, 0.05, 0.1, 0.2) if (f := _best_cell(cell, axis, up, max_length, t))), None)
    low = [np.array(a) for a in itertools.product((1, 0, -1), repeat=3) if any(a) and tuple(a) > (0, 0, 0)]
    works = [a.tolist() for a in low if _best_cell(cell, a, None, max_length, EXACT)]
    message = (
        f"zone axis {axis.tolist()}: no box of whole crystal cells with edges up to {max_length:g} Å lies along it "
        f"(edges may be off by {max(max_strain, EXACT):g})."
    )
    if near is not None:
        sides = " × ".join(f"{length:.1f}" for length in near.lengths)
        message += f" The nearest is {sides} Å, off by {near.strain:.3f}: allow it with max_strain={near.strain:.3f}."
    if works:
        message += f" Zone axes that have one: {', '.join(map(str, works[:6]))}."
    return message + " Or raise max_length_angstrom."


def turned(atoms: Atoms, found: OrthogonalCell) -> Atoms:
    """The crystal's atoms in the box, edges along x, y, z."""
    box = require("ase.build", extra="simulate").make_supercell(atoms, found.matrix)
    box.set_cell(np.diag(found.lengths), scale_atoms=True)
    box.set_pbc(True)
    box.wrap(eps=1e-6)
    return box


def repeats_for(cell_lengths: np.ndarray, size_angstrom: tuple[float, float], thickness: float) -> tuple[int, int, int]:
    """How often a box is repeated along x, y (not below the size) and z (nearest to the thickness)."""
    nx = math.ceil(size_angstrom[1] / cell_lengths[0] - 1e-6)
    ny = math.ceil(size_angstrom[0] / cell_lengths[1] - 1e-6)
    return max(nx, 1), max(ny, 1), max(round(thickness / cell_lengths[2]), 1)


def cut(atoms: Atoms, zone_axis, *, size_angstrom: tuple[float, float], thickness: float, up=None) -> Atoms:
    """A crystal with the zone axis along the beam, repeated to the size (y, x) and thickness, periodic in x, y, z."""
    box = turned(atoms, orthogonal_cell(atoms.cell, zone_axis, up=up))
    return repeated(box, size_angstrom, thickness)


def cut_lattice(atoms: Atoms, zone_axis, *, up=None) -> Lattice:
    """The lattice of what `cut` makes."""
    return lattice_in_box(atoms, orthogonal_cell(atoms.cell, zone_axis, up=up))


def repeated(box: Atoms, size_angstrom: tuple[float, float], thickness: float) -> Atoms:
    """A box repeated to the size (y, x) and thickness, unless that would be too many atoms."""
    repeats = repeats_for(box.cell.lengths(), size_angstrom, thickness)
    n = len(box) * math.prod(repeats)
    if n > MOST_ATOMS:
        raise StructureError(
            f"this would be {n:,} atoms, of {MOST_ATOMS:,} at most: ask for a smaller size or thickness."
        )
    return box.repeat(repeats)
