"""From positions and species to the most probable bonds that chemistry allows."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_matrix, csr_matrix, hstack, identity
from scipy.sparse.csgraph import connected_components
from scipy.special import log_ndtr

from atomnb.errors import AtomnbError, RangeWarning
from atomnb.graph.neighbors import Neighbors, checked_cell, checked_positions, neighbors_radius
from atomnb.graph.radii import COVALENT_RADII, bond_range
from atomnb.said import warn

SOFT_END = 0.05
"""Standard deviation (Å) of where a range of bond lengths ends: no tabulated limit is sharper than that."""

ONE_PLACE = 0.1
"""Atoms nearer than this share of the longest bond of the shortest kind are one atom found twice."""

LONELY = 0.1
"""Chance that a doubtful atom within reach of others has no bond at all, against that it has some."""

FEW_BONDS = 12
"""Up to so many bonds in conflict all their subsets are tried; beyond, an integer programme is solved."""

WORK = 5e7
"""Bonds in conflict, squared, times branches of the integer programme that are tried: a crystal that does not fit the
ranges at all, as a square lattice under the rules of a honeycomb, leaves thousands of bonds equally likely, and to
prove which are the best could take for ever."""


def find_bonds(
    positions_yx,
    species,
    *,
    ranges: Mapping[tuple[str, str], tuple[float, float] | None],
    valences: Mapping[str, int],
    errors_yx=None,
    tolerance: float = 0.2,
    least_angle_deg: float = 0.0,
    doubts: Mapping[str, float] | None = None,
    cell=None,
) -> Neighbors:
    r"""The most probable set of bonds without crossings in which no atom has more bonds than its valence.

    The chance that a pair is bonded is the chance that its true distance lies in the range (low, high) of its kind,

    .. math:: p = \Phi\!\left(\frac{high - d}{\sigma}\right) - \Phi\!\left(\frac{low - d}{\sigma}\right), \qquad
              \sigma^2 = u^\top (C_1 + C_2)\, u + s^2

    with d the distance found, u its direction, C the covariances of the two positions and s = 0.05 Å (`SOFT_END`) for
    what the ends of the range are uncertain by. Of all graphs that keep the valences, have no crossing bonds and no
    angle below `least_angle_deg`, the most probable one is returned: the one with the largest sum of log(p / (1 - p)),
    found exactly, conflict by conflict. A pair with p < 1/2 is never in it.

    Parameters
    ----------
    positions_yx : (N, 2) Å
    species : (N,) str, or one for all
        Chemical symbols or any other names.
    ranges : {(a, b): (low, high)}
        Å, in either order of the names. `None` in place of a range: the two never bond. A pair that is missing bonds by
        its covalent radii (`bond_range`) if both are elements, and never otherwise.
    valences : {name: most bonds}
        Names that are missing have no limit.
    errors_yx : (N, 2) or (N, 2, 2), optional
        Standard errors in y and x, Å, or covariance matrices, Å². Without them the positions count as exact.
    tolerance : share of the sum of two covalent radii by which the bonds of a pair missing in `ranges` may differ
    least_angle_deg : in [0, 180), degrees
        Of two bonds of an atom at a smaller angle than this only one is kept: no chemistry has them that close.
    doubts : {name: chance in [0, 0.5)}, optional
        That the ranges are wrong about a bond of such an atom, however deep in its range the bond is: p is weighed as
        (1 - doubt) p + doubt (1 - p). Two good bonds then outweigh one perfect bond that excludes them, and of graphs
        that are as good the one that leaves such an atom without a bond is the less likely. 0 if missing.
    cell : (2, 2), optional
        Rows are the vectors (y, x), Å, by which the structure repeats.

    Returns
    -------
    Neighbors
        `probability` is p of each bond, before the others are considered.

    Raises
    ------
    AtomnbError
        If positions or errors are not usable, two atoms stand at one place, a range or valence is impossible, or a
        species has neither a range nor a covalent radius.

    Warns
    -----
    RangeWarning
        If so many bonds exclude one another that the most probable graph is not proven: the ranges do not fit.

    Examples
    --------
    >>> import numpy as np
    >>> yx = np.array([[0.0, 0.0], [0.0, 1.42], [1.2, 2.1]])
    >>> bonds = find_bonds(yx, "C", ranges={("C", "C"): (1.2, 1.75)}, valences={"C": 3})
    >>> bonds.pairs.tolist()
    [[0, 1], [1, 2]]
    """
    points, cell = checked_positions(positions_yx), checked_cell(cell)
    names, code = _coded(species, len(points))
    covariances = _covariances(errors_yx, len(points))
    low, high = _range_table(names, ranges, tolerance)
    limit = np.array([_valence(valences, name) for name in names])
    if not np.isfinite(high).any():
        return Neighbors(np.zeros((0, 2), np.int64), np.zeros((0, 2)), np.zeros(0), len(points))
    near = neighbors_radius(points, float(np.nanmax(high)), cell=cell)
    _check_apart(near, ONE_PLACE * float(np.nanmin(high)))
    a, b = code[near.pairs].T
    inside = (near.distances > low[a, b]) & (near.distances < high[a, b])  # beyond its range p < 1/2 whatever the error
    near, low, high = near.select(inside), low[a, b][inside], high[a, b][inside]
    yes, no = _log_chances(near, low, high, covariances)
    likely = yes > no
    bonds = near.select(likely)._replace(probability=np.exp(yes[likely]))
    exclusive = np.concatenate([crossings(points, bonds, cell=cell), sharp_angles(bonds, least_angle_deg)])
    doubt = _doubts(names, doubts or {})[code]
    weight = _weights(yes[likely], no[likely], doubt[bonds.pairs].max(axis=1, initial=0.0))
    return bonds.select(_most_probable(bonds, weight, limit[code], exclusive, doubt > 0))


def crossings(positions_yx, neighbors: Neighbors, *, cell=None) -> np.ndarray:
    """Pairs (M, 2) of neighbour pairs whose lines cross between their ends.

    Parameters
    ----------
    positions_yx : (N, 2)
    neighbors : Neighbors
    cell : (2, 2), optional
        Rows are the vectors (y, x) by which the structure repeats.
    """
    if len(neighbors.pairs) < 2:
        return np.zeros((0, 2), np.int64)
    points = checked_positions(positions_yx, n_atoms=neighbors.n_atoms)
    middles = points[neighbors.pairs[:, 0]] + neighbors.vectors_yx / 2
    near = neighbors_radius(middles, float(neighbors.distances.max()), cell=cell)
    u, v = (neighbors.vectors_yx[near.pairs[:, k]] for k in (0, 1))
    span = _cross(u, v)
    span = np.where(np.abs(span) < 1e-9 * np.hypot(*u.T) * np.hypot(*v.T), 0.0, span)  # parallel lines never cross
    # the lines meet at the middle of the first + s u = the middle of the second + t v, inside both if |s|, |t| < 1/2
    inner = (0.5 - 1e-6) * np.abs(span)
    meet = (np.abs(_cross(near.vectors_yx, v)) < inner) & (np.abs(_cross(near.vectors_yx, u)) < inner)
    return near.pairs[meet]


def sharp_angles(neighbors: Neighbors, least_angle_deg: float) -> np.ndarray:
    """Pairs (M, 2) of neighbour pairs with an atom in common, at less than `least_angle_deg` degrees.

    Raises
    ------
    AtomnbError
        If the angle is not in [0, 180).
    """
    if not 0 <= least_angle_deg < 180:
        raise AtomnbError(f"least_angle_deg must be from 0 to below 180 degrees, got {least_angle_deg!r}.")
    if not least_angle_deg or len(neighbors.pairs) < 2:
        return np.zeros((0, 2), np.int64)
    source, _, vectors = neighbors.half_edges()
    angle = np.arctan2(*vectors.T)
    order = np.argsort(source + (angle + np.pi) / 7)  # by atom, then by angle
    source, angle, bond = source[order], angle[order], order % len(neighbors.pairs)
    starts = np.flatnonzero(np.diff(source, prepend=-1))
    count = np.diff(starts, append=len(source))
    start, count = np.repeat(starts, count), np.repeat(count, count)
    here = np.arange(len(source))
    found = [np.zeros((0, 2), np.int64)]
    for further in range(1, int(count.max())):  # round each atom the next bond, the one after it, ...
        here = here[count[here] > further]
        after = start[here] + (here - start[here] + further) % count[here]
        here, after = (
            side[(angle[after] - angle[here]) % (2 * np.pi) < np.radians(least_angle_deg)] for side in (here, after)
        )
        found.append(np.stack([bond[here], bond[after]], axis=1))
        if not len(here):
            break
    pairs = np.concatenate(found)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def _cross(u: np.ndarray, v: np.ndarray) -> np.ndarray:
    return u[:, 0] * v[:, 1] - u[:, 1] * v[:, 0]


def _coded(species, n_atoms: int) -> tuple[list[str], np.ndarray]:
    """The names that occur, and for each atom (N,) the number of its own."""
    names = np.asarray(species, str)
    if names.ndim == 0:
        names = np.full(n_atoms, names)
    if names.shape != (n_atoms,):
        raise AtomnbError(f"species must name each of the {n_atoms} atoms, got shape {names.shape}.")
    kinds, code = np.unique(names, return_inverse=True)
    return kinds.tolist(), code


def _covariances(errors_yx, n_atoms: int) -> np.ndarray:
    """Covariance (N, 2, 2) of each position, Å²."""
    if errors_yx is None:
        return np.zeros((n_atoms, 2, 2))
    errors = np.asarray(errors_yx, float)
    if errors.shape not in ((n_atoms, 2), (n_atoms, 2, 2)):
        raise AtomnbError(f"errors_yx must have the shape ({n_atoms}, 2) or ({n_atoms}, 2, 2), got {errors.shape}.")
    bad = np.flatnonzero(~np.isfinite(errors.reshape(n_atoms, errors[:1].size if n_atoms else 2)).all(axis=1))
    if len(bad) or (errors.ndim == 2 and (errors < 0).any()):
        where = f", the first rows that are not: {bad[:5].tolist()}" if len(bad) else ", some are negative"
        raise AtomnbError(f"errors_yx must be finite standard errors in Å{where}.")
    return errors if errors.ndim == 3 else errors[:, :, None] ** 2 * np.eye(2)


def _range_table(names: list[str], ranges: Mapping, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Shortest and longest bond (K, K) of each two names, NaN where they never bond."""
    known = _checked_ranges(ranges)
    mentioned = {name for pair in known for name in pair}
    unknown = [name for name in names if name not in mentioned and name not in COVALENT_RADII]
    if unknown:
        raise AtomnbError(
            f"nothing is known of the bonds of {', '.join(map(repr, unknown))}: neither is there a range for it in "
            f"`ranges` (which has {sorted(mentioned)}), nor a covalent radius. Add a range such as "
            f"{{({unknown[0]!r}, {unknown[0]!r}): (1.2, 1.8)}}, in Å."
        )
    table = np.full((2, len(names), len(names)), np.nan)
    for i, a in enumerate(names):
        for j, b in enumerate(names):
            by_radius = a in COVALENT_RADII and b in COVALENT_RADII
            by_default = bond_range(a, b, tolerance=tolerance) if by_radius else None
            found = known.get((a, b), by_default)
            if found is not None:
                table[:, i, j] = found
    return table[0], table[1]


def _checked_ranges(ranges: Mapping) -> dict[tuple[str, str], tuple[float, float] | None]:
    """The ranges in both orders of the names, or an error."""
    known: dict = {}
    for (a, b), given in ranges.items():
        value = None
        if given is not None:
            low, high = (float(end) for end in given)
            if not (np.isfinite(high) and 0 <= low < high):
                raise AtomnbError(
                    f"the range of {a}–{b} bonds is impossible: ({low:g}, {high:g}) Å. It must be (low, high) with "
                    "0 ≤ low < high."
                )
            value = (low, high)
        if known.get((b, a), value) != value:
            raise AtomnbError(f"the range of {a}–{b} bonds is given twice: {known[b, a]} and {value} Å. Leave one out.")
        known[a, b] = known[b, a] = value
    return known


def _valence(valences: Mapping[str, int], name: str) -> float:
    """Most bonds of an atom of this name; infinite without a limit."""
    limit = valences.get(name, np.inf)
    if not (limit >= 0 and (np.isinf(limit) or limit == int(limit))):
        raise AtomnbError(f"the valence of {name} must be a whole number of bonds, at least 0, got {limit!r}.")
    return limit


def _check_apart(near: Neighbors, least: float) -> None:
    """Raise where one atom was found twice."""
    twins = np.flatnonzero(near.distances < least)
    if len(twins):
        named = ", ".join(f"{i} and {j} ({near.distances[k]:.3f} Å)" for k in twins[:5] for i, j in [near.pairs[k]])
        raise AtomnbError(
            f"two atoms stand at one place: {named}; {len(twins)} pairs nearer than {least:.3f} Å in all. Leave one "
            "of each pair out, and check that positions are in Å."
        )


def _log_chances(near: Neighbors, low, high, covariances) -> tuple[np.ndarray, np.ndarray]:
    """Logarithms (E,) of the chance that the true distance lies in the range, and that it does not."""
    distance = near.distances
    along = near.vectors_yx / distance[:, None]
    both = covariances[near.pairs[:, 0]] + covariances[near.pairs[:, 1]]
    sigma = np.sqrt(np.einsum("ei,eij,ej->e", along, both, along) + SOFT_END**2)
    no = np.logaddexp(log_ndtr((distance - high) / sigma), log_ndtr((low - distance) / sigma))
    return np.log(-np.expm1(np.minimum(no, -1e-300))), no


def _doubts(names: list[str], doubts: Mapping[str, float]) -> np.ndarray:
    """Doubt (K,) about the bonds of atoms of each name; a bond has the greater of its two ends."""
    if not all(0 <= doubt < 0.5 for doubt in doubts.values()):
        raise AtomnbError(f"doubts are chances from 0 to below 0.5, got {dict(doubts)}.")
    return np.array([doubts.get(name, 0.0) for name in names])


def _weights(yes: np.ndarray, no: np.ndarray, doubt: np.ndarray) -> np.ndarray:
    """log-odds (E,) of each bond under the doubt; of two alike the one deeper in its range counts a trace more."""
    with np.errstate(divide="ignore"):
        sure, unsure = np.log1p(-doubt), np.log(doubt)
    odds = np.logaddexp(sure + yes, unsure + no) - np.logaddexp(sure + no, unsure + yes)
    return odds + 1e-6 * (yes - no)


class _Conflicts(NamedTuple):
    """Rules "of these bonds at most so many": entries (K,) rule and bond, and the limit of each rule."""

    rule: np.ndarray
    bond: np.ndarray
    limit: np.ndarray


def _most_probable(bonds: Neighbors, weight, limit, crossing: np.ndarray, doubtful: np.ndarray) -> np.ndarray:
    """Mask (E,) of the bonds of the allowed graph with the largest sum of weights (E,), all of which are positive.

    `limit` (N,) most bonds of each atom, `doubtful` (N,) which of them should not be left without one
    """
    conflicts = _conflicts(bonds, limit, crossing)
    keep = np.ones(len(weight), bool)
    for part in _independent(conflicts, len(weight)):
        involved, column = np.unique(part.bond, return_inverse=True)
        rules = csr_matrix((np.ones(len(column)), (part.rule, column)), shape=(len(part.limit), len(involved)))
        keep[involved] = _best_subset(weight[involved], rules, part.limit, _at_stake(bonds, involved, doubtful))
    return keep


def _at_stake(bonds: Neighbors, involved: np.ndarray, doubtful: np.ndarray) -> csr_matrix:
    """Of the doubtful atoms all of whose bonds are involved (rows), which of these bonds they have (columns)."""
    ends = bonds.pairs[involved].ravel()
    atoms, row, count = np.unique(ends, return_inverse=True, return_counts=True)
    table = csr_matrix((np.ones(len(row)), (row, np.repeat(np.arange(len(involved)), 2))), (len(atoms), len(involved)))
    return table[doubtful[atoms] & (count == bonds.coordination[atoms])]


def _conflicts(bonds: Neighbors, limit: np.ndarray, crossing: np.ndarray) -> _Conflicts:
    """Atoms with more bonds than they may have, and pairs of bonds of which only one can be."""
    full = bonds.coordination > limit
    atom = bonds.pairs.ravel()
    bond = np.repeat(np.arange(len(bonds.pairs)), 2)
    over = np.flatnonzero(full[atom])
    number = np.cumsum(full) - 1
    first = int(full.sum())
    rule = np.concatenate([number[atom[over]], first + np.repeat(np.arange(len(crossing)), 2)])
    limits = np.concatenate([limit[full], np.ones(len(crossing))])
    return _Conflicts(rule, np.concatenate([bond[over], crossing.ravel()]), limits)


def _independent(conflicts: _Conflicts, n_bonds: int) -> list[_Conflicts]:
    """The rules in groups that have no bond in common, numbered from 0 in each."""
    n_rules = len(conflicts.limit)
    if not n_rules:
        return []
    graph = coo_matrix(
        (np.ones(len(conflicts.rule), bool), (conflicts.rule, n_rules + conflicts.bond)), shape=(n_rules + n_bonds,) * 2
    )
    label = connected_components(graph, directed=False)[1]
    order = np.lexsort((conflicts.rule, label[conflicts.rule]))
    rule, bond = conflicts.rule[order], conflicts.bond[order]
    cuts = np.flatnonzero(np.diff(label[rule])) + 1
    parts = []
    for rules, members in zip(np.split(rule, cuts), np.split(bond, cuts), strict=True):
        here, number = np.unique(rules, return_inverse=True)
        parts.append(_Conflicts(number, members, conflicts.limit[here]))
    return parts


def _best_subset(weight: np.ndarray, rules: csr_matrix, limit: np.ndarray, atoms: csr_matrix) -> np.ndarray:
    """Mask (m,) of the subset of largest weight that keeps all rules; each of the atoms with a bond adds to it."""
    bonded = np.log((1 - LONELY) / LONELY)
    if len(weight) <= FEW_BONDS:
        subsets = (np.arange(2 ** len(weight))[:, None] >> np.arange(len(weight))) & 1
        allowed = (rules @ subsets.T <= limit[:, None]).all(axis=0)
        total = subsets @ weight + bonded * (atoms @ subsets.T > 0).sum(axis=0)
        return subsets[np.argmax(np.where(allowed, total, -1))].astype(bool)
    n = atoms.shape[0]  # one more unknown for each of these atoms: 1 only if it has a bond
    found = milp(
        -np.concatenate([weight, np.full(n, bonded)]),
        integrality=np.ones(len(weight) + n),
        bounds=Bounds(0, 1),
        constraints=[
            LinearConstraint(hstack([rules, csr_matrix((rules.shape[0], n))]), -np.inf, limit),
            LinearConstraint(hstack([-atoms, identity(n)]), -np.inf, 0),
        ],
        options={"mip_rel_gap": 0.0, "node_limit": max(1, int(WORK / len(weight) ** 2))},
    )
    if found.status != 0:
        warn(
            f"{len(weight)} possible bonds exclude one another, and many choices are as good: those drawn may not be "
            "the most probable. Check that the rules and the pixel size fit the material.",
            RangeWarning,
            stacklevel=2,
        )
    return np.zeros(len(weight), bool) if found.x is None else found.x[: len(weight)] > 0.5
