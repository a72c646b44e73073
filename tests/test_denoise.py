"""The Wiener filter: less noise on a lattice, no invented lattice, tiles without seams."""

import numpy as np
import pytest

from atomnb.denoise import wiener_filter
from atomnb.simulate import lattice
from atomnb.simulate.render import render_columns


@pytest.fixture(scope="module")
def clean():
    import torch

    sites = lattice.lay_out(lattice.MOTIFS["honeycomb"], 200.0, spacing=6.0, angle=0.3)
    points = torch.tensor(sites.positions_yx + 150, dtype=torch.float32)[None]
    return render_columns(
        points, torch.full((1, points.shape[1]), 20.0), torch.full((1, points.shape[1]), 1.9), (300, 300)
    )[0].numpy()


def test_noise_of_a_lattice_falls_severalfold(clean, rng):
    noisy = rng.poisson(clean).astype(np.float32)
    before = (noisy - clean).std()
    filtered = wiener_filter(noisy)
    after = ((filtered - filtered.mean()) - (clean - clean.mean()))[20:-20, 20:-20].std()
    assert after < 0.35 * before


def test_white_noise_stays_without_pattern(rng):
    noise = rng.normal(0, 1, (200, 200)).astype(np.float32)
    assert wiener_filter(noise).std() < 0.45


def test_a_vacancy_leaves_its_dip(clean, rng):
    """Linear in what it keeps: a missing atom stays weaker than its neighbours, if not empty."""
    grid = np.indices(clean.shape)
    peak = np.argwhere(clean == clean[140:160, 140:160].max())[0]
    hole = clean - clean.max() * 0.8 * np.exp(-((grid[0] - peak[0]) ** 2 + (grid[1] - peak[1]) ** 2) / 7.2)
    noisy = rng.poisson(np.clip(hole, 0, None) * 20).astype(np.float32)
    filtered = wiener_filter(noisy)
    assert filtered[tuple(peak)] < 0.6 * np.percentile(filtered, 99)


def test_the_input_is_untouched_and_the_size_kept(rng):
    image = rng.random((70, 411))
    before = image.copy()
    assert wiener_filter(image).shape == image.shape
    np.testing.assert_array_equal(image, before)
