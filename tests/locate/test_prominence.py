"""Prominence: an atom stands out of the grain it sits on, and its width is found."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from atomnb.locate.detect import STANDS_OUT
from atomnb.locate.prominence import prominence_at, single_atom_width


def support(rng, *, atoms, sigma, height=8.0, size=240):
    grain = gaussian_filter(rng.normal(0, 1, (size, size)), sigma)
    grain /= grain.std()
    grid = np.indices(grain.shape)
    for y, x in atoms:
        grain += height * np.exp(-((grid[0] - y) ** 2 + (grid[1] - x) ** 2) / (2 * sigma**2))
    return grain


def test_an_atom_stands_out_and_the_grain_does_not(rng):
    image = support(rng, atoms=[(100, 90)], sigma=2.1)
    anywhere = rng.uniform(20, 220, (200, 2))
    anywhere = anywhere[np.hypot(*(anywhere - [100, 90]).T) > 12]
    assert prominence_at(image, np.array([[100.0, 90.0]]), 2.1)[0] > STANDS_OUT
    assert (prominence_at(image, anywhere, 2.1) > STANDS_OUT).mean() < 0.02


def test_gain_offset_and_slope_do_not_matter(rng):
    image = support(rng, atoms=[(100, 90)], sigma=2.1)
    slope = np.linspace(0, 40, 240)[:, None]
    first = prominence_at(image, np.array([[100.0, 90.0]]), 2.1)
    second = prominence_at(37 * (image + slope) + 500, np.array([[100.0, 90.0]]), 2.1)
    assert second == pytest.approx(first, rel=0.05)


@pytest.mark.parametrize("sigma", [2.0, 4.5])
def test_width_of_the_atoms_is_found_within_a_factor(rng, sigma):
    atoms = [(40, 60), (90, 180), (150, 50), (180, 140), (60, 120)]
    noise = rng.normal(0, 0.5, (240, 240))
    grid = np.indices(noise.shape)
    image = noise + sum(4 * np.exp(-((grid[0] - y) ** 2 + (grid[1] - x) ** 2) / (2 * sigma**2)) for y, x in atoms)
    assert 0.8 * sigma < single_atom_width(image) < 1.7 * sigma
