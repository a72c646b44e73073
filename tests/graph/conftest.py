"""Honeycombs with exact positions, and structures with known defects."""

from typing import NamedTuple

import numpy as np
import pytest

from atomnb.graph.bonds import find_bonds

CONSTANT = 2.46  # Å
# of projected bonds: two Si of which one is buckled look 1.6 Å apart
RANGES = {("C", "C"): (1.1, 1.75), ("C", "Si"): (1.3, 2.15), ("Si", "Si"): (1.3, 2.7)}
VALENCES = {"C": 3, "Si": 4}


class Sheet(NamedTuple):
    """Atoms of a periodic sheet and the defects put in."""

    positions_yx: np.ndarray
    species: np.ndarray
    cell: np.ndarray
    defects: tuple = ()

    def bonds(self, **options):
        options = {"ranges": RANGES, "valences": VALENCES, "cell": self.cell, **options}
        return find_bonds(self.positions_yx, self.species, **options)


@pytest.fixture
def honeycomb():
    """honeycomb(rows, columns) -> a perfect periodic Sheet of 4 rows columns carbon atoms."""

    def build(rows: int = 6, columns: int = 8) -> Sheet:
        height, third = CONSTANT * 3**0.5, CONSTANT / 3**0.5
        motif = np.array([[0, 0], [third, 0], [height / 2, CONSTANT / 2], [height / 2 + third, CONSTANT / 2]])
        origins = np.stack(np.meshgrid(np.arange(rows) * height, np.arange(columns) * CONSTANT, indexing="ij"), -1)
        points = (origins.reshape(-1, 1, 2) + motif).reshape(-1, 2)
        return Sheet(points, np.full(len(points), "C"), np.diag([rows * height, columns * CONSTANT]))

    return build


@pytest.fixture
def structure():
    """structure(name, **options) -> the atoms of a simulated structure as a Sheet."""
    pytest.importorskip("ase")
    from atomnb.simulate.structures import create_structure

    def build(name: str = "graphene", *, size=(40.0, 40.0), seed: int = 0, **options) -> Sheet:
        made = create_structure(name, size_angstrom=size, seed=seed, options=options)
        symbols = np.array(made.atoms.get_chemical_symbols())
        return Sheet(made.atoms.positions[:, [1, 0]], symbols, np.diag(made.size_angstrom), made.defects)

    return build


@pytest.fixture
def turned():
    """turned(points_yx, degrees, mirror=False) -> the points rotated, and reflected first if asked."""

    def turn(points, degrees: float, mirror: bool = False):
        angle = np.deg2rad(degrees)
        rotation = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        return np.asarray(points) * ([1, -1] if mirror else [1, 1]) @ rotation.T

    return turn
