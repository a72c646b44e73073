"""Burgers vectors: what a walk round a dislocation lacks to close in the perfect crystal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.sparse import coo_matrix
from scipy.sparse.csgraph import connected_components

from atomnb.errors import AtomnbError
from atomnb.graph.neighbors import Neighbors, VectorTable
from atomnb.graph.rings import Rings, ring_neighbors

HOST_SIZE = 6
"""Bonds round a ring of a three-coordinated sheet: graphene, h-BN, a dichalcogenide from above."""


class Dislocations(NamedTuple):
    """Dislocations of a three-coordinated sheet.

    centres_yx : (D, 2) Å, middle of the two rings
    burgers_yx : (D, 2) Å, in the frame of the image
    rings : (D, 2) int, the ring with fewer bonds than a host ring and the one with more
    cluster : (D,) int, equal for dislocations whose rings touch or are joined by other rings that are not the host's
    """

    centres_yx: np.ndarray
    burgers_yx: np.ndarray
    rings: np.ndarray
    cluster: np.ndarray


def burgers_vector(neighbors: Neighbors, loop: Sequence[int], *, host_yx) -> np.ndarray:
    """Burgers vector of what a closed walk along bonds goes round.

    Each step of the walk is given the bond of the perfect host that it corresponds to; the sum of these, which would
    be zero in a perfect crystal, is minus the Burgers vector (closure from finish to start; J. P. Hirth and J. Lothe,
    Theory of Dislocations, ch. 1). The correspondence is carried along the walk by the angles between steps, so that
    it holds in a bent crystal, too. It equals the integral of du round the walk, u being the displacement.

    Parameters
    ----------
    neighbors : Neighbors
    loop : (L,) int
        Atoms in order, counter-clockwise with y up (as the atoms of a ring and `rim` are): each bonded to the next,
        the last to the first.
    host_yx : (K, 2) Å
        Bonds of one atom of the perfect host, turned as the crystal at the first atom is, within half the angle between
        two bonds. Where the opposite of a bond is not among them (the three of a honeycomb), steps alternate
        between these bonds and their opposites.

    Returns
    -------
    (2,) Å
        A lattice vector of the host, zero where there is no dislocation.

    Raises
    ------
    AtomnbError
        If the walk is not along bonds or not closed, or what it goes round bends the crystal (a disclination: its
        directions do not come back to themselves, and there is no Burgers vector).

    Examples
    --------
    >>> import numpy as np
    >>> from atomnb.graph.neighbors import neighbors_radius
    >>> square = np.array([[0.0, 0.0], [0.0, 1.0], [1.0, 1.0], [1.0, 0.0]])
    >>> star = [[0, 1], [1, 0], [0, -1], [-1, 0]]
    >>> burgers_vector(neighbors_radius(square, 1.1), [0, 1, 2, 3], host_yx=star).tolist()
    [0.0, 0.0]
    """
    return -_ideal_steps(_steps(VectorTable.of(neighbors), loop), _star(host_yx)).sum(axis=0) + 0.0


def rim(rings: Rings, chosen: Sequence[int]) -> np.ndarray:
    """Atoms (L,) in order round the outline of some rings, counter-clockwise with y up.

    Parameters
    ----------
    rings : Rings
    chosen : numbers of the rings, which must hang together and leave no hole

    Raises
    ------
    AtomnbError
        If their outline is not one closed walk without a repeated atom.
    """
    walks = [np.arange(rings.offsets[r], rings.offsets[r + 1]) for r in np.unique(np.asarray(chosen, np.int64))]
    none = np.zeros(0, np.int64)
    member, after = np.concatenate([none, *walks]), np.concatenate([none, *(np.roll(walk, -1) for walk in walks)])
    _, where, count = np.unique(rings.edges[member], return_inverse=True, return_counts=True)
    outer = count[where] == 1
    start, end = rings.atoms[member[outer]], rings.atoms[after[outer]]
    following = dict(zip(start.tolist(), end.tolist(), strict=True))
    walk = list(following)[:1]
    for _ in range(len(start) - 1):
        walk.append(following[walk[-1]])
    if not walk or len(set(walk)) < len(walk):
        raise AtomnbError(
            f"the outline of rings {[int(r) for r in chosen]} is not one simple walk: choose rings that hang together "
            "without a hole between them."
        )
    return np.array(walk)


def find_dislocations(neighbors: Neighbors, rings: Rings, *, bond_length: float | None = None) -> Dislocations:
    """Dislocations of a three-coordinated sheet: pairs of rings of 5 and 7 (or 4 and 8) bonds that share a bond.

    Such pairs whose Burgers vectors cancel within a cluster of rings (Stone–Wales: two pairs back to back) are none.
    Within a chain of them (a grain boundary) each small ring is paired with one large ring, the nearest on the whole.

    Parameters
    ----------
    neighbors : Neighbors
    rings : Rings
    bond_length : Å, of the host; the median length of the bonds of its rings if not given

    Returns
    -------
    Dislocations
    """
    small, large, cluster = _pairs(rings)
    if not len(small):
        none = np.zeros((0, 2))
        return Dislocations(none, none, none.astype(np.int64), np.zeros(0, np.int64))
    length = _host_bond(neighbors, rings) if bond_length is None else bond_length
    turn = 2 * np.pi / 3 * np.arange(3)
    star = _star(length * np.stack([np.sin(turn), np.cos(turn)], axis=1))
    pairs = np.stack([small, large], axis=1)
    table = VectorTable.of(neighbors)
    burgers = np.array([_in_the_image(_steps(table, rim(rings, pair)), star) for pair in pairs])
    total = np.zeros((cluster.max() + 1, 2))
    np.add.at(total, cluster, burgers)
    real = np.hypot(*total.T)[cluster] > length
    centres = _middles(neighbors, rings, pairs)
    return Dislocations(centres[real], burgers[real], pairs[real], cluster[real])


def ring_clusters(rings: Rings, chosen: np.ndarray, *, across: int = 0) -> np.ndarray:
    """Label (R,) of the cluster that each chosen ring belongs to, -1 for the others.

    Parameters
    ----------
    rings : Rings
    chosen : (R,) bool
    across : rings that may lie between two of a cluster
    """
    n = len(rings.sizes)
    a, b = rings.adjacent().T
    touch = coo_matrix((np.ones(2 * len(a)), (np.r_[a, b], np.r_[b, a])), shape=(n, n)).tocsr()
    reach = touch[chosen]
    for _ in range(across):
        reach = reach + reach @ touch
    labels = np.full(n, -1)
    labels[chosen] = connected_components(reach[:, chosen], directed=False)[1]
    return labels


def _star(host_yx) -> np.ndarray:
    """The host's bonds (K, 2), or an error."""
    star = np.asarray(host_yx, float)
    if star.ndim != 2 or star.shape[1] != 2 or len(star) < 3 or not np.isfinite(star).all() or not star.any(1).all():
        raise AtomnbError(f"host_yx must be at least three bonds (y, x) of one atom, got {star.tolist()}.")
    return star


def _steps(table: VectorTable, loop: Sequence[int]) -> np.ndarray:
    """Vectors (L, 2) from each atom of a closed walk to the next."""
    atoms = np.asarray(loop, np.int64)
    ahead = np.roll(atoms, -1)
    steps = table.between(atoms, ahead)
    apart = np.isnan(steps[:, 0])
    if apart.any() or len(atoms) < 3:
        named = np.stack([atoms, ahead], axis=1)[apart][:5].tolist()
        raise AtomnbError(
            f"loop must be a closed walk along bonds of at least three atoms; these are not bonded: {named}."
        )
    if np.hypot(*steps.sum(axis=0)) > 1e-6 * np.abs(steps).sum():
        raise AtomnbError("loop goes round the periodic cell and does not close: choose a walk that does.")
    return steps


def _ideal_steps(steps: np.ndarray, star: np.ndarray) -> np.ndarray:
    """Bonds (L, 2) of the perfect host that the steps of a closed walk correspond to."""
    real = steps[:, 1] + 1j * steps[:, 0]
    host = star[:, 1] + 1j * star[:, 0]
    alternates = np.abs(host[:, None] + host).min(axis=1).max() > 0.1 * np.abs(host).max()
    both = np.concatenate([host, -host])
    here = both[np.argmax((both / np.abs(both) * (real[0] / abs(real[0])).conjugate()).real)]
    sign = 1 if np.abs(host - here).min() < 1e-9 * abs(here) else -1
    ideal = [here]
    for turn in np.roll(real, -1) / real:
        sign = -sign if alternates else sign
        onward = sign * host
        onward = onward[np.abs(onward + here) > 0.1 * abs(here)]  # a walk does not go back
        wanted = here * turn / abs(here * turn)
        here = onward[np.argmax((onward / np.abs(onward) * wanted.conjugate()).real)]
        ideal.append(here)
    if abs(ideal[0] - ideal.pop()) > 1e-6 * abs(here):
        raise AtomnbError(
            "what loop goes round turns the crystal (a disclination): there is no Burgers vector. Take in the rings "
            "that make up for it, such as the heptagon beside a pentagon."
        )
    return np.stack([np.imag(ideal), np.real(ideal)], axis=1)


def _in_the_image(steps: np.ndarray, star: np.ndarray) -> np.ndarray:
    """Burgers vector (2,) turned as the walk lies in the image, whichever way the star was turned."""
    ideal = _ideal_steps(steps, star)
    turn = ((steps[:, 1] + 1j * steps[:, 0]) * (ideal[:, 1] - 1j * ideal[:, 0])).sum()
    vector = -(ideal[:, 1] + 1j * ideal[:, 0]).sum() * turn / abs(turn)
    return np.array([vector.imag, vector.real])


def _pairs(rings: Rings) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Small and large rings (P,) that belong together, and the cluster of each pair."""
    excess = rings.sizes - HOST_SIZE
    labels = ring_clusters(rings, (excess != 0) & rings.is_simple)
    adjacent = rings.adjacent()
    adjacent = adjacent[(labels[adjacent] >= 0).all(axis=1)]
    adjacent = np.where((excess[adjacent[:, 0]] > 0)[:, None], adjacent[:, ::-1], adjacent)
    opposite = (excess[adjacent].sum(axis=1) == 0) & np.isin(-excess[adjacent[:, 0]], (1, 2))
    adjacent = adjacent[opposite & _share_one_bond(rings, adjacent)]
    gap = np.hypot(*(rings.centres_yx[adjacent[:, 0]] - rings.centres_yx[adjacent[:, 1]]).T)
    chosen = []
    for label in np.unique(labels[adjacent[:, 0]]):
        here = labels[adjacent[:, 0]] == label
        chosen.append(_matched(adjacent[here], gap[here]))
    small, large = np.concatenate(chosen).T if chosen else np.zeros((2, 0), np.int64)
    return small, large, labels[small]


def _share_one_bond(rings: Rings, adjacent: np.ndarray) -> np.ndarray:
    """Mask (P,) of the pairs of rings whose outline is a single walk."""
    atoms = [(rings.of(a), rings.of(b)) for a, b in adjacent]
    return np.array([len(np.intersect1d(a, b)) == 2 for a, b in atoms], bool)


def _matched(pairs: np.ndarray, gap: np.ndarray) -> np.ndarray:
    """As many of the pairs (P, 2) as can be had with each ring in one only, the nearest on the whole."""
    small, row = np.unique(pairs[:, 0], return_inverse=True)
    large, column = np.unique(pairs[:, 1], return_inverse=True)
    forbidden = 1e3 * (1 + gap.sum())
    cost = np.full((len(small), len(large)), forbidden)
    cost[row, column] = gap
    a, b = linear_sum_assignment(cost)
    allowed = cost[a, b] < forbidden
    return np.stack([small[a[allowed]], large[b[allowed]]], axis=1)


def _host_bond(neighbors: Neighbors, rings: Rings) -> float:
    """Median length of the bonds of host rings, Å; of all bonds where there is no such ring."""
    of_host = rings.edges[np.repeat(rings.sizes == HOST_SIZE, rings.sizes)]
    return float(np.median(neighbors.distances[of_host] if len(of_host) else neighbors.distances))


def _middles(neighbors: Neighbors, rings: Rings, pairs: np.ndarray) -> np.ndarray:
    """Middles (P, 2) of pairs of rings, which may lie on two sides of a periodic cell."""
    apart = VectorTable.of(ring_neighbors(neighbors, rings)).between(*pairs.T)
    return rings.centres_yx[pairs[:, 0]] + apart / 2
