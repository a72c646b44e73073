"""Layouts: the spacing asked for, symmetry, no two atoms on one place."""

import numpy as np
import pytest
from scipy.spatial import cKDTree

from atomnb.simulate import lattice


@pytest.mark.parametrize("name", sorted(lattice.MOTIFS))
@pytest.mark.parametrize("angle", [0.0, 0.7])
def test_nearest_neighbours_are_as_far_apart_as_asked(name, angle):
    sites = lattice.lay_out(lattice.MOTIFS[name], 60.0, spacing=9.0, angle=angle)
    distance = cKDTree(sites.positions_yx).query(sites.positions_yx, k=2)[0][:, 1]
    assert distance.min() == pytest.approx(9.0, rel=1e-9)


def test_honeycomb_has_three_neighbours_at_120_degrees():
    points = lattice.lay_out(lattice.MOTIFS["honeycomb"], 60.0, spacing=8.0).positions_yx
    centre = points[np.argmin(np.hypot(*points.T))]
    bonds = points[np.isclose(np.hypot(*(points - centre).T), 8.0)] - centre
    angles = np.sort(np.arctan2(*bonds.T))
    assert len(bonds) == 3
    np.testing.assert_allclose(np.diff(angles), 2 * np.pi / 3)


@pytest.mark.parametrize("spacing", [4.0, 9.0])
def test_layout_fills_the_square_at_the_density_of_the_crystal(spacing):
    points = lattice.lay_out(lattice.MOTIFS["square"], 100.0, spacing=spacing, angle=0.4).positions_yx
    assert len(points) == pytest.approx((200 / spacing) ** 2, rel=0.05)


def test_random_motifs_keep_their_sites_apart(rng):
    for _ in range(40):
        motif = lattice.random_motif(rng)
        assert lattice.motif_spacing(motif) > 0.5


def test_random_network_is_three_fold_and_not_periodic(rng):
    points = lattice.random_network(rng, 120.0, spacing=8.0)
    inner = points[(np.abs(points) < 90).all(axis=1)]
    near = cKDTree(points).query_ball_point(inner, 1.6 * 8.0)
    assert 2.2 < np.mean([len(n) - 1 for n in near]) < 3.6
    gaps = cKDTree(points).query(inner, k=2)[0][:, 1]
    assert gaps.std() > 0.3


def test_polycrystal_has_no_overlapping_atoms(rng):
    motifs = [lattice.MOTIFS["hexagonal"], lattice.MOTIFS["perovskite"]]
    sites = lattice.polycrystal(rng, motifs, 80.0, spacing=9.0)
    assert cKDTree(sites.positions_yx).query(sites.positions_yx, k=2)[0][:, 1].min() > 0.7 * 9.0


def test_smooth_displacement_has_the_amplitude_asked_for(rng):
    points = rng.uniform(-200, 200, (4000, 2))
    moves = [lattice.smooth_displacement(rng, points, amplitude=2.0, wavelength=50.0) for _ in range(30)]
    assert np.std(moves) == pytest.approx(2.0, rel=0.2)


def test_far_apart_keeps_a_point_unless_an_earlier_one_that_is_kept_is_too_near(rng):
    points = rng.uniform(0, 30, (400, 2))
    kept: list[int] = []
    for i, point in enumerate(points):
        if all(np.hypot(*(point - points[j])) > 2.0 for j in kept):
            kept.append(i)
    assert np.flatnonzero(lattice.far_apart(points, 2.0)).tolist() == kept
