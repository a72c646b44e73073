"""Rendering: counts are conserved, positions are sub-pixel, columns add up."""

import numpy as np
import pytest
import torch

from atomnb.simulate import render


def one_column(y, x, *, sigma=2.0, counts=1000.0, size=64):
    shape = (size, size)
    return render.render_columns(torch.tensor([[[y, x]]]), torch.tensor([[counts]]), torch.tensor([[sigma]]), shape)[
        0
    ].numpy()


@pytest.mark.parametrize("y, x", [(31.0, 31.0), (30.37, 33.81)])
def test_counts_and_centre_of_mass_are_exact(y, x):
    image = one_column(y, x)
    grid = np.arange(64)
    assert image.sum() == pytest.approx(1000, rel=1e-5)
    assert (image.sum(axis=1) * grid).sum() / image.sum() == pytest.approx(y, abs=1e-3)
    assert (image.sum(axis=0) * grid).sum() / image.sum() == pytest.approx(x, abs=1e-3)


def test_width_includes_the_pixel():
    image = one_column(31.0, 31.0, sigma=0.8)
    variance = (image.sum(axis=0) * (np.arange(64) - 31) ** 2).sum() / image.sum()
    assert variance == pytest.approx(0.8**2 + 1 / 12, rel=1e-3)


def test_columns_add():
    both = render.render_columns(
        torch.tensor([[[20.0, 20.0], [26.0, 22.0]]]), torch.tensor([[500.0, 900.0]]), torch.full((1, 2), 2.0), (64, 64)
    )[0].numpy()
    np.testing.assert_allclose(
        both, one_column(20.0, 20.0, counts=500.0) + one_column(26.0, 22.0, counts=900.0), atol=1e-3
    )


def test_tails_move_intensity_outwards_but_lose_none():
    common = dict(tail_width=torch.tensor([3.0]), stretch_yx=torch.zeros(1, 2))
    point, counts, sigma = torch.tensor([[[48.0, 48.0]]]), torch.tensor([[1000.0]]), torch.tensor([[2.0]])
    sharp, tailed = (
        render.render_probe(point, counts, sigma, (96, 96), tail_share=torch.tensor([share]), **common)[0]
        for share in (0.0, 0.3)
    )
    assert float(tailed.sum()) == pytest.approx(float(sharp.sum()), rel=1e-3)
    assert tailed.max() < 0.8 * sharp.max()
    assert tailed[48, 58] > 20 * sharp[48, 58]


def test_heatmap_is_one_on_atoms_and_ignores_padding():
    heat = render.render_heatmap(
        torch.tensor([[[10.0, 12.0], [30.0, 30.0]]]), torch.tensor([[1.0, 0.0]]), (40, 40), sigma=1.3
    )
    assert heat[0, 10, 12] == pytest.approx(1.0)
    assert heat[0, 30, 30] < 1e-6
