"""Bonded networks: relaxation of bond lengths and angles by springs, in a box that repeats."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import cKDTree


class Network(NamedTuple):
    """Atoms and the springs between them.

    positions : (N, 3) Å
    lengths : (3,) Å, box edges; np.inf along an axis that does not repeat
    bonds : (M, 2) int
    rest : (M,) Å, natural lengths
    strength : (M,) eV/Å², stiffness of the bonds
    angles : (K, 3) int, neighbour, centre, neighbour
    cosine : (K,) natural cosines
    planar : (P, 2) int, an atom that wants to lie as high as its neighbours on the mean, and one of these
    """

    positions: np.ndarray
    lengths: np.ndarray
    bonds: np.ndarray
    rest: np.ndarray
    strength: np.ndarray
    angles: np.ndarray
    cosine: np.ndarray
    planar: np.ndarray


ANGLE_STRENGTH = 4.0
"""eV per unit of cosine squared: about that of sp² carbon beside BOND_STRENGTH."""

BOND_STRENGTH = 30.0
"""eV/Å²: a C–C bond of graphene has about 40, a C–Si bond about 15."""

PLANE_STRENGTH = 15.0
"""eV/Å² that holds an sp² atom in the plane of its neighbours."""

FLAT_STRENGTH = 1.0
"""eV/Å² that holds an sp² atom in the plane of the sheet: a stretched sheet does not rise into a cone."""


def pairs_within(positions: np.ndarray, lengths: np.ndarray, cutoff: float) -> np.ndarray:
    """Pairs (M, 2) of points nearer than `cutoff`, across the edges that repeat (finite lengths)."""
    span = np.ptp(positions, axis=0) + 2 * cutoff + 1
    box = np.where(np.isfinite(lengths), lengths, span)
    shifted = positions - np.where(np.isfinite(lengths), 0, positions.min(axis=0))
    inside = np.mod(shifted, box)
    inside[inside >= box] = 0
    return cKDTree(inside, boxsize=box).query_pairs(min(cutoff, box.min() / 2.001), output_type="ndarray")


def minimum_image(offset: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Offsets (N, 3) by the shortest way round the box."""
    return offset - np.where(np.isfinite(lengths), lengths, 0) * np.round(offset / lengths)


def relax(network: Network, *, free: np.ndarray | None = None, steps: int = 300, force: float = 0.01) -> np.ndarray:
    """Positions (N, 3) of least spring energy near the given ones.

    Parameters
    ----------
    free : (N,) bool, atoms that may move; None means all
    steps : at most this many steps of L-BFGS
    force : eV/Å, the largest force left
    """
    moving = np.ones(len(network.positions), bool) if free is None else free
    if not moving.any():
        return network.positions.copy()
    part, atoms = _part(network, moving)
    inner = moving[atoms]

    def energy(x):
        positions = part.positions.copy()
        positions[inner] = x.reshape(-1, 3)
        value, gradient = spring_energy(part, positions)
        return value, gradient[inner].ravel()

    options = {"maxiter": steps, "gtol": force}
    found = minimize(energy, part.positions[inner].ravel(), jac=True, method="L-BFGS-B", options=options)
    out = network.positions.copy()
    out[atoms[inner]] = found.x.reshape(-1, 3)
    return out


def _part(network: Network, moving: np.ndarray) -> tuple[Network, np.ndarray]:
    """The springs that touch moving atoms, and the atoms (N,) they join."""
    bonded, bent = moving[network.bonds].any(axis=1), moving[network.angles].any(axis=1)
    level = np.isin(network.planar[:, 0], network.planar[moving[network.planar].any(axis=1), 0])
    terms = (network.bonds[bonded], network.angles[bent], network.planar[level])
    atoms = np.unique(np.concatenate([*(term.ravel() for term in terms), np.flatnonzero(moving)]))
    number = np.zeros(len(moving), int)
    number[atoms] = np.arange(len(atoms))
    bonds, angles, planar = (number[term] for term in terms)
    part = network._replace(
        positions=network.positions[atoms], bonds=bonds, rest=network.rest[bonded], strength=network.strength[bonded],
        angles=angles, cosine=network.cosine[bent], planar=planar,
    )  # fmt: skip
    return part, atoms


def spring_energy(network: Network, positions: np.ndarray) -> tuple[float, np.ndarray]:
    """Energy (eV) and its gradient (N, 3) in eV/Å: bonds, angles, planes."""
    gradient = np.zeros_like(positions)
    total = _bond_energy(network, positions, gradient)
    total += _angle_energy(network, positions, gradient)
    return total + _plane_energy(network, positions, gradient), gradient


def _add(gradient: np.ndarray, index: np.ndarray, values: np.ndarray) -> None:
    """gradient[index] += values, repeated indices summed."""
    for k in range(3):
        gradient[:, k] += np.bincount(index, values[:, k], len(gradient))


def _bond_energy(network: Network, positions, gradient) -> float:
    i, j = network.bonds.T
    offset = minimum_image(positions[i] - positions[j], network.lengths)
    length = np.linalg.norm(offset, axis=1)
    stretch = length - network.rest
    pull = (network.strength * stretch / length)[:, None] * offset
    _add(gradient, i, pull)
    _add(gradient, j, -pull)
    return float((network.strength * stretch**2).sum() / 2)


def _angle_energy(network: Network, positions, gradient) -> float:
    i, j, k = network.angles.T
    first = minimum_image(positions[i] - positions[j], network.lengths)
    second = minimum_image(positions[k] - positions[j], network.lengths)
    a, b = np.linalg.norm(first, axis=1)[:, None], np.linalg.norm(second, axis=1)[:, None]
    u, v = first / a, second / b
    cosine = (u * v).sum(axis=1, keepdims=True)
    off = cosine - network.cosine[:, None]
    on_i, on_k = ANGLE_STRENGTH * off * (v - cosine * u) / a, ANGLE_STRENGTH * off * (u - cosine * v) / b
    _add(gradient, i, on_i)
    _add(gradient, k, on_k)
    _add(gradient, j, -on_i - on_k)
    return float(ANGLE_STRENGTH * (off**2).sum() / 2)


def _plane_energy(network: Network, positions, gradient) -> float:
    """An atom's height over the mean of its neighbours' and, weakly, over the plane z = 0 of the sheet."""
    centre, neighbour = network.planar.T
    n = len(positions)
    share = 1 / np.maximum(np.bincount(centre, minlength=n), 1)
    above = positions[centre, 2] - positions[neighbour, 2]
    height = np.bincount(centre, above, n) * share
    pull = PLANE_STRENGTH * height
    held = np.zeros(n)
    held[centre] = FLAT_STRENGTH * positions[centre, 2]
    gradient[:, 2] += pull - np.bincount(neighbour, (pull * share)[centre], n) + held
    return float(PLANE_STRENGTH * (height**2).sum() + (held * positions[:, 2]).sum()) / 2
