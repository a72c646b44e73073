"""Polarity: right from weak contrast, open where nothing tells, grain by grain, antisites apart."""

import numpy as np
import pytest

from atomnb.locate.polarity import has_polarity, name_by_polarity
from atomnb.nets.checkpoint import list_models


def silent(n):
    """What a network says that sees no difference."""
    return {name: np.full(n, 0.3) for name in ("column", "heavier", "lighter")}


def bright(kind, contrast, scatter, rng):
    return 1000 * np.where(kind == 0, 1 + contrast / 2, 1 - contrast / 2) * rng.normal(1, scatter, len(kind))


def vote(yx, intensity, mass=None, usable=None):
    mass = mass or silent(len(yx))
    return name_by_polarity(mass, yx, intensity, np.ones(len(yx), bool) if usable is None else usable)


@pytest.mark.parametrize("seed", range(3))
def test_a_contrast_below_the_scatter_of_columns_is_decided(zincblende, seed):
    rng = np.random.default_rng(seed)
    yx, kind, _ = zincblende.crystal(spread=0.1, seed=seed)
    names, probability = vote(yx, bright(kind, 0.11, 0.12, rng))
    assert (names == np.where(kind == 0, "heavier", "lighter")).mean() > 0.98
    assert set(names[kind == 1]) <= {"lighter", "column"}
    assert np.median(probability) > 0.998


def test_alike_columns_are_columns(zincblende):
    """At 3 standard errors one image in 370 may err; the allowance for the probe makes it fewer."""
    decided, sure = 0, []
    for seed in range(60):
        yx, kind, _ = zincblende.crystal(spread=0.1, seed=seed)
        names, probability = vote(yx, bright(kind, 0.0, 0.08, np.random.default_rng(seed)))
        decided += set(names) != {"column"}
        sure.append(np.median(probability))
    assert decided <= 1
    assert np.mean(sure) > 0.95


def test_what_noise_hides_is_left_open_and_said_to_be(zincblende):
    yx, kind, _ = zincblende.crystal(size=25, spread=0.1)
    left_open = 0
    for seed in range(10):
        names, probability = vote(yx, bright(kind, 0.11, 0.5, np.random.default_rng(seed)))
        assert not ((names == "lighter") & (kind == 0)).any()
        left_open += set(names) == {"column"}
        assert probability[names == "column"].max() < 0.9
    assert left_open > 5


def test_an_uneven_probe_makes_no_compound(zincblende):
    """A difference of 2 % without any noise, and a network misled by it, are what coma does to silicon."""
    yx, kind, _ = zincblende.crystal()
    mass = silent(len(yx)) | {"heavier": np.where(kind == 0, 0.4, 0.25)}
    names, _ = vote(yx, bright(kind, 0.02, 0.001, np.random.default_rng(0)), mass)
    assert set(names) == {"column"}


def test_the_network_helps_where_brightness_is_too_little(zincblende):
    yx, kind, _ = zincblende.crystal(spread=0.1)
    intensity = bright(kind, 0.11, 0.35, np.random.default_rng(5))
    assert set(vote(yx, intensity)[0]) == {"column"}
    heavy = np.clip(np.where(kind == 0, 0.95, 0.05), 0, 1)
    mass = {"column": np.full(len(yx), 0.01), "heavier": heavy, "lighter": 1 - heavy}
    names, _ = vote(yx, intensity, mass)
    assert (names == np.where(kind == 0, "heavier", "lighter")).mean() > 0.97


@pytest.mark.parametrize("same", [True, False])
def test_each_side_of_a_twin_votes_for_itself(zincblende, same):
    yx, kind, side = zincblende.crystal(size=60, fault="twin", spread=0.05)
    heavy = kind if same else np.where(side > 0, kind, 1 - kind)
    names, _ = vote(yx, bright(heavy, 0.15, 0.1, np.random.default_rng(6)))
    truth = np.where(heavy == 0, "heavier", "lighter")
    assert (names == truth).mean() > 0.98


def test_domains_of_opposite_polarity_are_told(zincblende):
    yx, kind, _ = zincblende.crystal(size=60, spread=0.05)
    heavy = np.where(yx[:, 1] > 40, 1 - kind, kind)
    names, _ = vote(yx, bright(heavy, 0.2, 0.1, np.random.default_rng(7)))
    truth = np.where(heavy == 0, "heavier", "lighter")
    assert (names == truth).mean() > 0.95
    assert (np.abs(yx[(names != truth) & (names != "column"), 1] - 40) < 8).all()


@pytest.mark.parametrize(("contrast", "told"), [(0.73, True), (0.11, False)])
def test_antisites_are_named_where_single_columns_can_be_told(zincblende, contrast, told):
    rng = np.random.default_rng(8)
    yx, kind, _ = zincblende.crystal(spread=0.05)
    inner = np.flatnonzero((np.abs(yx - yx.mean(axis=0)) < 12).all(axis=1))
    antisite = rng.choice(inner, 6, replace=False)
    heavy = kind.copy()
    heavy[antisite] = 1 - heavy[antisite]
    names, _ = vote(yx, bright(heavy, contrast, 0.05, rng))
    truth = np.where(heavy == 0, "heavier", "lighter")
    assert (names[antisite] == truth[antisite]).all() == told
    assert (np.delete(names, antisite) == np.delete(truth, antisite)).mean() > 0.98


def test_a_bright_column_is_no_antisite_where_single_columns_cannot_be_told(zincblende):
    yx, kind, _ = zincblende.crystal(spread=0.05)
    intensity = bright(kind, 0.15, 0.05, np.random.default_rng(13))
    dirty = int(np.flatnonzero((kind == 1) & (np.abs(yx - yx.mean(axis=0)) < 5).all(axis=1))[0])
    intensity[dirty] *= 1.6
    assert vote(yx, intensity)[0][dirty] == "lighter"


def test_contaminated_columns_do_not_drown_the_vote(zincblende):
    rng = np.random.default_rng(14)
    yx, kind, _ = zincblende.crystal(spread=0.05)
    intensity = bright(kind, 0.15, 0.1, rng)
    intensity[rng.choice(len(yx), len(yx) // 25, replace=False)] *= 10
    names, _ = vote(yx, intensity)
    assert (names == np.where(kind == 0, "heavier", "lighter")).mean() > 0.97


def test_a_network_that_sees_a_fault_at_once_does_not_decide_it(zincblende):
    """What it makes of neighbours is one opinion: here log-odds 8 of all in the fault, elsewhere ±8 at random."""
    rng = np.random.default_rng(15)
    yx, kind, side = zincblende.crystal(size=25, fault="intrinsic", spread=0.05)
    odds = np.where(side < 0, 4.0, 4.0 * rng.choice([-1, 1], len(yx))) * np.where(kind == 0, 1, -1)
    heavy = 1 / (1 + np.exp(-odds))
    mass = {"column": np.full(len(yx), 0.01), "heavier": heavy, "lighter": 1 - heavy}
    names, _ = vote(yx, bright(kind, 0.0, 0.1, rng), mass)
    assert set(names[side < 0]) == {"column"}


def test_an_empty_site_is_no_lighter_column(zincblende):
    """So that it is compared with its own sublattice when the table is cleared of empty sites."""
    rng = np.random.default_rng(9)
    yx, kind, _ = zincblende.crystal(spread=0.05)
    intensity = bright(kind, 0.73, 0.05, rng)
    hole = int(np.flatnonzero((kind == 0) & (np.abs(yx - yx.mean(axis=0)) < 5).all(axis=1))[0])
    intensity[hole] = 100.0
    assert vote(yx, intensity)[0][hole] == "heavier"


def test_columns_at_the_border_are_named_but_have_no_vote(zincblende):
    yx, kind, _ = zincblende.crystal(size=40, spread=0.05)
    border = (np.abs(yx - yx.mean(axis=0)) > 16).any(axis=1)
    intensity = bright(kind, 0.15, 0.08, np.random.default_rng(10))
    intensity[border] = bright(1 - kind, 1.0, 0.05, np.random.default_rng(11))[border]
    names, _ = vote(yx, intensity, usable=~border)
    named = names[border]
    assert (named == np.where(kind[border] == 0, "heavier", "lighter")).mean() > 0.9


def test_without_dumbbells_the_network_says_how_sure_column_is():
    yx = np.array([[0.0, 0.0], [0.0, 1.4], [9.0, 9.0]])
    mass = {"column": np.array([0.2, 0.5, 0.0]), "heavier": np.array([0.2, 0.0, 0.0]), "lighter": np.zeros(3)}
    names, probability = vote(yx, np.ones(3), mass)
    assert names.tolist() == ["column"] * 3
    np.testing.assert_allclose(probability, [0.5, 1.0, 0.0])


def test_only_the_model_of_dumbbells_has_polarity():
    assert {card.name for card in list_models() if has_polarity(card.classes)} == {"dumbbell"}
