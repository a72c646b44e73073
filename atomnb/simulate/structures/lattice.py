"""The host lattice of a structure: the crystal before defects, grains or edges, as it lies under the beam."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from ase import Atoms

    from atomnb.simulate.structures.crystal import OrthogonalCell

IN_PLANE = 1e-4
"""1/Å that a reciprocal vector may rise along the beam and still count as lying in the image."""


class Lattice(NamedTuple):
    """A crystal's unit cell in the axes of the image.

    cell : (3, 3) Å, rows the cell's edges as x, y, z; the beam is z
    positions : (M, 3) Å, atoms of the cell
    weights : (M,) how much each scatters, Z^1.7
    depth : Å along the beam; spots of a crystal not in a zone axis are seen if it is thin. inf: only exact ones
    """

    cell: np.ndarray
    positions: np.ndarray
    weights: np.ndarray
    depth: float = np.inf

    def turned(self, angle: float) -> Lattice:
        """The lattice turned in the image by `angle`, in rad from x towards y."""
        c, s = np.cos(angle), np.sin(angle)
        turn = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]])
        return self._replace(cell=self.cell @ turn, positions=self.positions @ turn)

    def spots(self, reach: float) -> tuple[np.ndarray, np.ndarray]:
        """Frequencies (N, 2) as (ky, kx) in 1/Å up to `reach`, without 0, and the amplitude (N,) of each."""
        rise = max(0.5 / self.depth, IN_PLANE)
        limit = reach * np.hypot(self.cell[:, 0], self.cell[:, 1]) + rise * np.abs(self.cell[:, 2])
        ranges = [np.arange(-n, n + 1) for n in np.floor(limit + 1e-6).astype(int)]
        indices = np.stack(np.meshgrid(*ranges, indexing="ij"), -1).reshape(-1, 3)
        waves = indices @ np.linalg.inv(self.cell).T
        flat = np.hypot(waves[:, 0], waves[:, 1])
        waves = waves[(flat <= reach) & (flat > IN_PLANE) & (np.abs(waves[:, 2]) <= rise)]
        amplitude = np.array([abs(np.exp(-2j * np.pi * (self.positions @ wave)) @ self.weights) for wave in waves])
        return waves[:, 1::-1], amplitude.reshape(-1)


def lattice_of(atoms: Atoms, *, depth: float = np.inf) -> Lattice:
    """The lattice of a unit cell that lies as in the image."""
    return Lattice(np.array(atoms.cell), atoms.get_positions(), atoms.get_atomic_numbers() ** 1.7, depth)


def lattice_in_box(crystal: Atoms, found: OrthogonalCell) -> Lattice:
    """The lattice of a crystal that was turned into the box `found`, in the box's axes."""
    cell = np.linalg.solve(found.matrix.astype(float), np.diag(found.lengths))
    return Lattice(cell, crystal.get_scaled_positions() @ cell, crystal.get_atomic_numbers() ** 1.7)
