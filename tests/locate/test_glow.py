"""Tails of bright columns must not draw their faint neighbours."""

import numpy as np
import torch

from atomnb.locate.glow import REACH, best_height, glow_image
from atomnb.locate.refine import refine_positions
from atomnb.simulate.render import render_probe

SIGMA, BRIGHT = 5.5, 4.5


def sheet(tail_share: float, *, seed: int = 0):
    """A honeycomb of 16 px bonds with one bright atom; counts, positions, number of the bright atom."""
    rng = np.random.default_rng(seed)
    a = 16 * 3**0.5
    i, j = np.meshgrid(np.arange(-8, 9), np.arange(-8, 9), indexing="ij")
    cells = np.stack([i.ravel() * a + j.ravel() * a / 2, j.ravel() * a * 3**0.5 / 2], 1)
    points = np.concatenate([cells, np.add(cells, [a / 2, a / 2 / 3**0.5])]) + 128.0
    points = points[(np.abs(points - 128) < 118).all(axis=1)]
    bright = int(np.argmin(np.hypot(*(points - 128).T)))
    counts = np.where(np.arange(len(points)) == bright, BRIGHT, 1.0) * 4000
    image = render_probe(
        torch.tensor(points, dtype=torch.float32)[None],
        torch.tensor(counts, dtype=torch.float32)[None],
        torch.full((1, len(points)), SIGMA),
        (256, 256),
        tail_share=torch.tensor([tail_share]),
        tail_width=torch.tensor([3.0]),
        stretch_yx=torch.zeros(1, 2),
    )[0].numpy()
    return rng.poisson(image + 2.0).astype(float), points, bright


def bond_lengths(tail_share):
    image, points, bright = sheet(tail_share)
    fit = refine_positions(image, points, dark=False)
    beside = np.argsort(np.hypot(*(points - points[bright]).T))[1:4]
    return np.hypot(*(fit.positions_yx[beside] - fit.positions_yx[bright]).T), fit.errors_yx[beside].max()


def test_bonds_of_a_bright_atom_keep_their_length():
    lengths, error = bond_lengths(0.4)
    assert abs(lengths.mean() - 16) < 3 * error


def test_without_tails_nothing_changes():
    lengths, error = bond_lengths(0.0)
    assert abs(lengths.mean() - 16) < 3 * error


def test_glow_of_one_column_has_the_height_and_width_asked_for():
    image = glow_image(np.array([[40.3, 50.6]]), np.array([2.0]), 3.0, (90, 100))
    y, x = np.mgrid[:90, :100]
    ideal = 2 * np.exp(-((y - 40.3) ** 2 + (x - 50.6) ** 2) / (2 * (3 * REACH) ** 2))
    assert np.abs(image - ideal).max() < 0.03


def test_tails_that_explain_no_more_than_chance_are_left_out():
    assert best_height([1000.0, 998.0, 1005.0]) == 0
    assert 0.02 < best_height([1000.0, 900.0, 950.0]) < 0.09
