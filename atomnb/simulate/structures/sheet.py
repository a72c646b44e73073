"""A flat bonded sheet one can cut, link and rotate, then relax: graphene, h-BN and what is put into them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from atomnb._require import require
from atomnb.simulate.structures.base import StructureError, wrap
from atomnb.simulate.structures.lattice import Lattice, lattice_of
from atomnb.simulate.structures.network import Network, minimum_image, pairs_within, relax

if TYPE_CHECKING:
    from ase import Atoms

VACUUM = 4.0
"""Empty space (Å) above and below the sheet."""

BOND_LENGTHS = {"CC": 1.42, "BN": 1.446, "CSi": 1.80, "SiSi": 2.30, "BC": 1.50, "CN": 1.40}
"""Natural lengths, Å, by the two elements in alphabetical order."""

BOND_STRENGTHS = {"CC": 30.0, "BN": 25.0, "CSi": 15.0, "SiSi": 8.0}
"""Stiffness, eV/Å²; 20 where it is not listed."""

PLANAR = ("C", "B", "N")
"""Elements whose atoms want 120° and to lie in the plane of their neighbours."""


class BondedSheet:
    """Atoms with their bonds, changed step by step.

    `positions` (N, 3) Å, `symbols` (N,), `neighbours`: for each atom the set of those it is bonded to; `natural`:
    length and strength of bonds that differ from their elements' own; `flat`: other atoms held in the plane.
    Atoms taken out keep their number; `relaxed` leaves them out.
    """

    def __init__(self, positions: np.ndarray, symbols, lengths: np.ndarray, bonds: np.ndarray):
        self.positions = np.array(positions, float)
        self.symbols = list(symbols)
        self.lengths = np.array(lengths, float)
        self.neighbours: list[set[int]] = [set() for _ in self.symbols]
        for i, j in bonds.tolist():
            self.link(i, j)
        self.natural: dict[tuple[int, int], tuple[float, float]] = {}
        self.flat: set[int] = set()
        self.removed: set[int] = set()

    def offset(self, origin: int, other: int) -> np.ndarray:
        """Vector (3,) from one atom to another, by the shortest way round the box."""
        return minimum_image((self.positions[other] - self.positions[origin])[None], self.lengths)[0]

    def link(self, i: int, j: int, *, length: float | None = None, strength: float = 20.0) -> None:
        """Bond two atoms, with a natural length of its own if given."""
        self.neighbours[i].add(j)
        self.neighbours[j].add(i)
        if length is not None:
            self.natural[min(i, j), max(i, j)] = (length, strength)

    def unlink(self, i: int, j: int) -> None:
        """Break the bond of two atoms."""
        self.neighbours[i].discard(j)
        self.neighbours[j].discard(i)

    def remove(self, atom: int) -> list[int]:
        """Take an atom out; returns the atoms it was bonded to, in order of their number."""
        left = sorted(self.neighbours[atom])
        for other in left:
            self.unlink(atom, other)
        self.removed.add(atom)
        return left

    def place(self, symbol: str, position: np.ndarray, bonded_to) -> int:
        """Put an atom in, bonded to those given; returns its number."""
        self.positions = np.vstack([self.positions, position])
        self.symbols.append(symbol)
        self.neighbours.append(set())
        for other in bonded_to:
            self.link(len(self.symbols) - 1, other)
        return len(self.symbols) - 1

    def bonds(self) -> np.ndarray:
        """All bonds (M, 2), smaller number first."""
        pairs = [(i, j) for i, others in enumerate(self.neighbours) for j in sorted(others) if i < j]
        return np.array(pairs, int).reshape(-1, 2)

    def network(self) -> Network:
        """The springs of the sheet as it is bonded now."""
        bonds = self.bonds()
        springs = np.array([self._spring(i, j) for i, j in bonds.tolist()]).reshape(-1, 2)
        stiff = [i for i, symbol in enumerate(self.symbols) if symbol in PLANAR]
        angles = [
            (others[a], i, others[b])
            for i in stiff
            for others in (sorted(self.neighbours[i]),)
            for a in range(len(others))
            for b in range(a)
        ]
        level = [i for i in stiff if len(self.neighbours[i]) == 3] + sorted(self.flat)
        planar = [(i, j) for i in level for j in sorted(self.neighbours[i])]
        return Network(
            self.positions,
            np.where([True, True, False], self.lengths, np.inf),
            bonds,
            springs[:, 0],
            springs[:, 1],
            np.array(angles, int).reshape(-1, 3),
            np.full(len(angles), -0.5),
            np.array(planar, int).reshape(-1, 2),
        )

    def _spring(self, i: int, j: int) -> tuple[float, float]:
        if (i, j) in self.natural:
            return self.natural[i, j]
        pair = "".join(sorted((self.symbols[i], self.symbols[j])))
        if pair not in BOND_LENGTHS:
            raise StructureError(f"no bond length is known for {self.symbols[i]}–{self.symbols[j]} in a sheet.")
        return BOND_LENGTHS[pair], BOND_STRENGTHS.get(pair, 20.0)

    def relax(self, *, around_xy: np.ndarray | None = None, radius: float = 11.0) -> None:
        """Let the springs move the atoms: all of them, or those within `radius` Å of the points (K, 2)."""
        free = None
        if around_xy is not None:
            box = self.lengths[:2]
            near = cKDTree(wrap(around_xy, box), boxsize=box).query(wrap(self.positions[:, :2], box))[0] <= radius
            free = near & ~np.isin(np.arange(len(near)), list(self.removed))
        self.positions = relax(self.network(), free=free)

    def atoms(self, *, pbc=(True, True, False)) -> Atoms:
        """The sheet in the middle of its box."""
        keep = [i for i in range(len(self.symbols)) if i not in self.removed]
        positions = self.positions[keep]
        positions[:, 2] += VACUUM - positions[:, 2].min()
        lengths = np.array([*self.lengths[:2], np.ptp(positions[:, 2]) + 2 * VACUUM])
        atoms = require("ase", extra="simulate").Atoms(
            [self.symbols[i] for i in keep], positions, cell=np.diag(lengths), pbc=pbc
        )
        return atoms


def honeycomb_lattice(bond: float, symbols: tuple[str, str]) -> Lattice:
    """The lattice of the sheet that `honeycomb` makes."""
    return lattice_of(honeycomb(bond, symbols, (0.1, 0.1)).atoms())


def honeycomb(bond: float, symbols: tuple[str, str], size_angstrom: tuple[float, float]) -> BondedSheet:
    """A perfect sheet of two sublattices, zigzag rows along x, at least of the size (y, x) Å."""
    a = bond * 3**0.5
    cell = np.array([a, 3 * bond])
    nx, ny = (max(int(np.ceil(s / c - 1e-6)), 2) for s, c in zip(size_angstrom[::-1], cell, strict=True))
    basis = np.array([[0.25, 1 / 12], [0.75, 3 / 12], [0.75, 7 / 12], [0.25, 9 / 12]])
    corner = np.stack(np.meshgrid(np.arange(nx), np.arange(ny), indexing="ij"), -1).reshape(-1, 1, 2)
    points = ((corner + basis) * cell).reshape(-1, 2)
    positions = np.column_stack([points, np.zeros(len(points))])
    lengths = np.array([nx * cell[0], ny * cell[1], 1.0])
    bonds = pairs_within(positions, np.where([True, True, False], lengths, np.inf), 1.2 * bond)
    return BondedSheet(positions, [symbols[k] for k in (0, 1, 0, 1)] * (nx * ny), lengths, bonds)
