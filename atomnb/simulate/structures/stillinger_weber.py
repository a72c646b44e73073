"""Molecular dynamics of tetrahedral networks: the Stillinger–Weber potential fitted to amorphous silicon."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize
from scipy.spatial import cKDTree

from atomnb.simulate.structures.base import wrap

BOLTZMANN = 8.617333e-5
"""eV/K"""

STEP = 0.15
"""Time step in units of Å √(u/eV) = 10.18 fs."""

FRICTION = 0.15
"""Langevin friction per unit of time."""

SKIN = 0.6
"""Å beyond the range within which neighbours are listed."""

NEW_LIST = 8
"""Steps between two lists of neighbours."""


class Potential(NamedTuple):
    """Strength (eV), length (Å), weight of the angles, and mass (u)."""

    epsilon: float
    sigma: float
    weight: float
    mass: float


POTENTIALS = {"Si": Potential(1.64833, 2.0951, 31.5, 28.085), "Ge": Potential(1.5, 2.181, 31.5, 72.63)}
"""Si: Vink et al., J. Non-Cryst. Solids 282, 248 (2001); Ge: the same form at germanium's bond length."""

A, B, RANGE, GAMMA = 7.049556277, 0.6022245584, 1.80, 1.20


class Arms(NamedTuple):
    """Directed neighbour list: atom (M,), neighbour (M,), and the way round the box to add to their distance (M, 3)."""

    centre: np.ndarray
    other: np.ndarray
    shift: np.ndarray


def arms_of(positions: np.ndarray, lengths: np.ndarray, reach: float) -> Arms:
    """Everything within `reach` Å of each atom, in a box that repeats."""
    pairs = cKDTree(wrap(positions, lengths), boxsize=lengths).query_pairs(reach, output_type="ndarray")
    both = np.concatenate([pairs, pairs[:, ::-1]])
    both = both[np.argsort(both[:, 0], kind="stable")]
    gap = positions[both[:, 1]] - positions[both[:, 0]]
    return Arms(both[:, 0], both[:, 1], -lengths * np.round(gap / lengths))


def energy_and_gradient(positions: np.ndarray, potential: Potential, arms: Arms) -> tuple[float, np.ndarray]:
    """Energy (eV) and its gradient (N, 3) eV/Å.

    The sum over pairs of neighbours of g g' (cos θ + 1/3)² is written with the sums S = Σ g, V = Σ g u and
    T = Σ g u uᵀ over single neighbours, so that its cost grows with the neighbours, not with their pairs.
    """
    vector = positions[arms.other] - positions[arms.centre] + arms.shift
    square = np.einsum("md,md->m", vector, vector)
    near = square < (0.9999 * RANGE * potential.sigma) ** 2
    i, j, vector = arms.centre[near], arms.other[near], vector[near]
    length = np.sqrt(square[near])
    u, r = vector / length[:, None], length / potential.sigma
    pair, pair_slope = _pair(r)
    along = 0.5 * pair_slope / potential.sigma * potential.epsilon
    three, on_arm = _angles(i, u, r, length, len(positions), potential)
    on_arm += along[:, None] * u
    gradient = np.empty_like(positions)
    for axis in range(3):
        gradient[:, axis] = np.bincount(j, on_arm[:, axis], len(positions))
        gradient[:, axis] -= np.bincount(i, on_arm[:, axis], len(positions))
    return float(potential.epsilon * pair.sum() / 2 + three), gradient


def _pair(r: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Energy of a bond and its slope, in reduced units."""
    tail = np.exp(1 / (r - RANGE))
    value = A * (B * r**-4 - 1) * tail
    return value, -4 * A * B * r**-5 * tail - value / (r - RANGE) ** 2


def _angles(i, u, r, length, n: int, potential: Potential) -> tuple[float, np.ndarray]:
    """Energy (eV) of all angles and its slope (M, 3) eV/Å on each arm."""
    g = np.exp(GAMMA / (r - RANGE))
    slope = -GAMMA * g / (r - RANGE) ** 2 / potential.sigma
    total = np.bincount(i, g, n)
    mean = np.stack([np.bincount(i, g * u[:, a], n) for a in range(3)], axis=1)
    spread = np.empty((n, 3, 3))
    for a in range(3):
        for b in range(a + 1):
            spread[:, a, b] = spread[:, b, a] = np.bincount(i, g * u[:, a] * u[:, b], n)
    half = potential.epsilon * potential.weight / 2
    energy = half * float((spread**2).sum() + 2 / 3 * (mean**2).sum() + (total**2).sum() / 9 - 16 / 9 * (g**2).sum())
    turned = np.einsum("mab,mb->ma", spread[i], u)
    along = 2 * (turned * u).sum(axis=1) + 4 / 3 * (mean[i] * u).sum(axis=1) + 2 / 9 * total[i] - 32 / 9 * g
    across = 4 * turned + 4 / 3 * mean[i]
    across -= (across * u).sum(axis=1)[:, None] * u
    return energy, half * ((along * slope)[:, None] * u + (g / length)[:, None] * across)


def anneal(
    positions: np.ndarray,
    lengths: np.ndarray,
    potential: Potential,
    *,
    kelvin: np.ndarray,
    free: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Positions (N, 3) after Langevin dynamics at one temperature per step, then brought to rest.

    Parameters
    ----------
    kelvin : (steps,) temperature of each step
    free : (N,) bool, atoms that move
    """
    positions = positions.copy()
    reach = RANGE * potential.sigma + SKIN
    speed = rng.normal(size=positions.shape) * (BOLTZMANN * kelvin[0] / potential.mass) ** 0.5 * free[:, None]
    keep = np.exp(-FRICTION * STEP)
    arms = arms_of(positions, lengths, reach)
    force = -energy_and_gradient(positions, potential, arms)[1] * free[:, None]
    for step, temperature in enumerate(kelvin):
        speed += force * (STEP / 2 / potential.mass)
        positions += speed * (STEP / 2)
        kick = ((1 - keep**2) * BOLTZMANN * temperature / potential.mass) ** 0.5
        speed = keep * speed + kick * rng.normal(size=speed.shape) * free[:, None]
        positions += speed * (STEP / 2)
        if step % NEW_LIST == 0:
            arms = arms_of(positions, lengths, reach)
        force = -energy_and_gradient(positions, potential, arms)[1] * free[:, None]
        speed += force * (STEP / 2 / potential.mass)
    return at_rest(positions, lengths, potential, free=free)


def at_rest(positions: np.ndarray, lengths: np.ndarray, potential: Potential, *, free: np.ndarray) -> np.ndarray:
    """Positions (N, 3) of the nearest minimum of the energy."""
    reach = RANGE * potential.sigma + 2 * SKIN
    for _ in range(2):
        arms = arms_of(positions, lengths, reach)
        start = positions.copy()

        def cost(x, start=start, arms=arms):
            moved = start.copy()
            moved[free] = x.reshape(-1, 3)
            value, gradient = energy_and_gradient(moved, potential, arms)
            return value, gradient[free].ravel()

        found = minimize(cost, start[free].ravel(), jac=True, method="L-BFGS-B", options={"maxiter": 80, "gtol": 0.02})
        positions = start
        positions[free] = found.x.reshape(-1, 3)
    return wrap(positions, lengths)
