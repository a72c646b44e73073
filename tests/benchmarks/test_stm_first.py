"""The ideal 7×7 surface is found again under drift, noise and missing adatoms, and scored as it should be."""

import fit_7x7
import numpy as np
import pytest
import stm_first
import torch
from scipy.spatial import cKDTree

from atomnb.data.micrograph import Micrograph
from atomnb.simulate.lattice import lay_out
from atomnb.simulate.render import render_columns
from atomnb.simulate.stm_scenes import dimer_adatom_stacking_fault

PIXEL_SIZE = 0.8
SHAPE = (240, 240)
SHEAR = np.array([[1.12, 0.1], [-0.05, 0.95]])


@pytest.fixture(scope="module")
def surface():
    """A noisy topograph (H, W) of Si(111)-7×7 under linear drift, and its adatoms (N, 2) px."""
    rng = np.random.default_rng(4)
    spacing = 3**0.5 * fit_7x7.SURFACE_CONSTANT / PIXEL_SIZE
    points = lay_out(dimer_adatom_stacking_fault(7), 260.0, spacing=spacing, angle=0.4).positions_yx
    points = points @ SHEAR + 117.3
    points = points[((points > -9) & (points < 249)).all(axis=1)]
    yx = torch.tensor(points, dtype=torch.float32)[None]
    one = torch.ones(1, len(points))
    image = render_columns(yx, 100 * one, 2.6 * one, SHAPE)[0].numpy()
    inside = points[((points >= 0) & (points <= 239)).all(axis=1)]
    return image + rng.normal(0, 0.2 * image.std(), SHAPE), inside


def test_the_fit_lays_adatoms_on_adatoms_and_holes_between(surface):
    image, adatoms = surface
    fit = fit_7x7.fit_7x7(image, PIXEL_SIZE)
    assert len(fit.adatoms_yx) == pytest.approx(len(adatoms), rel=0.08)
    assert cKDTree(adatoms).query(fit.adatoms_yx)[0].max() < 1.0
    assert cKDTree(adatoms).query(fit.holes_yx)[0].min() > 0.8 * fit.spacing
    assert fit.stretch == pytest.approx(np.linalg.det(SHEAR) ** 0.5, rel=0.02)
    assert fit.residual < 0.5


def test_scores_of_a_perfect_and_of_a_spoilt_finder(surface):
    image, adatoms = surface
    micrograph = Micrograph(image, PIXEL_SIZE)
    perfect = stm_first.judge_7x7(micrograph, adatoms)
    assert perfect["recall"] == perfect["precision"] == 1.0
    assert perfect["corner_holes_filled"] == 0
    assert perfect["adatoms_per_cell_found"] == pytest.approx(12, abs=0.6)
    holes = fit_7x7.fit_7x7(image, PIXEL_SIZE).holes_yx
    spoilt = stm_first.judge_7x7(micrograph, np.concatenate([adatoms[::2], holes]))
    assert spoilt["recall"] == pytest.approx(0.5, abs=0.08)
    assert spoilt["precision"] < 0.95
    assert spoilt["corner_holes_filled"] == len(holes)
