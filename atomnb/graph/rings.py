"""Rings of a planar bond graph: its inner faces, with their sizes, areas and neighbours."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from atomnb.graph.faces import Faces, trace_faces
from atomnb.graph.neighbors import Neighbors, checked_positions


class Rings(NamedTuple):
    """The inner faces of a bond graph.

    atoms : (S,) int, atoms in order round each ring, ring after ring; `of(r)` are those of ring r
    edges : (S,) int, the row of the neighbours' pairs that leads from each atom to the next
    offsets : (R + 1,), where each ring begins in `atoms`
    sizes : (R,) int, bonds of the closed walk round the ring
    areas : (R,) Å²
    centres_yx : (R, 2) Å, mean of the atoms; in a periodic cell near the first atom, perhaps outside the cell
    is_simple : (R,) bool, whether the walk meets no atom twice (it does where a ring hangs inside another by a chain)
    n_atoms : number of atoms N of the graph
    """

    atoms: np.ndarray
    edges: np.ndarray
    offsets: np.ndarray
    sizes: np.ndarray
    areas: np.ndarray
    centres_yx: np.ndarray
    is_simple: np.ndarray
    n_atoms: int

    def of(self, ring: int) -> np.ndarray:
        """Atoms in order round one ring."""
        return self.atoms[self.offsets[ring] : self.offsets[ring + 1]]

    def atoms_rings(self) -> tuple[np.ndarray, np.ndarray]:
        """Rings of each atom: `ring_ids[indptr[i]:indptr[i + 1]]`, ascending, each once.

        Returns
        -------
        indptr : (N + 1,)
        ring_ids : (sum over atoms,)
        """
        ring = np.repeat(np.arange(len(self.sizes)), self.sizes)
        order = np.lexsort((ring, self.atoms))
        atom, ring = self.atoms[order], ring[order]
        first = np.concatenate([[True], (np.diff(atom) != 0) | (np.diff(ring) != 0)])[: len(atom)]
        count = np.bincount(atom[first], minlength=self.n_atoms)
        return np.concatenate([[0], np.cumsum(count)]), ring[first]

    def adjacent(self) -> np.ndarray:
        """Pairs (K, 2) of rings that share a bond, each once, the smaller number first."""
        ring = np.repeat(np.arange(len(self.sizes)), self.sizes)
        order = np.lexsort((ring, self.edges))
        shared = np.flatnonzero(np.diff(self.edges[order]) == 0)
        pairs = np.stack([ring[order[shared]], ring[order[shared + 1]]], axis=1)
        return np.unique(pairs[pairs[:, 0] != pairs[:, 1]], axis=0)


def find_rings(positions_yx, neighbors: Neighbors) -> Rings:
    """The inner faces of a planar bond graph.

    A vacancy, a hole or anything else that bonds enclose is a ring, too. The outside is none, nor is a face that goes
    round a periodic cell. Chains with a loose end are no part of a ring: where one hangs into a ring, `sizes` counts
    the walk without it.

    For a connected planar graph of N atoms and E bonds there are R = E - N + 1 rings (Euler); where the graph fills
    a periodic cell, R = E - N.

    Parameters
    ----------
    positions_yx : (N, 2) Å
    neighbors : Neighbors
        Without crossings, as `find_bonds` returns it.

    Returns
    -------
    Rings

    Raises
    ------
    AtomnbError
        If positions are not usable or bonds cross.

    Examples
    --------
    >>> import numpy as np
    >>> from atomnb.graph.neighbors import neighbors_radius
    >>> turn = np.arange(6) * np.pi / 3
    >>> hexagon = 1.42 * np.stack([np.sin(turn), np.cos(turn)], axis=1)
    >>> rings = find_rings(hexagon, neighbors_radius(hexagon, 1.5))
    >>> rings.sizes.tolist(), rings.areas.round(2).tolist()
    ([6], [5.24])
    """
    points = checked_positions(positions_yx, n_atoms=neighbors.n_atoms)
    faces = trace_faces(neighbors)
    return _as_rings(faces.select(faces.winding == 1), points)


def ring_statistics(rings: Rings) -> dict[int, int]:
    """How many rings there are of each size, in the order of the sizes."""
    sizes, counts = np.unique(rings.sizes, return_counts=True)
    return dict(zip(sizes.tolist(), counts.tolist(), strict=True))


def _as_rings(faces: Faces, points: np.ndarray) -> Rings:
    sizes = np.diff(faces.offsets)
    ring = np.repeat(np.arange(len(sizes)), sizes)
    first = faces.offsets[:-1]
    ahead = np.concatenate([np.zeros((1, 2)), np.cumsum(faces.vectors_yx, axis=0)])[:-1]
    corner = ahead - ahead[first][ring]  # from the first atom of the ring
    step = faces.vectors_yx
    areas = np.bincount(ring, corner[:, 1] * step[:, 0] - corner[:, 0] * step[:, 1], len(sizes)) / 2
    middle = np.stack([np.bincount(ring, corner[:, k], len(sizes)) for k in (0, 1)], axis=1)
    centres = points[faces.atoms[first]] + middle / np.maximum(sizes, 1)[:, None]
    order = np.lexsort((faces.atoms, ring))
    again = (np.diff(faces.atoms[order]) == 0) & (np.diff(ring[order]) == 0)
    repeated = np.bincount(ring[order][1:][again], minlength=len(sizes)) > 0
    return Rings(faces.atoms, faces.edges, faces.offsets, sizes, areas, centres, ~repeated, len(points))
