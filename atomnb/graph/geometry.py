"""Bond lengths and angles from plain arrays of positions and pairs, each with its standard error."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class Measured(NamedTuple):
    """Values with errors: `atoms` (M, 2 or 3) int, `value` (M,) Å or rad, `error` (M,) 1σ."""

    atoms: np.ndarray
    value: np.ndarray
    error: np.ndarray


def bond_lengths(positions_yx, pairs, errors_yx=None) -> Measured:
    """Length of each bond.

    Parameters
    ----------
    positions_yx : array (N, 2)
        Å.
    pairs : int array (E, 2)
    errors_yx : array (N, 2), optional
        Standard errors, independent; without them the errors are NaN.

    Examples
    --------
    >>> bond_lengths([[0, 0], [3, 4]], [[0, 1]], [[0.1, 0.1], [0.0, 0.0]]).error.round(3).tolist()
    [0.1]
    """
    yx, pairs, variance = _arrays(positions_yx, pairs, errors_yx, 2)
    vector = yx[pairs[:, 1]] - yx[pairs[:, 0]]
    length = np.hypot(*vector.T)
    unit = vector / length[:, None]
    error = np.sqrt((unit**2 * (variance[pairs[:, 0]] + variance[pairs[:, 1]])).sum(axis=1))
    return Measured(pairs, length, error)


def bond_angles(positions_yx, pairs, errors_yx=None) -> Measured:
    """Angle at each atom between any two of its bonds, rad in (0, π].

    Parameters
    ----------
    positions_yx, pairs, errors_yx : as for `bond_lengths`

    Returns
    -------
    Measured
        `atoms` are (end, vertex, end).
    """
    turned = turn_angles(positions_yx, angle_triples(pairs), errors_yx)
    return turned._replace(value=np.minimum(turned.value, 2 * np.pi - turned.value))


def turn_angles(positions_yx, triples, errors_yx=None) -> Measured:
    """Angle at a vertex from one end to the other in the sense from x toward y, rad in [0, 2π).

    Parameters
    ----------
    positions_yx, errors_yx : as for `bond_lengths`
    triples : int array (M, 3)
        (end, vertex, end).

    Examples
    --------
    >>> turn_angles([[0, 1], [0, 0], [1, 0]], [[0, 1, 2], [2, 1, 0]]).value.round(3).tolist()
    [1.571, 4.712]
    """
    yx, triples, variance = _arrays(positions_yx, triples, errors_yx, 3)
    first, second = yx[triples[:, 0]] - yx[triples[:, 1]], yx[triples[:, 2]] - yx[triples[:, 1]]
    cross = first[:, 1] * second[:, 0] - first[:, 0] * second[:, 1]
    angle = np.arctan2(cross, (first * second).sum(axis=1)) % (2 * np.pi)
    # an end moves the angle across its bond, by 1 / length; the vertex by both at once, against them
    by_first, by_second = -_across(first), _across(second)
    slopes = (by_first, -by_first - by_second, by_second)
    squares = (slope**2 * variance[triples[:, k]] for k, slope in enumerate(slopes))
    return Measured(triples, angle, np.sqrt(sum(squares).sum(axis=1)))


def angle_triples(pairs) -> np.ndarray:
    """(end, vertex, end) of any two bonds that share an atom, (M, 3), ordered by vertex."""
    bonds: dict[int, list[int]] = {}
    for a, b in np.asarray(pairs, int).reshape(-1, 2).tolist():
        bonds.setdefault(a, []).append(b)
        bonds.setdefault(b, []).append(a)
    triples = [
        (ends[i], vertex, ends[j])
        for vertex, ends in sorted((v, sorted(e)) for v, e in bonds.items())
        for i in range(len(ends))
        for j in range(i + 1, len(ends))
    ]
    return np.array(triples, int).reshape(-1, 3)


def _across(vector: np.ndarray) -> np.ndarray:
    """Change of the vector's direction (from x toward y) when its end moves by (dy, dx)."""
    square = (vector**2).sum(axis=1, keepdims=True)
    return np.stack([vector[:, 1], -vector[:, 0]], axis=1) / square


def _arrays(positions_yx, pairs, errors_yx, width: int):
    yx = np.asarray(positions_yx, float).reshape(-1, 2)
    pairs = np.asarray(pairs, int).reshape(-1, width)
    variance = np.full(yx.shape, np.nan) if errors_yx is None else np.asarray(errors_yx, float) ** 2
    return yx, pairs, variance
