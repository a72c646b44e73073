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


def ring_neighbors(neighbors: Neighbors, rings: Rings) -> Neighbors:
    """Rings that share a bond, as neighbours of one another (the dual graph).

    Parameters
    ----------
    neighbors : Neighbors
        Those the rings were found with.
    rings : Rings

    Returns
    -------
    Neighbors
        Pairs of rings and the vectors between their centres, right across the rim of a periodic cell, too.
    """
    ring = np.repeat(np.arange(len(rings.sizes)), rings.sizes)
    steps = _steps_round(neighbors, rings)
    middle = _from_first(steps, rings.offsets) + steps / 2
    count = np.maximum(rings.sizes, 1)[:, None]
    middle -= (_sums(ring, middle - steps / 2, len(rings.sizes)) / count)[ring]  # of the bond, from the ring's centre
    order = np.lexsort((ring, rings.edges))
    shared = np.flatnonzero(np.diff(rings.edges[order]) == 0)
    one, other = order[shared], order[shared + 1]
    pairs = np.stack([ring[one], ring[other]], axis=1).astype(np.int64)
    vectors = middle[one] - middle[other]
    rounded = np.rint(vectors / (1e-6 * max(np.abs(vectors).max(initial=0.0), 1e-12))).astype(np.int64)
    _, once = np.unique(np.column_stack([pairs, rounded]), axis=0, return_index=True)
    once = once[pairs[once, 0] != pairs[once, 1]]
    return Neighbors(pairs[once], vectors[once], np.ones(len(once)), len(rings.sizes))


def ring_statistics(rings: Rings) -> dict[int, int]:
    """How many rings there are of each size, in the order of the sizes."""
    sizes, counts = np.unique(rings.sizes, return_counts=True)
    return dict(zip(sizes.tolist(), counts.tolist(), strict=True))


def usual_size(rings: Rings, *, default: int = 6) -> int:
    """The most frequent ring size; `default` without rings."""
    return int(np.bincount(rings.sizes).argmax()) if len(rings.sizes) else default


def _as_rings(faces: Faces, points: np.ndarray) -> Rings:
    sizes = np.diff(faces.offsets)
    ring = np.repeat(np.arange(len(sizes)), sizes)
    step = faces.vectors_yx
    corner = _from_first(step, faces.offsets)
    areas = np.bincount(ring, corner[:, 1] * step[:, 0] - corner[:, 0] * step[:, 1], len(sizes)) / 2
    centres = points[faces.atoms[faces.offsets[:-1]]] + _sums(ring, corner, len(sizes)) / np.maximum(sizes, 1)[:, None]
    order = np.lexsort((faces.atoms, ring))
    again = (np.diff(faces.atoms[order]) == 0) & (np.diff(ring[order]) == 0)
    repeated = np.bincount(ring[order][1:][again], minlength=len(sizes)) > 0
    return Rings(faces.atoms, faces.edges, faces.offsets, sizes, areas, centres, ~repeated, len(points))


def _steps_round(neighbors: Neighbors, rings: Rings) -> np.ndarray:
    """Vectors (S, 2) from each atom of a ring to the next."""
    forward = neighbors.pairs[rings.edges, 0] == rings.atoms
    return np.where(forward, 1, -1)[:, None] * neighbors.vectors_yx[rings.edges]


def _from_first(steps: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Places (S, 2) of the atoms of each ring, from its first one."""
    ahead = np.concatenate([np.zeros((1, 2)), np.cumsum(steps, axis=0)])[:-1]
    return ahead - np.repeat(ahead[offsets[:-1]], np.diff(offsets), axis=0)


def _sums(ring: np.ndarray, values: np.ndarray, n_rings: int) -> np.ndarray:
    """Sums (R, 2) of values (S, 2) ring by ring."""
    return np.stack([np.bincount(ring, values[:, k], n_rings) for k in (0, 1)], axis=1)
