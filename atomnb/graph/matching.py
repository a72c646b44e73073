"""Which atom of one structure is which of another: assignment over rotations, mirror images and shifts."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment
from scipy.spatial import cKDTree

from atomnb.errors import AtomnbError
from atomnb.graph.deformation import turn_matrix

_ANCHORS = 3
_ARMS = 4
_REFINED = 12
_STEPS = 20
_FEW_HOMES = 40


class Placement(NamedTuple):
    """A rigid motion in the plane: a mirror x → −x first if `mirrored`, a turn from +x toward +y, a shift (y, x)."""

    angle_rad: float
    mirrored: bool
    shift_yx: np.ndarray

    @property
    def matrix(self) -> np.ndarray:
        """The (2, 2) matrix that acts on (y, x) before the shift."""
        return turn_matrix(np.array([self.angle_rad]))[0] @ np.diag([1.0, -1.0 if self.mirrored else 1.0])

    def apply(self, points_yx) -> np.ndarray:
        """The points (N, 2) moved."""
        return np.asarray(points_yx, float) @ self.matrix.T + self.shift_yx

    def undo(self, points_yx) -> np.ndarray:
        """The points (N, 2) moved back."""
        return (np.asarray(points_yx, float) - self.shift_yx) @ self.matrix


class Match(NamedTuple):
    """Atoms of a moving structure laid on a fixed one.

    pairs : (K, 2) int, atom of the moving and of the fixed structure
    placement : how the moving one is laid on the fixed one
    rmsd : root mean square distance of the pairs then, in the unit of the positions
    """

    pairs: np.ndarray
    placement: Placement
    rmsd: float


def match_structures(
    moving_yx, moving_species, fixed_yx, fixed_species, *, mirror: bool = True, tolerance: float = 0.7
) -> Match:
    """Lay one structure on another and say which atoms correspond.

    Parameters
    ----------
    moving_yx, fixed_yx : arrays (N, 2), (M, 2)
        Å. The fixed structure may hold more atoms (a cell around the defect), and either may lack some.
    moving_species, fixed_species : sequences of str
        Only atoms of the same species correspond.
    mirror : bool
        Whether the moving structure may be turned over.
    tolerance : float
        Å; atoms farther apart than this do not correspond.

    Returns
    -------
    Match
        The placement with the smallest sum of squared distances, an atom without partner counting tolerance².

    Raises
    ------
    AtomnbError
        If either structure has no atoms, or no two atoms of one can lie on two of the other.

    Notes
    -----
    Candidates lay a rare atom and one near it on every like pair; the most promising are refined by Hungarian
    assignment and least squares in turn. Nothing depends on the order of the atoms.

    Examples
    --------
    >>> import numpy as np
    >>> shape = np.array([[0, 0], [0, 1.8], [1.5, -1.0], [-1.2, -1.2]])
    >>> found = match_structures(shape[::-1], "CCCA", Placement(0.7, True, np.array([3.0, 1.0])).apply(shape), "ACCC")
    >>> found.pairs.tolist(), round(found.placement.angle_rad, 6), found.placement.mirrored
    ([[0, 3], [1, 2], [2, 1], [3, 0]], 0.7, True)
    """
    moving, fixed = (np.asarray(p, float).reshape(-1, 2) for p in (moving_yx, fixed_yx))
    names = [str(s) for s in moving_species], [str(s) for s in fixed_species]
    _check(moving, fixed, names, tolerance)
    _, codes = np.unique([*names[0], *names[1]], return_inverse=True)
    moving_code, fixed_code = codes[: len(moving)], codes[len(moving) :]
    tree = cKDTree(np.column_stack([fixed, 1e3 * tolerance * fixed_code]))
    best = None
    for flipped in (False, True) if mirror else (False,):
        flip = np.array([1.0, -1.0 if flipped else 1.0])
        angles, shifts = _candidates(moving * flip, moving_code, fixed, fixed_code, tolerance)
        for k in _most_promising(moving * flip, moving_code, tree, angles, shifts, tolerance):
            found = _refined(moving, fixed, moving_code, fixed_code, flipped, angles[k], shifts[k], tolerance)
            if best is None or found[0] < best[0] - 1e-12:
                best = found
    if best is None:
        moving_kinds, fixed_kinds = (dict(Counter(n)) for n in names)
        raise AtomnbError(
            f"the structures cannot be laid on one another: no two atoms of {moving_kinds} are as far apart as two "
            f"like ones of {fixed_kinds}, within {tolerance} Å. Check species and scale."
        )
    return best[1]


def refine_match(
    placement: Placement, moving_yx, moving_species, fixed_yx, fixed_species, *, tolerance: float = 0.7
) -> Match:
    """The match that assignment and least squares in turn reach from a placement known already.

    Parameters
    ----------
    placement : Placement
        Nearly right, from a part of the atoms for instance.
    moving_yx, moving_species, fixed_yx, fixed_species, tolerance : as for `match_structures`
    """
    moving, fixed = (np.asarray(p, float).reshape(-1, 2) for p in (moving_yx, fixed_yx))
    names = [str(s) for s in moving_species], [str(s) for s in fixed_species]
    _check(moving, fixed, names, tolerance)
    codes = np.unique([*names[0], *names[1]], return_inverse=True)[1]
    return _refined(
        moving, fixed, codes[: len(moving)], codes[len(moving) :], placement.mirrored, placement.angle_rad,
        placement.shift_yx, tolerance,
    )[1]  # fmt: skip


def best_placement(moving_yx, fixed_yx, *, mirrored: bool = False, weights=None) -> Placement:
    """The rigid motion that lays points (N, 2) on their partners (N, 2) by least squares.

    Parameters
    ----------
    moving_yx, fixed_yx : arrays (N, 2)
    mirrored : bool
        Whether the moving points are turned over first.
    weights : array (N,), optional
    """
    flip = np.array([1.0, -1.0 if mirrored else 1.0])
    moving, fixed = np.asarray(moving_yx, float) * flip, np.asarray(fixed_yx, float)
    weights = np.ones(len(moving)) if weights is None else np.asarray(weights, float)
    centre, target = (np.average(p, axis=0, weights=weights) for p in (moving, fixed))
    a, b = moving - centre, fixed - target
    sine = (weights * (a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1])).sum()
    cosine = (weights[:, None] * a * b).sum()
    placement = Placement(float(np.arctan2(sine, cosine)), mirrored, np.zeros(2))
    return placement._replace(shift_yx=target - placement.apply(np.average(moving_yx, axis=0, weights=weights)))


def _check(moving, fixed, names, tolerance) -> None:
    for points, species in zip((moving, fixed), names, strict=True):
        if len(points) != len(species):
            raise AtomnbError(f"{len(species)} species are given for {len(points)} atoms: give one for each.")
        if not len(points):
            raise AtomnbError("a structure without atoms cannot be laid on another.")
        if not np.isfinite(points).all():
            raise AtomnbError("the positions hold NaN or infinite values: leave those atoms out.")
    if not tolerance > 0:
        raise AtomnbError(f"tolerance must be a positive length in Å, got {tolerance!r}.")


def _candidates(moving, moving_code, fixed, fixed_code, tolerance) -> tuple[np.ndarray, np.ndarray]:
    """Angles (C,) and shifts (C, 2) that lay an anchor and an arm of the moving atoms on like pairs of the fixed."""
    if len(moving) == 1 or len(fixed) == 1:
        like = fixed[np.isin(fixed_code, moving_code)]
        return np.zeros(len(like)), like - moving[0]
    angles, shifts = [np.zeros(0)], [np.zeros((0, 2))]
    number = np.bincount(fixed_code, minlength=int(moving_code.max()) + 1)[moving_code].astype(float)
    number[number == 0] = np.inf  # such atoms have no home
    from_centre = np.hypot(*(moving - moving.mean(axis=0)).T)
    anchors = np.flatnonzero(number == number.min())
    for anchor in anchors[np.argsort(from_centre[anchors], kind="stable")][:_ANCHORS]:
        reach = np.hypot(*(moving - moving[anchor]).T)
        arms = set(np.argsort(reach)[1 : 1 + _ARMS].tolist())
        if number[anchor] <= _FEW_HOMES:
            arms.add(int(np.argmax(reach)))
        for arm in arms:
            if reach[arm] == 0:
                continue
            homes = fixed[fixed_code == moving_code[anchor]]
            home, vector = _like_vectors(homes, fixed[fixed_code == moving_code[arm]], reach[arm], tolerance)
            own = moving[arm] - moving[anchor]
            angle = np.arctan2(vector[:, 0], vector[:, 1]) - np.arctan2(own[0], own[1])
            angles.append(angle)
            shifts.append(homes[home] - (turn_matrix(angle) @ moving[anchor]))
    return np.concatenate(angles), np.concatenate(shifts)


def _like_vectors(homes, ends, length: float, tolerance: float) -> tuple[np.ndarray, np.ndarray]:
    """Vectors (V, 2) of about a given length from homes to ends, and the homes' numbers (V,)."""
    slack = min(tolerance, 0.4 * length)
    if not len(homes) or not len(ends):
        return np.zeros(0, int), np.zeros((0, 2))
    near = cKDTree(ends).query_ball_point(homes, length + slack)
    home = np.repeat(np.arange(len(homes)), [len(n) for n in near])
    end = np.fromiter((k for n in near for k in n), int, len(home))
    vector = ends[end] - homes[home]
    fits = np.hypot(*vector.T) > length - slack
    return home[fits], vector[fits]


def _most_promising(moving, moving_code, tree, angles, shifts, tolerance) -> np.ndarray:
    """The candidates with the smallest cost when each atom may take the nearest partner, unlike ones."""
    if not len(angles):
        return np.zeros(0, int)
    laid = np.einsum("cab,nb->cna", turn_matrix(angles), moving) + shifts[:, None]
    layer = np.broadcast_to(1e3 * tolerance * moving_code[None, :, None], (*laid.shape[:2], 1))
    distance, _ = tree.query(np.concatenate([laid, layer], axis=2), distance_upper_bound=tolerance)
    cost = np.minimum(distance, tolerance) ** 2
    order = np.argsort(cost.sum(axis=1), kind="stable")
    chosen: list[int] = []
    for k in order:
        middle = laid[k].mean(axis=0)
        apart = all(
            np.hypot(*(laid[c].mean(axis=0) - middle)) > 0.1 * tolerance
            or np.abs(np.angle(np.exp(1j * (angles[c] - angles[k])))) > 0.05
            for c in chosen
        )
        if apart:
            chosen.append(int(k))
        if len(chosen) == _REFINED:
            break
    return np.array(chosen, int)


def _refined(moving, fixed, moving_code, fixed_code, flipped, angle, shift, tolerance) -> tuple[float, Match]:
    """Assignment and least squares in turn until the assignment stays."""
    placement, pairs = Placement(float(angle), flipped, np.asarray(shift)), None
    for _ in range(_STEPS):
        laid = placement.apply(moving)
        middle = (laid.max(axis=0) + laid.min(axis=0)) / 2
        near = np.flatnonzero((np.abs(fixed - middle) <= np.ptp(laid, axis=0) / 2 + tolerance).all(axis=1))
        square = ((laid[:, None] - fixed[near][None]) ** 2).sum(axis=2)
        unlike = moving_code[:, None] != fixed_code[near][None]
        cost = np.where(unlike, tolerance**2, np.minimum(square, tolerance**2))
        rows, columns = linear_sum_assignment(cost)
        real = cost[rows, columns] < tolerance**2
        new = np.stack([rows[real], near[columns[real]]], axis=1)
        if pairs is not None and np.array_equal(new, pairs):
            break
        pairs = new
        if len(pairs) >= 2:
            placement = best_placement(moving[pairs[:, 0]], fixed[pairs[:, 1]], mirrored=flipped)
    left = placement.apply(moving[pairs[:, 0]]) - fixed[pairs[:, 1]]
    total = (left**2).sum() + tolerance**2 * (len(moving) - len(pairs))
    rmsd = float(np.sqrt((left**2).sum() / max(len(pairs), 1)))
    angle = float(np.angle(np.exp(1j * placement.angle_rad)))
    return float(total), Match(pairs, placement._replace(angle_rad=angle), rmsd)
