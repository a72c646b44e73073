"""STM layouts: the reconstruction has its published geometry, holes stay holes, bare terraces stay bare."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from atomnb.simulate import stm_scenes
from atomnb.simulate.lattice import lay_out
from atomnb.simulate.layout import SceneConfig
from atomnb.simulate.stm_scenes import dimer_adatom_stacking_fault, stm_layout

SURFACE_CONSTANT = 3.84
"""Å; a of Si(111)-1×1."""


@pytest.mark.parametrize(("n", "adatoms"), [(5, 6), (7, 12), (9, 20)])
def test_reconstructions_have_the_published_number_of_adatoms(n, adatoms):
    motif = dimer_adatom_stacking_fault(n)
    assert len(motif.basis) == adatoms
    assert np.bincount(motif.species).tolist() == [adatoms // 2] * 2


def test_the_7x7_cell_has_its_adatom_distances_and_corner_hole():
    motif = dimer_adatom_stacking_fault(7)
    nearest_across_dimers = 3**0.5 * SURFACE_CONSTANT  # Takayanagi 1985: 6.65 Å, and 7.68 Å inside a half cell
    points = lay_out(motif, 120.0, spacing=nearest_across_dimers).positions_yx
    inner = points[np.hypot(*points.T) < 60]
    distance = np.sort(cKDTree(points).query(inner, k=4)[0][:, 1:].ravel())
    assert distance.min() == pytest.approx(6.65, abs=0.01)
    assert np.isclose(distance, 2 * SURFACE_CONSTANT).any()
    density = len(points) / 240.0**2
    assert density == pytest.approx(12 / ((7 * SURFACE_CONSTANT) ** 2 * 3**0.5 / 2), rel=0.05)
    hole = np.zeros(2)  # the origin of the layout is a corner of the cell
    around = np.hypot(*(points - hole).T)
    assert np.isclose(around, nearest_across_dimers).sum() == 6
    assert around.min() > 6.6


def test_even_reconstructions_do_not_exist():
    with pytest.raises(ValueError, match="odd"):
        dimer_adatom_stacking_fault(6)


def test_missing_sites_of_a_superlattice_carry_no_position(monkeypatch, rng):
    monkeypatch.setattr(stm_scenes, "_any_motif", lambda rng, max_sites: stm_scenes.lattice.MOTIFS["hexagonal"])
    shares = []
    for _ in range(30):
        points, height = stm_scenes._superlattice(rng, 60.0, 8.0)
        assert (height > 0).all()
        shares.append(len(points) / (120.0**2 / (8.0**2 * 3**0.5 / 2)))
    assert min(shares) < 0.9  # at least every 16th site is missing in some, every 4th in others
    assert max(shares) > 0.97


def test_layouts_are_reproducible_varied_and_within_the_networks_range():
    config = SceneConfig()
    first, again = (stm_layout(np.random.default_rng(5), config) for _ in range(2))
    np.testing.assert_array_equal(first.positions_yx, again.positions_yx)
    drawn = [stm_layout(np.random.default_rng(seed), config) for seed in range(150)]
    assert sum(len(layout.positions_yx) == 0 for layout in drawn) > 0  # bare terraces are among them
    for layout in drawn:
        assert config.spacing[0] <= layout.spacing <= config.spacing[1]
        assert config.sigma[0] <= layout.sigma <= config.sigma[1]
        assert len(layout.positions_yx) == len(layout.amplitude) == len(layout.label)
        assert (layout.amplitude > 0).all()
        assert np.isfinite(layout.positions_yx).all()
    crowded = [layout for layout in drawn if len(layout.positions_yx) > 20]
    nearest = [np.median(cKDTree(x.positions_yx).query(x.positions_yx, k=2)[0][:, 1]) / x.spacing for x in crowded]
    assert np.median(nearest) == pytest.approx(1.0, abs=0.15)
