"""Dumbbells among the columns of a crystal along [110], oriented alike within each grain."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.sparse import csr_matrix, identity
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree

LENGTH_SPREAD = 0.25
"""Share by which a dumbbell may be longer or shorter than the median; at 60 electrons a column it varies by a tenth."""

APART = 1.3
"""The next column must be this many times as far as the partner; in diamond and zinc blende it is 1.73 times."""

REACH = 3.3
"""Dumbbells are neighbours up to this many lengths; in the crystal the six nearest stand at 2.45 and 2.83 lengths."""

SAME_AXIS = np.deg2rad(20)
"""Neighbours of one grain are parallel within this angle; across a {111} twin their axes are 70.5° apart."""

ALONG_GRAIN = np.deg2rad(45)
"""A dumbbell turned farther from its grain's axis has no direction that could be compared."""

SAME_PLACE = 0.3
"""Columns this near (in lengths) to where the lattice of a grain continues belong to it."""


CLEAR_SIDE = 4.0
"""Standard errors by which the mean about a dumbbell must differ from zero to speak for a domain."""


class Dumbbells(NamedTuple):
    """Pairs of columns.

    ends : (K, 2) int, the two columns of each, in the order that is the same throughout its grain
    centre_yx : (K, 2), half way between them
    grain : (K,) int, connected region of parallel dumbbells; two such regions are two grains, however they lie
    links : (E, 2) int, neighbouring dumbbells of one grain
    length : median distance of the two columns, in the unit of the positions; 0 without dumbbells
    """

    ends: np.ndarray
    centre_yx: np.ndarray
    grain: np.ndarray
    links: np.ndarray
    length: float


def find_dumbbells(positions_yx) -> Dumbbells:
    """Pair columns that are each other's nearest neighbour, and find the grains in which the pairs are parallel.

    A twin and a stacking fault turn the dumbbells, so that each side, or the layer of the fault, is a grain of its own.

    Parameters
    ----------
    positions_yx : array (N, 2)
        In any unit.

    Examples
    --------
    >>> import numpy as np
    >>> nodes = 4.0 * np.stack(np.meshgrid(np.arange(3), np.arange(4), indexing="ij"), -1).reshape(-1, 2)
    >>> found = find_dumbbells(np.concatenate([nodes, nodes + [0.0, 1.4]]))
    >>> found.ends[:2].tolist(), int(found.grain.max()), round(found.length, 3)
    ([[0, 12], [1, 13]], 0, 1.4)
    """
    yx = np.asarray(positions_yx, float).reshape(-1, 2)
    ends, length = _pairs(yx)
    if not len(ends):
        return Dumbbells(ends, np.zeros((0, 2)), np.zeros(0, int), np.zeros((0, 2), int), 0.0)
    vector, centre = yx[ends[:, 1]] - yx[ends[:, 0]], yx[ends].mean(axis=1)
    # an axis has no sense of direction: twice its angle is what two parallel dumbbells have in common
    phase = np.exp(2j * np.arctan2(vector[:, 0], vector[:, 1]))
    links = cKDTree(centre).query_pairs(REACH * length, output_type="ndarray")
    turned = np.abs(np.angle(phase[links[:, 0]] * phase[links[:, 1]].conj())) / 2
    links = links[turned < SAME_AXIS]
    grain = _connected(links, len(ends))
    axis = _mean_axis(phase, grain)
    along = (vector * axis[grain]).sum(axis=1)
    kept = np.abs(along) > np.cos(ALONG_GRAIN) * np.hypot(*vector.T)
    ends = np.where((along < 0)[:, None], ends[:, ::-1], ends)
    number = np.cumsum(kept) - 1
    links = number[links[kept[links].all(axis=1)]]
    return Dumbbells(ends[kept], centre[kept], np.unique(grain[kept], return_inverse=True)[1], links, length)


def split_domains(dumbbells: Dumbbells, values, counted) -> Dumbbells:
    """Grains divided where a value of their dumbbells turns its sign: beyond an inversion boundary, first is second.

    The mean over each dumbbell and its neighbours of two steps is compared with its standard error. Where it stands out
    on both sides of zero in one grain, each dumbbell joins the sign of the nearest place that does.

    Parameters
    ----------
    dumbbells : Dumbbells
    values : (K,) with the sign of the dumbbell's direction, such as the difference of its columns
    counted : (K,) bool, whose value is known
    """
    links, counted = dumbbells.links, np.asarray(counted, bool)
    both = links[counted[links].all(axis=1)]
    if not len(both):
        return dumbbells
    values = np.where(counted, values, 0.0)
    error = 1.48 * np.median(np.abs(values[both[:, 0]] - values[both[:, 1]])) / np.sqrt(2)
    around = (identity(len(counted)) + _graph(links, len(counted))) ** 2 > 0
    number = np.maximum(around @ counted.astype(float), 1)
    total = (around @ values) / np.sqrt(number)
    sign = np.sign(total) * (np.abs(total) > CLEAR_SIDE * error)
    side = np.zeros(len(counted))
    for grain in np.intersect1d(dumbbells.grain[sign > 0], dumbbells.grain[sign < 0]):
        mine = np.flatnonzero(dumbbells.grain == grain)
        sure = mine[sign[mine] != 0]
        nearest = cKDTree(dumbbells.centre_yx[sure]).query(dumbbells.centre_yx[mine])[1]
        side[mine] = sign[sure][nearest]
    links = links[side[links[:, 0]] == side[links[:, 1]]]
    return dumbbells._replace(grain=_connected(links, len(counted)), links=links)


def place_singles(positions_yx, dumbbells: Dumbbells) -> tuple[np.ndarray, np.ndarray]:
    """Where columns without a partner belong: those at the border, and those beside a vacancy.

    Returns
    -------
    dumbbell : (N,) int, one whose lattice leads to the column: its own for those that have one; −1 if there is none
    end : (N,) int, 0 or 1, which end of that dumbbell the column stands for
    """
    yx = np.asarray(positions_yx, float).reshape(-1, 2)
    owner, end = np.full(len(yx), -1), np.zeros(len(yx), int)
    owner[dumbbells.ends] = np.arange(len(dumbbells.ends))[:, None]
    end[dumbbells.ends[:, 1]] = 1
    single = np.flatnonzero(owner < 0)
    if not len(single) or not len(dumbbells.links):
        return owner, end
    source, target = np.concatenate([dumbbells.links, dumbbells.links[:, ::-1]]).T
    centre = dumbbells.centre_yx
    near = np.isfinite(cKDTree(yx[single]).query(centre, distance_upper_bound=2 * REACH * dumbbells.length)[0])
    source, target = source[near[source]], target[near[source]]
    # where a step leads to a dumbbell, the opposite one leads to the same column of the next
    places = (yx[dumbbells.ends[source]] + (centre[source] - centre[target])[:, None]).reshape(-1, 2)
    distance, place = cKDTree(places).query(yx[single], distance_upper_bound=SAME_PLACE * dumbbells.length)
    met = np.isfinite(distance)
    owner[single[met]], end[single[met]] = source[place[met] // 2], place[met] % 2
    return owner, end


def _pairs(yx: np.ndarray) -> tuple[np.ndarray, float]:
    """Mutual nearest neighbours (K, 2) of about one distance without another neighbour as near, and that distance."""
    if len(yx) < 3:
        return np.zeros((0, 2), int), 0.0
    distance, near = cKDTree(yx).query(yx, k=3)
    partner = near[:, 1]
    mutual = partner[partner] == np.arange(len(yx))
    length = float(np.median(distance[mutual, 1]))
    good = mutual & (np.abs(distance[:, 1] - length) < LENGTH_SPREAD * length)
    good &= distance[:, 2] > APART * distance[:, 1]
    good &= good[partner]
    first = np.flatnonzero(good & (np.arange(len(yx)) < partner))
    return np.stack([first, partner[first]], axis=1), length


def _graph(links: np.ndarray, number: int) -> csr_matrix:
    """Links (E, 2) as a symmetric matrix of zeros and ones."""
    both = np.concatenate([links, links[:, ::-1]])
    return csr_matrix((np.ones(len(both)), both.T), shape=(number, number))


def _connected(links: np.ndarray, number: int) -> np.ndarray:
    """Label (K,) of the connected part that each dumbbell belongs to."""
    return connected_components(_graph(links, number), directed=False)[1]


def _mean_axis(phase: np.ndarray, grain: np.ndarray) -> np.ndarray:
    """Unit vectors (G, 2), rows (y, x), along the mean axis of each grain."""
    total = np.bincount(grain, phase.real) + 1j * np.bincount(grain, phase.imag)
    angle = np.angle(total) / 2
    return np.stack([np.sin(angle), np.cos(angle)], axis=1)
