"""Substitutions of an unknown element: what stands out of its sublattice is named, noise and other columns are not."""

import numpy as np
import pytest

import atomnb
from atomnb.data.elements import ATOMIC_NUMBERS
from atomnb.graph.defects import find_defects
from atomnb.graph.species import EXPONENT
from atomnb.simulate.structures import create_structure

pytest.importorskip("ase")

NUMBERS = {**ATOMIC_NUMBERS, "S2": 16 * 2 ** (1 / EXPONENT)}


def as_seen(name, noise, seed, *, size=(60, 60)):
    """A table of unnamed columns: brightness Z^1.7 with a share of noise, half as bright again from left to right."""
    columns = create_structure(name, size_angstrom=size).columns()
    yx = columns.positions_yx
    rng = np.random.default_rng(seed)
    slope = 1 + 0.5 * yx[:, 1] / size[1]
    bright = np.array([NUMBERS[c] for c in columns.content]) ** EXPONENT * slope
    table = atomnb.AtomTable.from_positions(rng.normal(yx, 0.05)).df
    return table.assign(intensity=bright * np.exp(rng.normal(0, noise, len(yx)))), columns.content


def inner(table, content, element):
    """Rows of an element well inside, far from one another."""
    yx = table[["y", "x"]].to_numpy()
    rows = np.flatnonzero((content == element) & ((yx > 8) & (yx < 52)).all(axis=1))
    chosen = rows[:1]
    for row in rows:
        if np.hypot(*(yx[chosen] - yx[row]).T).min() > 12:
            chosen = np.append(chosen, row)
    return chosen


@pytest.mark.parametrize("name", ["graphene", "mos2", "fcc-111", "fcc-001", "si-110", "gaas-110"])
def test_clean_noisy_crystals_have_hardly_any(name):
    atoms = found = 0
    for noise in (0.02, 0.1, 0.2):
        for seed in range(2):
            table, _ = as_seen(name, noise, seed)
            atoms += len(table)
            found += (find_defects(table, rules="generic")["kind"] == "dopant").sum()
    assert found <= 0.5e-3 * atoms


@pytest.mark.parametrize(("factor", "called"), [(2.0, "bright substitution"), (0.45, "dark substitution")])
@pytest.mark.parametrize(
    ("name", "element"), [("graphene", "C"), ("mos2", "S2"), ("mos2", "Mo"), ("fcc-111", "Au"), ("gaas-110", "Ga")]
)
def test_an_atom_of_another_brightness_is_a_substitution(name, element, factor, called):
    table, content = as_seen(name, 0.05, 0)
    rows = inner(table, np.array(content), element)
    assert len(rows) > 5
    table.loc[rows, "intensity"] *= factor
    found = find_defects(table, rules="generic")
    assert set(found["name"]) == {called} and set(found["kind"]) == {"dopant"}
    assert {atoms[0] for atoms in found["atoms"]} == set(rows)
    assert found["confidence"].min() > 0.9


def test_a_smaller_difference_is_less_sure():
    table, content = as_seen("graphene", 0.05, 0)
    row = inner(table, np.array(content), "C")[3]
    usual = np.median(table["intensity"][np.hypot(table["y"] - table["y"][row], table["x"] - table["x"][row]) < 6])
    surest = []
    for factor in (1.1, 1.33, 1.8):
        table.loc[row, "intensity"] = factor * usual
        surest.append(find_defects(table, rules="generic")["confidence"].max())
    assert np.isnan(surest[0]) and 0.5 < surest[1] < surest[2]


def test_columns_of_another_kind_are_no_substitutions():
    table, _ = as_seen("fcc-001", 0.03, 0)
    table.loc[np.random.default_rng(0).random(len(table)) < 0.25, "intensity"] *= 2
    assert find_defects(table, rules="generic").empty


@pytest.mark.parametrize("seed", range(4))
def test_of_columns_of_another_kind_not_even_the_brightest_few_are_substitutions(seed):
    """As the platinum of PtSe2: one in three of a triangular net, at the limit of what stands out."""
    yx = create_structure("fcc-111", size_angstrom=(60, 60)).columns().positions_yx
    rng = np.random.default_rng(seed)
    table = atomnb.AtomTable.from_positions(rng.normal(yx, 0.05)).df
    row = np.round(yx[:, 1] / np.diff(np.unique(yx[:, 1].round(2)))[0])
    place = np.round(yx[:, 0] / np.diff(np.unique(yx[:, 0].round(2)))[0])
    third = ((place - row) // 2 - row) % 3 == 0
    bright = np.where(third, 3.5, 1.0) * np.exp(rng.normal(0, 0.15, len(yx)))
    found = find_defects(table.assign(intensity=bright), rules="generic")
    assert 0.3 < third.mean() < 0.36 and found.empty


def test_an_empty_site_beside_does_not_make_a_substitution():
    table, content = as_seen("graphene", 0.05, 0)
    row = inner(table, np.array(content), "C")[3]
    left = table.drop(index=row).reset_index(drop=True)
    assert find_defects(left, rules="generic")["kind"].tolist() == ["vacancy"]


def test_silicon_in_graphene_stands_out_for_a_model_that_knows_no_elements():
    image = atomnb.sample_image("graphene-si")
    chemistry = atomnb.analyze(image, model="graphene-si", rules="graphene").defects
    plain = atomnb.analyze(image, rules="generic").defects
    plain = plain[plain["name"] == "bright substitution"]
    silicon = chemistry[chemistry["name"] == "three-fold Si"][["y", "x"]].to_numpy()
    away = np.hypot(*(plain[["y", "x"]].to_numpy()[:, None] - silicon).transpose(2, 0, 1))
    assert len(plain) == len(silicon) == 6
    assert away.min(axis=0).max() < 2
