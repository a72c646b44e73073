"""Simulated columns for the tests of this folder: exact truth, Poisson counts."""

from types import SimpleNamespace

import numpy as np
import pytest
from scipy.special import erf


def render(positions, sigma, counts, shape, background=0.0):
    """Expected counts of Gaussian columns integrated over the pixels; positions and sigma in px."""
    positions = np.asarray(positions, float)
    gy, gx = (
        np.diff(erf((np.arange(size + 1) - 0.5 - positions[:, axis, None]) / (sigma * np.sqrt(2)))) / 2
        for axis, size in enumerate(shape)
    )
    return np.full(shape, float(background)) + (np.broadcast_to(counts, len(positions)) * gy.T) @ gx


def square_lattice(side, step, rng, spread=0.0):
    """Nodes of a square lattice (side², 2) in px, and the same displaced by a normal `spread`."""
    nodes = np.stack(np.meshgrid(*[np.arange(1, side + 1) * step] * 2, indexing="ij"), -1).reshape(-1, 2)
    nodes = nodes + rng.uniform(-0.5, 0.5, 2)
    return nodes, nodes + rng.normal(0, spread, nodes.shape)


def lattice_image(rng, *, side=24, step=20.0, sigma=2.0, counts=1000, background=1.0, spread=1.0):
    """Counts (H, W), true positions and nodes of a displaced square lattice."""
    nodes, truth = square_lattice(side, step, rng, spread)
    size = int((side + 1) * step)
    return rng.poisson(render(truth, sigma, counts, (size, size), background)), truth, nodes


@pytest.fixture(scope="session")
def columns():
    """The simulations above."""
    return SimpleNamespace(render=render, square_lattice=square_lattice, lattice_image=lattice_image)


def zincblende_crystal(*, size=50.0, fault="none", spread=0.0, seed=0, length=1.41):
    """Columns of a zinc blende crystal along [110] in a square of `size` Å, turned at random.

    `fault` is 'none', 'twin' or 'intrinsic'. Returns positions (N, 2) in Å with a normal `spread`, the sublattice of
    each (0 or 1), and the stacking sense of its layer (1 or −1).
    """
    rng = np.random.default_rng(seed)
    a = 4 * length
    period, height, n = a * (3 / 8) ** 0.5, a / 3**0.5, int(size / length / 2)
    side = np.ones(2 * n + 1, int)
    side[n:] = -1 if fault == "twin" else 1
    side[n] = 1 if fault == "none" else -1
    start = np.cumsum(-side) / 3 % 1
    along = (np.arange(-n, n + 1) + start[:, None]) * period
    up = np.broadcast_to(height * (np.arange(2 * n + 1) - n)[:, None], along.shape)
    first = np.stack([up, along], -1).reshape(-1, 2)
    sense = np.repeat(side, 2 * n + 1)
    second = first + np.stack([np.full(len(sense), -height / 4), sense * period / 3], -1)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    yx = np.concatenate([first, second]) @ turn
    inside = (np.abs(yx) < size / 2).all(axis=1)
    yx = yx[inside] + size / 2 + rng.normal(0, spread, (inside.sum(), 2))
    return yx, np.repeat([0, 1], len(first))[inside], np.tile(sense, 2)[inside]


@pytest.fixture(scope="session")
def zincblende():
    """The crystal above."""
    return SimpleNamespace(crystal=zincblende_crystal)
