"""Matching: one-to-one, optimal, honest about empty sets."""

import numpy as np
import pytest

from atomnb.metrics import match_positions


def test_perfect_positions_score_one(rng):
    points = rng.uniform(0, 100, (50, 2))
    result = match_positions(points[::-1], points, tolerance=0.5)
    assert (result.f1, result.precision, result.recall) == (1.0, 1.0, 1.0)
    assert result.rmse == 0


def test_two_finds_on_one_atom_are_one_hit_and_one_false():
    result = match_positions([[0, 0], [0, 0.2]], [[0, 0.1]], tolerance=1)
    assert (len(result.pairs), result.precision, result.recall) == (1, 0.5, 1.0)


def test_assignment_is_optimal_where_greedy_is_not():
    # nearest-first would pair (0, 1.0) with 0.9 and leave 0.0 without a partner within reach
    result = match_positions([[0, 1.0], [0, 1.9]], [[0, 0.0], [0, 1.05]], tolerance=1.0)
    assert len(result.pairs) == 2


@pytest.mark.parametrize("found, true, f1", [([], [], 1.0), ([[1, 1]], [], 0.0), ([], [[1, 1]], 0.0)])
def test_empty_sets(found, true, f1):
    assert match_positions(found, true, tolerance=1).f1 == f1


def test_rmse_is_per_axis(rng):
    points = np.stack(np.meshgrid(np.arange(40.0) * 10, np.arange(40.0) * 10), -1).reshape(-1, 2)
    result = match_positions(points + rng.normal(0, 0.3, points.shape), points, tolerance=4)
    assert result.rmse == pytest.approx(0.3, rel=0.05)
