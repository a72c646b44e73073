"""Deformation gradients: planted ones come back whatever their size, and their errors are those of repeated trials."""

import numpy as np
import pytest

from atomnb.graph.deformation import fit_gradients, gradient_covariance, polar_decomposition, turn_matrix

HEXAGON = np.array([(np.sin(t), np.cos(t)) for t in np.deg2rad(np.arange(0, 360, 60))]) * 2.46


def random_deformations(rng, n=1000):
    """Rotations by any angle after stretches up to a factor of two: R (N, 2, 2), U (N, 2, 2), angle (N,)."""
    angle = rng.uniform(-np.pi, np.pi, n)
    axis = turn_matrix(rng.uniform(-np.pi, np.pi, n))
    stretch = np.einsum("nij,nj,nkj->nik", axis, rng.uniform(0.5, 2.0, (n, 2)), axis)
    return turn_matrix(angle), stretch, angle


def test_any_deformation_is_taken_apart_as_it_was_put_together(rng):
    turn, stretch, angle = random_deformations(rng)
    found = polar_decomposition(turn @ stretch)
    np.testing.assert_allclose(found.rotation, angle, atol=1e-12)
    expected = np.stack([stretch[:, 0, 0] - 1, stretch[:, 1, 1] - 1, stretch[:, 0, 1]], axis=1)
    np.testing.assert_allclose(found.strain, expected, atol=1e-12)


def test_rotation_is_positive_from_x_toward_y():
    x_axis_yx = np.array([0.0, 1.0])
    turned = turn_matrix(np.array([0.1]))[0] @ x_axis_yx
    np.testing.assert_allclose(turned, [np.sin(0.1), np.cos(0.1)])


def test_shear_that_moves_x_along_with_y_downward_is_positive():
    """u_x = 0.02 y: ε_xy = ½ ∂u_x/∂y = 0.01 with y down, as in the table."""
    found = polar_decomposition(np.array([[[1.0, 0.0], [0.02, 1.0]]]))
    assert found.strain[0, 2] == pytest.approx(0.01, rel=1e-3)
    assert found.rotation[0] == pytest.approx(-0.01, rel=1e-3)


def test_fit_finds_the_planted_gradient(rng):
    turn, stretch, _ = random_deformations(rng, 50)
    planted = turn @ stretch
    owner = np.repeat(np.arange(50), 6)
    reference = np.tile(HEXAGON, (50, 1))
    current = np.einsum("eab,eb->ea", planted[owner], reference)
    fit = fit_gradients(reference, current, owner, 50, weights=rng.uniform(0.2, 1, current.shape))
    np.testing.assert_allclose(fit.matrix, planted, atol=1e-10)
    assert (fit.count == 6).all()


@pytest.mark.parametrize("kept", [[], [0], [0, 3]], ids=["none", "one", "two along a line"])
def test_neighbours_in_one_direction_determine_nothing(kept):
    reference = HEXAGON[kept]
    fit = fit_gradients(reference, reference, np.zeros(len(kept), int), 1)
    assert np.isnan(fit.matrix).all()
    found = polar_decomposition(fit.matrix, np.full((1, 2, 2, 2), np.nan))
    assert np.isnan(found.strain).all() and np.isnan(found.rotation_errors).all()


@pytest.mark.parametrize("kept", [[0, 1, 2, 3, 4, 5], [0, 1, 2], [0, 2]], ids=["whole", "half", "two"])
def test_errors_are_the_scatter_of_repeated_measurements(rng, kept):
    """Also for a deformation that is far from none, unlike errors of the atoms, and a centre that has its own."""
    planted = turn_matrix(np.array([0.8]))[0] @ np.array([[1.3, 0.15], [0.15, 0.8]])
    places = np.vstack([[0, 0], HEXAGON[kept]]) @ planted.T
    errors = rng.uniform(0.005, 0.02, places.shape)
    trials = 20_000
    noisy = places + rng.normal(size=(trials, *places.shape)) * errors
    current = (noisy[:, 1:] - noisy[:, :1]).reshape(-1, 2)
    owner = np.repeat(np.arange(trials), len(kept))
    fit = fit_gradients(np.tile(HEXAGON[kept], (trials, 1)), current, owner, trials)
    found = polar_decomposition(fit.matrix)

    member = np.arange(1, len(kept) + 1)
    one = fit_gradients(HEXAGON[kept], places[1:], np.zeros(len(kept), int), 1)
    stated = polar_decomposition(one.matrix, gradient_covariance(one, np.zeros(len(kept), int), member, errors))
    np.testing.assert_allclose(stated.strain_errors[0], found.strain.std(axis=0), rtol=0.03)
    np.testing.assert_allclose(stated.rotation_errors[0], found.rotation.std(), rtol=0.03)
