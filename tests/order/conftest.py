"""Perfect lattices to plant deformations in."""

from types import SimpleNamespace

import numpy as np
import pytest

CELLS = {
    "hexagonal": (([0, 2.8], [2.8 * 0.75**0.5, 1.4]), ([0, 0],)),
    "square": (([0, 3.9], [3.9, 0]), ([0, 0],)),
    "honeycomb": (([0, 2.46], [2.46 * 0.75**0.5, 1.23]), ([0, 0], [1 / 3, 1 / 3])),
    "dumbbell": (([0, 3.84], [5.43, 0]), ([0, 0], [0, 0.25], [0.5, 0.5], [0.5, 0.75])),
    "oblique": (([0, 3.1], [4.2, 0.9]), ([0, 0],)),
}
"""Cell vectors, rows (y, x) in Å, and sites in fractions of them."""


def lattice_points(name: str, half_side: float, angle: float = 0.0) -> np.ndarray:
    """Positions (N, 2) of a square patch about the origin, Å."""
    cell, sites = (np.array(part, float) for part in CELLS[name])
    n = int(2 * half_side / 2)
    nodes = np.stack(np.meshgrid(*[np.arange(-n, n)] * 2, indexing="ij"), -1).reshape(-1, 1, 2)
    yx = ((nodes + sites) @ turned(cell, angle)).reshape(-1, 2)
    return yx[np.abs(yx).max(axis=1) <= half_side]


def turned(vectors, angle: float) -> np.ndarray:
    """Row vectors (y, x) turned from +x toward +y."""
    cosine, sine = np.cos(angle), np.sin(angle)
    return np.asarray(vectors, float) @ np.array([[cosine, -sine], [sine, cosine]])


@pytest.fixture(scope="session")
def lattices():
    """`names`, `cell(name, angle)` and `points(name, half_side, angle)`."""
    return SimpleNamespace(
        names=list(CELLS),
        cell=lambda name, angle=0.0: turned(CELLS[name][0], angle),
        points=lattice_points,
    )
