"""Grain boundaries of a three-coordinated sheet: chains of rings of 5 and 7 bonds between grains turned differently."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import breadth_first_order, dijkstra

from atomnb.graph.dislocations import HOST_SIZE, ring_clusters
from atomnb.graph.neighbors import Neighbors, VectorTable
from atomnb.graph.rings import Rings, ring_neighbors

LARGEST_CORE = 10
"""Bonds round the largest ring that can be part of a boundary; a larger one is a hole."""

LEAST_RINGS = 4
"""Fewer rings (two dislocations) are no chain."""

BESIDE = (3, 8)
"""How many rings away from a boundary the grains are looked at: nearer, its dislocations bend the crystal."""


class Boundaries(NamedTuple):
    """Grain boundaries.

    rings : (S,) int, rings that are not the host's, in order along each boundary; `of(b)` are those of boundary b
    offsets : (B + 1,)
    misorientation_rad : (B,), angle between the two grains, 0 to π/6
    length : (B,) Å, from the first to the last ring along the boundary
    """

    rings: np.ndarray
    offsets: np.ndarray
    misorientation_rad: np.ndarray
    length: np.ndarray

    def of(self, boundary: int) -> np.ndarray:
        """Rings in order along one boundary."""
        return self.rings[self.offsets[boundary] : self.offsets[boundary + 1]]


def find_boundaries(
    neighbors: Neighbors, rings: Rings, *, across: int = 6, least_angle_rad: float = np.deg2rad(5)
) -> Boundaries:
    """Chains of rings that are not hexagons, with grains of different orientation on their two sides.

    The orientation of a hexagon is that of the mean of exp(6iθ) over the directions θ of its bonds. The hexagons beside
    a chain are divided into the two orientations that describe them best; the angle between these is the
    misorientation.

    Parameters
    ----------
    neighbors : Neighbors
    rings : Rings
    across : hexagons that may lie between two rings of a chain. Dislocations of a boundary stand b / (2 sin(angle / 2))
        apart; six hexagons reach down to about 9°.
    least_angle_rad : smallest misorientation; below it a chain is a row of point defects

    Returns
    -------
    Boundaries
    """
    dual = ring_neighbors(neighbors, rings)
    graph, table = _matrix(dual), VectorTable.of(dual)
    labels = ring_clusters(rings, (rings.sizes != HOST_SIZE) & (rings.sizes <= LARGEST_CORE), across=across)
    phase = _orientation(neighbors, rings)
    chains, angles = [], []
    for label in np.flatnonzero(np.bincount(labels[labels >= 0]) >= LEAST_RINGS):
        chain = np.flatnonzero(labels == label)
        angle = _misorientation(graph, rings, phase, chain)
        if angle >= least_angle_rad:
            chains.append(chain)
            angles.append(angle)
    ordered = [_along(graph, table, chain) for chain in chains]
    return Boundaries(
        np.concatenate([np.zeros(0, np.int64), *(chain for chain, _ in ordered)]),
        np.cumsum([0, *map(len, chains)]),
        np.array(angles, float),
        np.array([length for _, length in ordered], float),
    )


def _orientation(neighbors: Neighbors, rings: Rings) -> np.ndarray:
    """Mean (R,) of exp(6iθ) over the bonds of each ring, complex."""
    angle = np.arctan2(*neighbors.vectors_yx.T)[rings.edges]
    ring = np.repeat(np.arange(len(rings.sizes)), rings.sizes)
    total = [np.bincount(ring, part, len(rings.sizes)) for part in (np.cos(6 * angle), np.sin(6 * angle))]
    return (total[0] + 1j * total[1]) / np.maximum(rings.sizes, 1)


def _misorientation(graph: csr_matrix, rings: Rings, phase: np.ndarray, chain: np.ndarray) -> float:
    """Angle between the two orientations of the hexagons beside a chain; 0 where there is only one."""
    near, far = BESIDE
    away = dijkstra(graph, directed=False, indices=chain, unweighted=True, limit=far, min_only=True)
    beside = phase[(away >= near) & (away <= far) & (rings.sizes == HOST_SIZE)]
    beside = beside[np.abs(beside) > 0] / np.abs(beside[np.abs(beside) > 0])
    if len(beside) < 2 * LEAST_RINGS:
        return 0.0
    first, second = _two_directions(beside)
    return float(abs(np.angle(first / second)) / HOST_SIZE)


def _two_directions(units: np.ndarray) -> tuple[complex, complex]:
    """The two unit numbers that describe the given ones best (two means on the circle)."""
    matrix = np.stack([units.real, units.imag])
    axis = np.linalg.eigh(np.cov(matrix))[1][:, -1]
    side = (axis @ (matrix - matrix.mean(axis=1, keepdims=True))) > 0
    for _ in range(20):
        first, second = units[side].mean(), units[~side].mean()
        nearer = (units * first.conjugate()).real / abs(first) > (units * second.conjugate()).real / abs(second)
        if (nearer == side).all() or nearer.all() or not nearer.any():
            break
        side = nearer
    return first / abs(first), second / abs(second)


def _along(graph: csr_matrix, table: VectorTable, chain: np.ndarray) -> tuple[np.ndarray, float]:
    """The rings of a chain in order along the line that fits them best, and their extent along it, Å."""
    places = _laid_out(graph, table, int(chain[0]))[chain]
    along = (places - places.mean(axis=0)) @ np.linalg.svd(places - places.mean(axis=0), full_matrices=False)[2][0]
    return chain[np.argsort(along, kind="stable")], float(np.ptp(along))


def _laid_out(graph: csr_matrix, table: VectorTable, first: int) -> np.ndarray:
    """Centres (R, 2) from that of one ring, reached through as few rings as possible: no jumps at a cell's rim."""
    before = breadth_first_order(graph, first, directed=False)[1].astype(np.int64)
    before = np.where(before < 0, np.arange(len(before)), before)
    places = np.nan_to_num(table.between(before, np.arange(len(before))))
    while (before[before] != before).any():  # each pass doubles the number of rings that are stepped over at once
        places = places + places[before]
        before = before[before]
    return places


def _matrix(dual: Neighbors) -> csr_matrix:
    i, j = dual.pairs.T
    return csr_matrix((np.ones(len(i)), (i, j)), shape=(dual.n_atoms, dual.n_atoms))
