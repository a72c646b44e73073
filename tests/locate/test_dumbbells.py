"""Dumbbells: pairs, grains at twins and faults, domains, and columns that lost their partner."""

import numpy as np
import pytest

from atomnb.locate.dumbbells import find_dumbbells, place_singles, split_domains


def test_a_crystal_is_one_grain_of_parallel_dumbbells(zincblende):
    yx, kind, _ = zincblende.crystal(spread=0.1)
    found = find_dumbbells(yx)
    assert len(found.ends) > 0.45 * len(yx)
    assert set(found.grain) == {0}
    assert found.length == pytest.approx(1.41, abs=0.02)
    assert len(set(kind[found.ends[:, 0]])) == 1
    assert (kind[found.ends[:, 0]] != kind[found.ends[:, 1]]).all()


def test_a_twin_makes_two_grains_with_axes_70_degrees_apart(zincblende):
    yx, kind, layer_side = zincblende.crystal(fault="twin", spread=0.05)
    found = find_dumbbells(yx)
    number = np.bincount(found.grain)
    assert (number > 20).sum() == 2
    axes = []
    for grain in np.argsort(number)[-2:]:
        ends = found.ends[found.grain == grain]
        assert len(set(layer_side[ends.ravel()])) == 1
        assert len(set(kind[ends[:, 0]])) == 1
        axis = np.median(yx[ends[:, 1]] - yx[ends[:, 0]], axis=0)
        axes.append(axis / np.hypot(*axis))
    assert np.rad2deg(np.arccos(abs(axes[0] @ axes[1]))) == pytest.approx(70.5, abs=1)


def test_the_layer_of_a_stacking_fault_is_a_grain_of_its_own(zincblende):
    yx, _, layer_side = zincblende.crystal(fault="intrinsic", spread=0.05)
    found = find_dumbbells(yx)
    in_fault = layer_side[found.ends[:, 0]] < 0
    assert in_fault.sum() > 5
    assert len(set(found.grain[in_fault])) == 1
    assert not set(found.grain[in_fault]) & set(found.grain[~in_fault])


def test_columns_without_a_partner_are_placed_by_the_lattice(zincblende):
    yx, kind, _ = zincblende.crystal(spread=0.08)
    keep = np.random.default_rng(1).random(len(yx)) > 0.05
    yx, kind = yx[keep], kind[keep]
    found = find_dumbbells(yx)
    owner, end = place_singles(yx, found)
    single = np.setdiff1d(np.arange(len(yx)), found.ends)
    assert len(single) > 20
    placed = single[owner[single] >= 0]
    assert len(placed) > 0.9 * len(single)
    first = kind[found.ends[0, 0]]
    assert ((end[placed] == 0) == (kind[placed] == first)).all()


def test_beyond_an_inversion_boundary_begins_another_domain(zincblende):
    yx, kind, _ = zincblende.crystal(size=60)
    found = find_dumbbells(yx)
    inverted = found.centre_yx[:, 1] > 30
    sign = np.where(inverted, -1.0, 1.0) * (1 if kind[found.ends[0, 0]] else -1)
    values = 0.3 * sign + np.random.default_rng(2).normal(0, 0.2, len(sign))
    split = split_domains(found, values, np.ones(len(sign), bool))
    assert split.grain.max() == 1
    wrong = (split.grain == split.grain[inverted.argmax()]) != inverted
    assert wrong.mean() < 0.05
    assert (np.abs(found.centre_yx[wrong, 1] - 30) < 8).all()


@pytest.mark.parametrize("mean", [0.0, 0.3])
def test_one_domain_stays_whole(zincblende, mean):
    found = find_dumbbells(zincblende.crystal(size=60)[0])
    values = np.random.default_rng(3).normal(mean, 0.2, len(found.ends))
    assert set(split_domains(found, values, np.ones(len(values), bool)).grain) == {0}


@pytest.mark.parametrize("n", [0, 1, 2])
def test_too_few_columns_are_no_dumbbells(n):
    found = find_dumbbells(np.arange(2.0 * n).reshape(n, 2))
    assert len(found.ends) == 0
    assert place_singles(np.zeros((n, 2)), found)[0].tolist() == [-1] * n


def test_a_square_lattice_has_no_dumbbells(columns):
    _, yx = columns.square_lattice(20, 10.0, np.random.default_rng(4), spread=0.2)
    assert len(find_dumbbells(yx).ends) < 0.02 * len(yx)
