"""Bond lengths and angles with their errors."""

import numpy as np

from atomnb.graph.geometry import angle_triples, bond_angles, bond_lengths, turn_angles

POINTS = np.array([[0.0, 0.0], [0.3, 1.4], [1.2, -0.7], [-1.3, -0.6]])
STAR = [[0, 1], [0, 2], [0, 3]]


def test_a_square_has_four_right_angles():
    square = [[0, 0], [0, 1], [1, 1], [1, 0]]
    found = bond_angles(square, [[0, 1], [1, 2], [2, 3], [3, 0]])
    np.testing.assert_allclose(found.value, np.pi / 2)
    assert found.atoms[:, 1].tolist() == [0, 1, 2, 3]
    assert np.isnan(found.error).all()


def test_angles_round_an_atom_make_a_turn():
    assert abs(bond_angles(POINTS, STAR).value.sum() - 2 * np.pi) < 1e-12
    assert angle_triples(STAR).tolist() == [[1, 0, 2], [1, 0, 3], [2, 0, 3]]
    assert angle_triples([]).shape == (0, 3)


def test_errors_are_the_scatter_of_repeated_measurements(rng):
    errors = rng.uniform(0.005, 0.02, POINTS.shape)
    trials = [POINTS + rng.normal(size=POINTS.shape) * errors for _ in range(4000)]
    for measure in (bond_lengths, bond_angles):
        scatter = np.std([measure(p, STAR).value for p in trials], axis=0)
        np.testing.assert_allclose(measure(POINTS, STAR, errors).error, scatter, rtol=0.06)


def test_a_turn_and_its_way_back_make_a_full_one_with_the_same_error(rng):
    errors = rng.uniform(0.005, 0.02, POINTS.shape)
    triples = angle_triples(STAR)
    there, back = (turn_angles(POINTS, t, errors) for t in (triples, triples[:, ::-1]))
    np.testing.assert_allclose(there.value + back.value, 2 * np.pi)
    np.testing.assert_allclose(there.error, back.error)
    bonds = bond_angles(POINTS, STAR, errors)
    np.testing.assert_allclose(bonds.value, np.minimum(there.value, back.value))
    np.testing.assert_allclose(bonds.error, there.error)
    # y down: from +x a quarter turn leads to +y
    assert turn_angles([[0, 1], [0, 0], [1, 0]], [[0, 1, 2]]).value.tolist() == [np.pi / 2]
