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
