"""Bright or dark atoms: told by the spots, and on a honeycomb, whose rings are dark spots too, by its second order."""

import numpy as np
import pytest

from atomnb.locate.contrast import honeycomb_sign, is_dark, spot_skewness
from atomnb.simulate.lattice import MOTIFS, lay_out

PIXEL = 0.15
"""Å."""


def lattice_image(motif, *, spacing=1.42, sigma=0.45, dose=1000.0, side=256, seed=0):
    """Counts (H, W) of equal Gaussian columns; lengths in Å."""
    extent = 0.5 * side * PIXEL
    sites = lay_out(MOTIFS[motif], extent + 3, spacing=spacing).positions_yx
    axis = (np.arange(side) + 0.5) * PIXEL - extent
    rows = np.exp(-((axis[:, None] - sites[:, 0]) ** 2) / (2 * sigma**2))
    columns = np.exp(-((axis[:, None] - sites[:, 1]) ** 2) / (2 * sigma**2))
    image = rows @ columns.T
    return np.random.default_rng(seed).poisson(dose * PIXEL**2 / (2 * np.pi * sigma**2) * image).astype(float)


@pytest.mark.parametrize("dose", [300, 1000, 20000])
def test_honeycomb_of_blurred_columns_has_dark_spots_and_is_bright(dose):
    image = lattice_image("honeycomb", dose=dose)
    assert spot_skewness(image) < 0
    assert honeycomb_sign(image) > 3
    assert not is_dark(image, {})


@pytest.mark.parametrize("motif", ["hexagonal", "square", "honeycomb"])
def test_dark_columns_are_dark(motif):
    image = lattice_image(motif, spacing=2.5, dose=3000)
    assert is_dark(image.max() - image, {})
    assert not is_dark(image, {})


def test_what_an_annular_bright_field_sees_of_graphene_is_dark():
    image = lattice_image("honeycomb", dose=20000)
    assert honeycomb_sign(image.max() - image) < -3
    assert is_dark(image.max() - image, {"detector": "ABF"})


def test_noise_has_no_sign():
    noise = np.random.default_rng(0).normal(size=(256, 256))
    assert abs(honeycomb_sign(noise)) < 3
    assert not is_dark(noise, {})
