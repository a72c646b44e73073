"""A network that has the two kinds of columns the wrong way round is not believed against the rules."""

import warnings

import numpy as np
import pytest

import atomnb
from atomnb.errors import RangeWarning
from atomnb.graph.species import EXPONENT
from atomnb.simulate.structures import create_structure

Z = {"Mo": 42, "W": 74, "Se": 34, "S": 16}


def named(material, names, seed=0):
    """Atoms of a sheet with three missing chalcogens, brightness as Z^1.7 with 5 % noise, and a network's names."""
    sheet = create_structure(material, size_angstrom=(40, 40), options={"v_x": 3}, seed=2)
    columns = sheet.columns()
    content = [str(c) for c in columns.content]
    rng = np.random.default_rng(seed)
    element = [c.rstrip("2") for c in content]
    bright = np.array([Z[e] ** EXPONENT * (2 if c.endswith("2") else 1) for e, c in zip(element, content, strict=True)])
    metal = np.isin(element, ["Mo", "W"])
    table = atomnb.AtomTable.from_positions(columns.positions_yx, pixel_size=1.0).df.assign(
        intensity=bright * np.exp(rng.normal(0, 0.05, len(bright))),
        species=np.where(metal, *names),
        species_score=0.99,
        score=1.0,
    )
    return table


def found(table, rules):
    return atomnb.find_defects(table, rules=rules, pixel_size=1.0)["name"].tolist()


def test_swapped_names_of_mose2_are_told_and_its_defects_found_all_the_same():
    table = named("mose2", ("chalcogen pair", "metal"))
    with pytest.warns(RangeWarning, match="against the rules 'mose2'"):
        assert found(table, "mose2") == ["V_Se"] * 3


@pytest.mark.parametrize("material", ["mos2", "wse2"])
def test_right_names_are_believed(material):
    table = named(material, ("metal", "chalcogen pair"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found(table, material)


def test_rules_without_elements_cannot_contradict():
    table = named("mose2", ("chalcogen pair", "metal"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found(table, "tmd")
