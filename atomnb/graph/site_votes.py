"""Which of its two kinds of sites each atom of a crystal is on, told by brightness: a vote over the whole grain.

Two unlike columns may differ by less than the noise of one of them (gallium and arsenic by a tenth), but bonds join
unlike sites only, so all atoms of a grain vote on one question: which of its two sublattices is the brighter one.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import coo_matrix, csr_matrix
from scipy.sparse.csgraph import connected_components
from scipy.special import ndtr

from atomnb.graph.neighbors import Neighbors
from atomnb.graph.rings import Rings

DECIDED = 3.0
"""Standard errors by which the two sublattices must differ; below, the sites are undecided."""

CONTRARY = 5.0
"""Standard errors at which an atom's surroundings outvote its grain: a domain of the other polarity."""

MIXED = 1.5
"""Variance, in squared standard errors, of the votes of surroundings within a grain, from which on it has domains of
both polarities; noise alone makes 0.7, since surroundings overlap and each atom counts in its neighbours, too."""

OUTLYING = 4.0
"""An atom farther off than this many standard deviations (a dopant, dirt) counts as one so far off."""

UNDECIDED = 0.5
"""Probability of a site that brightness does not tell."""

LEAST_SPREAD = 1e-3
"""Standard deviation of ln(brightness) among equal columns, at least."""

_ROUNDS = 3


class Sides(NamedTuple):
    """`brighter` (N,) bool, on the brighter kind of site; `probability` (N,) that this is so, 1/2 where undecided."""

    brighter: np.ndarray
    probability: np.ndarray


def vote_on_sides(bright: np.ndarray, neighbors: Neighbors, rings: Rings, *, ring_size: int) -> Sides:
    """Sides of the atoms of a crystal with two kinds of sites, by the brightness of all atoms of a grain together.

    Parameters
    ----------
    bright : (N,) ln(brightness)
    neighbors : Neighbors, bonds drawn without regard to species
    rings : Rings of these bonds
    ring_size : atoms round a ring of the perfect crystal

    Notes
    -----
    A grain is what the crystal's own rings connect. Within it the sublattice of an atom follows from the bonds alone.
    The contrast of the grain is the mean over its atoms of half the difference to their neighbours, counted with the
    sign of the sublattice; its standard error is the spread among atoms of one sublattice over √n. Below `DECIDED`
    standard errors the sites are undecided. An atom's surroundings, its first and second neighbours, vote in the same
    way. They go before the grain where they contradict it by `CONTRARY` standard errors, and everywhere in a grain
    whose surroundings disagree by more than noise (`MIXED`): it has antiphase domains. Atoms in no grain follow their
    neighbours.
    """
    net = _Net.of(neighbors)
    grain, sublattice = sublattices(neighbors, rings, ring_size)
    bright = _without_outliers(bright, grain, sublattice)
    sigma = _spread_of_one(bright, net)
    half = net.half_contrast(bright)
    vote = sublattice * half
    local = _contrast_around(vote, net, sigma)
    whole, mixed = _votes_of_grains(vote, local, grain, net, sigma)
    trusted = np.where(mixed | (np.abs(local) >= CONTRARY), local, whole)
    inside = sublattice != 0
    side = sublattice * np.where(trusted < 0, -1, 1)
    pull = net.one @ side
    side = _settled(np.where(inside, side, np.where(pull == 0, np.sign(half), -np.sign(pull))), net)
    decided = np.where(np.abs(trusted) >= DECIDED, ndtr(np.abs(trusted)), UNDECIDED)
    own = _contrast_around(side * half, net, sigma)
    alone = np.where(own >= CONTRARY, ndtr(own), UNDECIDED)
    return Sides(side > 0, np.where(inside, decided, _followed(decided, inside, alone, net)))


def sublattices(neighbors: Neighbors, rings: Rings, ring_size: int) -> tuple[np.ndarray, np.ndarray]:
    """Number of each atom's grain, and +1 or −1 by its sublattice there (N,); 0 where bonds do not tell it.

    Parameters
    ----------
    neighbors : Neighbors
    rings : Rings
    ring_size : atoms round a ring of the perfect crystal; a grain is what such rings connect

    Notes
    -----
    On two copies of the crystal whose bonds lead from one to the other, the parts are the sublattices; an odd circuit
    of bonds joins them into one, and then there is only one sublattice.
    """
    n = neighbors.n_atoms
    bonds = np.unique(rings.edges[np.repeat(rings.sizes == ring_size, rings.sizes)])
    i, j = neighbors.pairs[bonds].T
    links = np.concatenate([i, i + n]), np.concatenate([j + n, j])
    part = connected_components(coo_matrix((np.ones(2 * len(i)), links), shape=(2 * n, 2 * n)), directed=False)[1]
    upper, lower = part[:n], part[n:]
    bonded = np.isin(np.arange(n), neighbors.pairs[bonds])
    return np.minimum(upper, lower), np.where(bonded, np.sign(lower - upper), 0)


class _Net(NamedTuple):
    """Bonds as a matrix `one` (N, N), and how many atoms are one and two bonds away, `first` and `second` (N,)."""

    one: csr_matrix
    first: np.ndarray
    second: np.ndarray

    @classmethod
    def of(cls, neighbors: Neighbors) -> _Net:
        i, j = neighbors.pairs.T
        n, first = neighbors.n_atoms, neighbors.coordination
        one = csr_matrix((np.ones(2 * len(i)), (np.concatenate([i, j]), np.concatenate([j, i]))), shape=(n, n))
        return cls(one, first, one @ first - first)

    @property
    def reached(self) -> np.ndarray:
        """Each atom with its first and second neighbours (N,)."""
        return 1 + self.first + self.second

    def over_second(self, values: np.ndarray) -> np.ndarray:
        """Sum (N,) over the atoms two bonds away."""
        return self.one @ (self.one @ values) - self.first * values

    def half_contrast(self, values: np.ndarray) -> np.ndarray:
        """Half of what each atom has more than its neighbours on average (N,); 0 without any."""
        mean = self.one @ values / np.maximum(self.first, 1)
        return np.where(self.first > 0, (values - mean) / 2, 0.0)


def _spread_of_one(bright: np.ndarray, net: _Net) -> float:
    """Standard deviation of ln(brightness) of one column, from its differences to second neighbours, its equals."""
    some = net.second > 0
    if not some.any():
        return LEAST_SPREAD
    off = (bright - net.over_second(bright) / np.maximum(net.second, 1))[some] / np.sqrt(1 + 1 / net.second[some])
    return max(1.4826 * float(np.median(np.abs(off - np.median(off)))), LEAST_SPREAD)


def _without_outliers(bright: np.ndarray, grain: np.ndarray, sublattice: np.ndarray) -> np.ndarray:
    """Brightness (N,) with columns that stand out of their sublattice of their grain drawn back to its edge."""
    out = bright.copy()
    kind = np.where(sublattice == 0, -1, 2 * grain + (sublattice > 0))
    order = np.argsort(kind, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(kind[order])) + 1):
        if kind[members[0]] >= 0:
            middle = np.median(bright[members])
            most = OUTLYING * max(1.4826 * float(np.median(np.abs(bright[members] - middle))), LEAST_SPREAD)
            out[members] = np.clip(bright[members], middle - most, middle + most)
    return out


def _votes_of_grains(vote, local, grain, net: _Net, sigma: float) -> tuple[np.ndarray, np.ndarray]:
    """Contrast of each atom's grain in standard errors, and whether its surroundings disagree among themselves (N,)."""
    number = np.unique(grain, return_inverse=True)[1]
    count = np.bincount(number)
    mean = np.bincount(number, vote) / count / sigma
    off = local - mean[number] * np.sqrt(net.reached)
    return (mean * np.sqrt(count))[number], (np.bincount(number, off**2) / count >= MIXED)[number]


def _contrast_around(values: np.ndarray, net: _Net, sigma: float) -> np.ndarray:
    """Mean of the values over each atom and its first and second neighbours, in standard errors (N,)."""
    return (values + net.one @ values + net.over_second(values)) / np.sqrt(net.reached) / sigma


def _followed(probability: np.ndarray, inside: np.ndarray, alone: np.ndarray, net: _Net) -> np.ndarray:
    """What atoms take over from their neighbours in a grain (N,); `alone` where there are none."""
    known = net.one @ inside.astype(float)
    return np.where(known > 0, net.one @ (probability * inside) / np.maximum(known, 1), alone)


def _settled(side: np.ndarray, net: _Net) -> np.ndarray:
    """Sides (N,) ±1 after each atom has been outvoted by first and second neighbours that agree, a few times over."""
    for _ in range(_ROUNDS):
        vote = net.over_second(side) - 2 * (net.one @ side) + 0.5 * side
        side = np.where(vote == 0, side, np.sign(vote))
    return side
