"""What an atomic structure is: the atoms in their box, the defects put in, and the columns seen along the beam."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from atomnb.errors import AtomnbError

if TYPE_CHECKING:
    from ase import Atoms

    from atomnb.simulate.structures.lattice import Lattice

SHEET_THICKNESS = 5.0
"""Atoms that span no more than this along the beam (Å) are a sheet: its columns are named with exact counts."""

CLOSEST_ALLOWED = 0.55
"""Two atoms nearer than this share of the sum of their covalent radii overlap: an error of the structure."""


class StructureError(AtomnbError):
    """The structure asked for cannot be built, or the atoms given are not a usable structure."""


class Defect(NamedTuple):
    """A defect put in on purpose.

    kind : 'vacancy', 'substitution', 'antisite', 'rotation', 'boundary', 'fault', 'edge', ...
    name : 'V_S', 'Si-3', '5-8-5', ...
    yx_angstrom : (y, x) of its centre from the cell's origin
    """

    kind: str
    name: str
    yx_angstrom: tuple[float, float]


class Columns(NamedTuple):
    """Atoms that stand behind one another along the beam, one entry per column.

    positions_yx : (N, 2) Å from the cell's origin, mean of the atoms weighted by Z^1.7
    content : (N,) str such as 'Mo', 'S2', 'Sr', 'TiO'
    n_atoms : (N,) int
    heaviest_z : (N,) int, largest atomic number in the column
    power_sum : (N,) float, ΣZ^1.7: about the brightness in an annular dark-field image of a thin object
    """

    positions_yx: np.ndarray
    content: np.ndarray
    n_atoms: np.ndarray
    heaviest_z: np.ndarray
    power_sum: np.ndarray


@dataclass(frozen=True, eq=False)
class Structure:
    """Atoms ready to be looked at along +z.

    atoms : ase.Atoms in an orthorhombic cell, Å; `atoms.pbc` says along which axes it repeats
    name : as in STRUCTURES, or the name of the user's file
    family : 'graphene', 'tmd', 'perovskite', ...
    defects : what was put in on purpose
    provenance : JSON-able: name, options, size, seed, versions
    lean_yx : how far the columns lean along y and x for each Å along the beam, 0 for a crystal in its zone axis
    lattices : of the perfect crystal, one for each grain; () where there is none, or where it is not known
    """

    atoms: Atoms
    name: str
    family: str
    defects: tuple[Defect, ...] = ()
    provenance: dict = field(default_factory=dict)
    lean_yx: tuple[float, float] = (0.0, 0.0)
    lattices: tuple[Lattice, ...] = ()

    def __post_init__(self):
        cell = np.asarray(self.atoms.cell)
        lengths = np.diag(cell)
        if not len(self.atoms):
            raise StructureError(f"{self.name}: there are no atoms.")
        if lengths.min() <= 0 or np.abs(cell - np.diag(lengths)).max() > 1e-6 * lengths.max():
            raise StructureError(
                f"{self.name}: the cell must be a box with its edges along x, y and z, got the vectors "
                f"{np.round(cell, 3).tolist()} Å: read_structure makes such a box from any crystal."
            )

    @property
    def size_angstrom(self) -> tuple[float, float]:
        """Height (y) and width (x) of the cell, Å."""
        lengths = self.atoms.cell.lengths()
        return float(lengths[1]), float(lengths[0])

    @property
    def thickness_angstrom(self) -> float:
        """Length of the cell along the beam, Å."""
        return float(self.atoms.cell.lengths()[2])

    def columns(self, merge_angstrom: float = 0.6) -> Columns:
        """Atoms grouped into columns.

        An atom belongs to the nearest column whose heaviest atom lies within `merge_angstrom` of it in projection
        along the columns; those that lean are where they cross the middle of the structure.
        In a sheet (atoms within 5 Å along the beam) `content` counts atoms: 'S2' is two sulfur atoms, 'S' is one.
        In anything thicker it lists the elements: 'Sr', 'TiO', and 'LaSr' where two elements share the sites.

        Parameters
        ----------
        merge_angstrom : radius of a column in projection, Å

        Returns
        -------
        Columns
        """
        if merge_angstrom <= 0:
            raise StructureError(f"merge_angstrom must be positive, got {merge_angstrom}.")
        x, y, z = self.atoms.get_positions().T
        numbers = self.atoms.get_atomic_numbers()
        size = np.array(self.size_angstrom)
        depth = z - self.thickness_angstrom / 2
        points = wrap(np.stack([y, x], axis=1) - depth[:, None] * np.asarray(self.lean_yx), size)
        leader, column = _group(points, numbers, size, merge_angstrom)
        weight = numbers**1.7
        power = np.bincount(column, weight)
        count = np.bincount(column)
        heaviest = np.zeros(len(count), int)
        np.maximum.at(heaviest, column, numbers)
        offset = points - points[leader][column]
        offset -= size * np.round(offset / size)
        mean = np.stack([np.bincount(column, weight * offset[:, k]) for k in (0, 1)], axis=1) / power[:, None]
        positions = wrap(points[leader] + mean, size)
        content = _contents(column, numbers, exact=bool(np.ptp(z) <= SHEET_THICKNESS))
        return Columns(positions, content, count, heaviest, power)


def wrap(points: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The points (N, D) moved into the box [0, lengths)."""
    inside = np.mod(points, lengths)
    return np.where(inside >= lengths, 0.0, inside)


def _group(points, numbers, size, radius) -> tuple[np.ndarray, np.ndarray]:
    """Indices (N,) of the atoms that columns are built around, and for each atom the index of its column."""
    order = np.argsort(-numbers, kind="stable")
    pairs = cKDTree(points[order], boxsize=size).query_pairs(min(radius, size.min() / 2.001), output_type="ndarray")
    leader = np.sort(order[first_come(len(points), pairs)])
    return leader, cKDTree(points[leader], boxsize=size).query(points)[1]


def first_come(n: int, pairs: np.ndarray) -> np.ndarray:
    """Mask (n,) of the points kept when each, in order, drops the later ones it is paired with; pairs have i < j."""
    keep, open_ = np.zeros(n, bool), np.ones(n, bool)
    while open_.any():
        blocked = np.zeros(n, bool)
        blocked[pairs[:, 1]] = True
        won = open_ & ~blocked
        keep |= won
        open_ &= ~won
        open_[pairs[won[pairs[:, 0]], 1]] = False
        pairs = pairs[open_[pairs[:, 0]] & open_[pairs[:, 1]]]
    return keep


def _contents(column: np.ndarray, numbers: np.ndarray, *, exact: bool) -> np.ndarray:
    """Name (N,) of what each column holds."""
    from atomnb._require import require

    formula = require("ase.formula", extra="simulate").Formula
    symbols = require("ase.data", extra="simulate").chemical_symbols
    kinds, index = np.unique(numbers, return_inverse=True)
    table = np.zeros((column.max() + 1, len(kinds)), int)
    np.add.at(table, (column, index), 1)
    unique, which = np.unique(table, axis=0, return_inverse=True)
    names = []
    for row in unique:
        counts = {symbols[z]: int(n) for z, n in zip(kinds, row, strict=True) if n}
        names.append(formula.from_dict(counts if exact else dict.fromkeys(counts, 1)).format("metal"))
    return np.array(names)[which.ravel()]


def put_inside(atoms: Atoms) -> None:
    """Move the atoms into [0, length) of the axes that repeat; what lies on the far face goes to the near one."""
    lengths = atoms.cell.lengths()
    inside = wrap(atoms.positions + 1e-6, lengths) - 1e-6
    atoms.positions = np.where(atoms.pbc, np.maximum(inside, 0), atoms.positions)


def check_no_overlap(atoms: Atoms, *, name: str) -> None:
    """Raise if two atoms stand nearer than atoms can.

    Raises
    ------
    StructureError
        Naming the worst pair.
    """
    from atomnb._require import require

    radii = require("ase.data", extra="simulate").covalent_radii[atoms.numbers]
    pairs, gaps = close_pairs(atoms, 2 * CLOSEST_ALLOWED * float(radii.max()))
    limit = CLOSEST_ALLOWED * radii[pairs].sum(axis=1)
    bad = gaps < limit
    if bad.any():
        i, j = pairs[bad][np.argmin((gaps / limit)[bad])]
        raise StructureError(
            f"{name}: {int(bad.sum())} pairs of atoms overlap; the worst are atoms {i} ({atoms.symbols[i]}) and {j} "
            f"({atoms.symbols[j]}), {gaps[bad].min():.2f} Å apart where at least {limit[bad].min():.2f} Å is expected. "
            "Check the cell, the unit of length (Å) and atoms written twice."
        )


def close_pairs(atoms: Atoms, cutoff: float) -> tuple[np.ndarray, np.ndarray]:
    """Pairs (M, 2) of atoms nearer than `cutoff` Å in their orthorhombic box, and their distances (M,)."""
    lengths = atoms.cell.lengths()
    positions = atoms.get_positions()
    box = np.where(atoms.pbc, lengths, np.maximum(np.ptp(positions, axis=0), lengths) + 2 * cutoff + 1)
    positions = wrap(np.where(atoms.pbc, positions, positions - positions.min(axis=0)), box)
    reach = min(cutoff, box.min() / 2.001)
    pairs = cKDTree(positions, boxsize=box).query_pairs(reach, output_type="ndarray")
    gap = positions[pairs[:, 0]] - positions[pairs[:, 1]]
    gap -= box * np.round(gap / box)
    return pairs, np.linalg.norm(gap, axis=1)
