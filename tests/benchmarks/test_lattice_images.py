"""Coordination tells a whole lattice from one with missed atoms; only open files get a published overlay."""

import lattice_images
import numpy as np
import pytest

SHAPE = (200, 200)


def _honeycomb(spacing=12.0):
    a1, a2 = spacing * np.array([3**0.5, 0.0]), spacing * np.array([3**0.5 / 2, 1.5])
    cells = np.stack(np.meshgrid(np.arange(-20, 20), np.arange(-20, 20)), -1).reshape(-1, 2)
    points = np.concatenate([cells @ np.array([a1, a2]) + shift for shift in ((0, 0), (0, spacing))])
    return points[((points >= 0) & (points <= 199)).all(1)]


def test_every_inner_atom_of_a_honeycomb_has_three_neighbours():
    assert lattice_images.coordination(_honeycomb(), SHAPE) == {"modal_coordination": 3, "modal_share": 1.0}


def test_missed_atoms_lower_the_share(rng):
    points = _honeycomb()
    kept = points[rng.random(len(points)) > 0.15]
    assert lattice_images.coordination(kept, SHAPE)["modal_share"] < 0.8


def test_too_few_atoms_have_no_coordination():
    assert lattice_images.coordination(np.zeros((3, 2)), SHAPE)["modal_share"] is None


@pytest.mark.parametrize(
    ("licence", "expected"),
    [("MIT", True), ("GPL-3.0", True), ("none stated", False), ("", False), ("MIT per README; no LICENSE file", False)],
)
def test_only_stated_licences_are_open(licence, expected):
    assert lattice_images.is_open(licence) is expected


def test_the_longest_matching_name_wins():
    values = {"temul": 1, "temul_pypi/example_Se": 2}
    assert lattice_images.by_prefix(values, "temul_pypi/example_Se_x.dm3") == 2
    assert lattice_images.by_prefix(values, "other") is None
