"""The faces of a planar graph: every half-edge belongs to the one face on its left."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from atomnb.errors import AtomnbError
from atomnb.graph.neighbors import Neighbors


class Faces(NamedTuple):
    """Closed walks along the bonds, one per face.

    atoms : (H,) int, atoms in walking order, face after face; `atoms[offsets[f]:offsets[f + 1]]` is face f
    edges : (H,) int, the row of the neighbours' pairs that leads from each atom to the next
    vectors_yx : (H, 2), from each atom to the next
    offsets : (F + 1,)
    winding : (F,) int, full turns along the walk: 1 round the inside of a face, -1 round the outside of a connected
        part, 0 where the walk goes round a periodic cell and never closes
    """

    atoms: np.ndarray
    edges: np.ndarray
    vectors_yx: np.ndarray
    offsets: np.ndarray
    winding: np.ndarray

    def select(self, mask: np.ndarray) -> Faces:
        """The faces where `mask` (F,) is true."""
        sizes = np.diff(self.offsets)
        steps = np.repeat(mask, sizes)
        offsets = np.concatenate([[0], np.cumsum(sizes[mask])])
        return Faces(self.atoms[steps], self.edges[steps], self.vectors_yx[steps], offsets, self.winding[mask])


def trace_faces(neighbors: Neighbors) -> Faces:
    """All faces of a planar graph, without the chains that hang into them.

    At each atom the half-edges are sorted by angle; the one that follows half-edge a → b round its face is the next
    one clockwise from b → a (de Berg et al., Computational Geometry, ch. 2). Atoms with a single neighbour are left
    out first, again and again, so that chains with a loose end are no part of any walk.

    Parameters
    ----------
    neighbors : Neighbors

    Returns
    -------
    Faces
        In the order of the first pair that each walk goes along.

    Raises
    ------
    AtomnbError
        If bonds cross.
    """
    core = np.flatnonzero(_in_a_ring_or_between(neighbors))
    source, target, vectors = neighbors.select(core).half_edges()
    if not len(source):
        none = np.zeros(0, np.int64)
        return Faces(none, none, np.zeros((0, 2)), np.zeros(1, np.int64), none)
    following = _following(source, target, vectors)
    face = connected_components(coo_matrix((np.ones(len(source), bool), (np.arange(len(source)), following))))[1]
    walk, offsets = _in_walking_order(following, face)
    winding = _winding(vectors, following, face)
    closed = np.stack([np.bincount(face, vectors[:, k]) for k in (0, 1)], axis=1)
    _check_planar(winding, np.hypot(*closed.T) < 0.5 * np.hypot(*vectors.T).min())
    first = face[walk[offsets[:-1]]]
    return Faces(source[walk], core[walk % len(core)], vectors[walk], offsets, winding[first])


def _in_a_ring_or_between(neighbors: Neighbors) -> np.ndarray:
    """Mask (E,) of the pairs left when atoms with a single neighbour are taken out until there are none."""
    indptr, indices, edge = neighbors.adjacency()
    left = neighbors.coordination
    alive = np.ones(len(neighbors.pairs), bool)
    loose = np.flatnonzero(left == 1)
    while len(loose):
        start, count = indptr[loose], np.diff(indptr)[loose]
        slot = np.repeat(start - np.concatenate([[0], np.cumsum(count)[:-1]]), count) + np.arange(count.sum())
        slot = slot[alive[edge[slot]]]
        alive[edge[slot]] = False
        np.subtract.at(left, indices[slot], 1)
        left[loose] = 0
        loose = np.unique(indices[slot])
        loose = loose[left[loose] == 1]
    return alive


def _following(source: np.ndarray, target: np.ndarray, vectors: np.ndarray) -> np.ndarray:
    """For each half-edge (H,) the next one round the face on its left (y up, x to the right)."""
    n = len(source)
    share = (np.arctan2(vectors[:, 0], vectors[:, 1]) + np.pi) / 7  # of a turn, below 1: by atom, then by angle
    order = np.argsort(source + share)
    place = np.empty(n, np.int64)
    place[order] = np.arange(n)
    begin = np.searchsorted(source[order], np.arange(source.max() + 2))
    back = (np.arange(n) + n // 2) % n
    clockwise = place[back] - 1
    clockwise = np.where(clockwise < begin[target], begin[target + 1] - 1, clockwise)
    return order[clockwise]


def _in_walking_order(following: np.ndarray, face: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Half-edges (H,) face after face in the order of the walk, and where each face begins (F + 1,)."""
    start = np.sort(np.unique(face, return_index=True)[1])
    sizes = np.bincount(face)[face[start]]
    offsets = np.concatenate([[0], np.cumsum(sizes)])
    walk = np.empty(len(following), np.int64)
    by_size = np.argsort(-sizes, kind="stable")
    at, here, longest = offsets[:-1][by_size], start[by_size], sizes[by_size]
    for step in range(int(sizes.max())):
        going = np.searchsorted(-longest, -step, side="left")
        at, here, longest = at[:going], here[:going], longest[:going]
        walk[at + step] = here
        here = following[here]
    return walk, offsets


def _winding(vectors: np.ndarray, following: np.ndarray, face: np.ndarray) -> np.ndarray:
    """Full turns (F,) to the left along each walk."""
    after = vectors[following]
    cross = vectors[:, 1] * after[:, 0] - vectors[:, 0] * after[:, 1]
    turn = np.arctan2(cross, (vectors * after).sum(axis=1))
    return np.rint(np.bincount(face, turn) / (2 * np.pi)).astype(np.int64)


def _check_planar(winding: np.ndarray, closed: np.ndarray) -> None:
    """Raise if a walk turns as none does where bonds do not cross."""
    wrong = (np.abs(winding) > 1) | ((winding == 0) & closed)
    if wrong.any():
        raise AtomnbError(
            f"bonds cross: {int(wrong.sum())} closed walks go round no face. Take the neighbours from find_bonds, "
            "which leaves no crossings."
        )
