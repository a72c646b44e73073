"""Polarity by brightness: Ga and As a tenth apart are told by all their columns together, or not at all."""

from functools import cache

import numpy as np
import pytest

import atomnb
from atomnb.graph.defects import find_defects
from atomnb.graph.species import EXPONENT
from atomnb.graph.structure import build_graph
from atomnb.simulate.structures import create_structure

pytest.importorskip("ase")

NUMBERS = {"Ga": 31, "As": 33, "Cd": 48, "Te": 52}


@cache
def crystal(name="gaas-110", size=(40, 40)):
    """Positions (N, 2) Å and atomic numbers (N,) of the columns of a crystal along [110]."""
    columns = create_structure(name, size_angstrom=size).columns()
    return columns.positions_yx, np.array([NUMBERS[c] for c in columns.content])


def as_seen(yx, numbers, noise, seed, **columns):
    """A table of columns without names: brightness Z^1.7 with a share of noise, places with 5 pm."""
    rng = np.random.default_rng(seed)
    table = atomnb.AtomTable.from_positions(rng.normal(yx, 0.05)).df
    bright = numbers**EXPONENT * np.exp(rng.normal(0, noise, len(yx)))
    return table.assign(intensity=bright, **columns)


def named(table):
    """Whether each atom is called the heavier one (N,), and the probability of its name (N,)."""
    graph = build_graph(table, rules="zincblende110")
    return graph.species == "heavier", graph.species_score


@pytest.mark.parametrize("name", ["gaas-110", "cdte-110"])
@pytest.mark.parametrize("noise", [0.02, 0.05, 0.1])
def test_a_grain_has_one_polarity_however_noisy_its_columns(name, noise):
    yx, numbers = crystal(name)
    heavy = numbers == numbers.max()
    for seed in range(5):
        table = as_seen(yx, numbers, noise, seed)
        found, probability = named(table)
        assert (found == heavy).all()
        assert np.median(probability) > 0.99
        assert find_defects(table, rules="zincblende110").empty


def test_turned_mirrored_and_scaled_crystals_have_the_same_polarity(turned):
    yx, numbers = crystal()
    for degrees, mirror in ((40, False), (160, True)):
        found, _ = named(as_seen(7 * turned(yx, degrees, mirror=mirror), numbers, 0.08, 0))
        assert (found == (numbers == 33)).all()


def test_what_cannot_be_told_is_undecided_and_not_wrong():
    yx, numbers = crystal(size=(15, 15))
    decided, wrong = 0, 0
    for seed in range(60):
        found, probability = named(as_seen(yx, numbers, 0.1, seed))
        sure = probability > 0.6
        decided += sure.any()
        wrong += (sure & (found != (numbers == 33))).any()
        assert np.allclose(probability[~sure], 0.5, atol=0.05)
    # the contrast of 48 columns is 3.7 standard errors: about three in four flakes exceed three of them
    assert 0.5 < decided / 60 < 0.95
    assert wrong <= 1


def test_columns_that_are_all_alike_have_no_polarity():
    yx, _ = crystal()
    for seed in range(10):
        _, probability = named(as_seen(yx, np.full(len(yx), 33), 0.05, seed))
        assert probability.max() < 0.55


def test_a_domain_of_the_other_polarity_keeps_its_own():
    yx, numbers = crystal(size=(60, 60))
    inverted = yx[:, 1] > 35
    numbers = np.where(inverted, 64 - numbers, numbers)
    found, probability = named(as_seen(yx, numbers, 0.03, 0))
    right = found == (numbers == 33)
    assert right[inverted].mean() > 0.97 and right[~inverted].mean() > 0.97
    assert right[probability > 0.9].all()


def test_dirt_on_one_sublattice_does_not_turn_the_polarity_round():
    yx, numbers = crystal()
    table = as_seen(yx, numbers, 0.05, 0)
    light = np.flatnonzero(numbers == 31)
    table.loc[light[::25], "intensity"] *= 4
    graph = build_graph(table, rules="zincblende110")
    assert (graph.sites == np.where(numbers == 33, "H", "L")).all()
