"""Groups of columns: found where they are, one group where nothing tells columns apart."""

import numpy as np
import pytest

from atomnb.locate.sublattice import fit_mixture, group_columns


def lattice(side=16, step=10.0):
    return np.stack(np.meshgrid(np.arange(side), np.arange(side), indexing="ij"), -1).reshape(-1, 2) * step


def honeycomb(rng):
    cells = lattice(14, 1.0) @ np.array([[1.23, 2.13], [-1.23, 2.13]])
    yx = np.concatenate([cells, cells + np.array([0, 1.42])]) * 7
    return yx + rng.normal(0, 0.3, yx.shape)


@pytest.mark.parametrize("spread", [0.05, 0.15, 0.3])
def test_one_kind_is_one_group(rng, spread):
    yx = lattice()
    assert (group_columns(yx, rng.normal(100, 100 * spread, len(yx))) == 0).all()


def test_heavy_and_light_are_told_apart_and_the_brightest_is_zero(rng):
    yx = lattice()
    light = yx.sum(1) // 10 % 2 == 0
    groups = group_columns(yx, np.where(light, 100, 300) * rng.normal(1, 0.1, len(yx)))
    assert (groups == light).mean() > 0.99


def test_a_few_dopants_are_a_group(rng):
    yx = lattice(20)
    dopant = np.zeros(len(yx), bool)
    dopant[rng.choice(len(yx), 10, replace=False)] = True
    groups = group_columns(yx, np.where(dopant, 300, 100) * rng.normal(1, 0.06, len(yx)))
    assert (groups == 0).sum() == 10
    assert (groups[dopant] == 0).all()


def test_four_levels(rng):
    yx = lattice(20)
    level = rng.integers(0, 4, len(yx))
    groups = group_columns(yx, 800 / 2.0**level * rng.normal(1, 0.05, len(yx)))
    assert (groups == level).mean() > 0.99


def test_a_continuum_is_not_cut(rng):
    yx = lattice(20)
    assert (group_columns(yx, rng.uniform(50, 150, len(yx))) == 0).all()


def test_equal_columns_of_a_honeycomb_split_by_their_surroundings(rng):
    yx = honeycomb(rng)
    groups = group_columns(yx, rng.normal(100, 10, len(yx)))
    half = len(yx) // 2
    assert (groups[:half] == 0).all()
    assert (groups[half:] == 1).all()


def test_both_ends_of_a_dumbbell(rng):
    centres = lattice(14)
    yx = np.concatenate([centres, centres + np.array([0, 3.0])]) + rng.normal(0, 0.1, (2 * len(centres), 2))
    groups = group_columns(yx, rng.normal(100, 10, len(yx)))
    assert (groups == np.repeat([0, 1], len(centres))).all()


def test_amorphous_is_one_group(rng):
    assert (group_columns(rng.uniform(0, 200, (400, 2)), rng.normal(100, 10, 400)) == 0).all()


@pytest.mark.parametrize("n", [0, 1, 2, 9])
def test_few_atoms_are_one_group(n):
    assert (group_columns(np.arange(2 * n).reshape(n, 2), np.arange(n)) == np.zeros(n)).all()


def test_unusable_intensities_join_the_faintest(rng):
    yx = lattice()
    light = yx.sum(1) // 10 % 2 == 0
    intensity = np.where(light, 100, 300) * rng.normal(1, 0.1, len(yx))
    intensity[:3] = [np.nan, 0, -5]
    assert (group_columns(yx, intensity)[:3] == 1).all()
    assert (group_columns(yx, np.full(len(yx), np.nan)) == 0).all()


def test_identical_values_make_one_component():
    assert len(fit_mixture(np.full(50, 3.0)).mean) == 1
