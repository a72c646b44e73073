"""What stands in a column: site by neighbours, content by network and brightness together."""

import numpy as np
import pytest

import atomnb
from atomnb.errors import AtomnbError
from atomnb.graph.defects import find_defects
from atomnb.graph.rules import load_rules
from atomnb.graph.species import EXPONENT, assign_species, expected_brightness
from atomnb.graph.structure import build_graph
from atomnb.simulate.structures import create_structure

pytest.importorskip("ase")

NAMES = {"Mo": "metal", "S2": "chalcogen pair", "S": "single chalcogen"}


@pytest.fixture(scope="module")
def sheet():
    """A table as the model `tmd` gives it of a perfect MoS2 sheet: species, scores, brightness with 5 % of noise."""
    columns = create_structure("mos2", size_angstrom=(40, 40)).columns()
    table = atomnb.AtomTable.from_positions(columns.positions_yx).df
    weight = {"Mo": 1.0, "S2": 0.5, "S": 0.21}
    noise = np.exp(np.random.default_rng(0).normal(0, 0.05, len(table)))
    return table.assign(
        species=[NAMES[c] for c in columns.content],
        species_score=0.95,
        score=0.99,
        intensity=[weight[c] for c in columns.content] * noise,
    )


def central(table, species):
    middle = table[["y", "x"]].mean()
    away = np.hypot(table["y"] - middle["y"], table["x"] - middle["x"])
    return away[table["species"] == species].idxmin()


def test_brightness_goes_with_the_power_of_the_atomic_number():
    rules = load_rules("mos2")
    pair, single = expected_brightness(rules.species["S2"]), expected_brightness(rules.species["single chalcogen"])
    assert pair == pytest.approx(2 * 16**EXPONENT) and pair == pytest.approx(2 * single)


def test_what_the_network_says_stands_where_the_brightness_agrees(sheet):
    graph = build_graph(sheet, rules="mos2")
    assert (graph.species == sheet["species"].to_numpy(str)).all() and graph.part.all()
    assert find_defects(sheet, rules="mos2").empty


def test_an_antisite_the_network_took_for_metal_is_known_by_its_brightness(sheet):
    atom = central(sheet, "metal")
    table = sheet.copy()
    table.loc[atom, ["intensity", "species_score"]] = 0.5, 0.85
    found = find_defects(table, rules="mos2")
    assert found["name"].tolist() == ["S2_Mo"] and found["atoms"][0][0] == atom


def test_a_sure_network_outweighs_a_little_brightness(sheet):
    atom = central(sheet, "chalcogen pair")
    table = sheet.copy()
    table.loc[atom, ["intensity", "species_score"]] = 0.44, 0.99
    assert find_defects(table, rules="mos2").empty


def test_a_fainter_column_is_a_vacancy_even_if_the_network_saw_a_pair(sheet):
    atom = central(sheet, "chalcogen pair")
    table = sheet.copy()
    table.loc[atom, ["intensity", "species_score"]] = 0.21, 0.8
    assert find_defects(table, rules="mos2")["name"].tolist() == ["V_S"]


def test_an_atom_as_bright_as_nothing_is_an_empty_site(sheet):
    atom = central(sheet, "chalcogen pair")
    table = sheet.copy()
    table.loc[atom, ["intensity", "score", "species"]] = 0.02, 0.55, "single chalcogen"
    graph = build_graph(table, rules="mos2")
    assert not graph.part[atom] and graph.part.sum() == len(table) - 1
    assert find_defects(table, rules="mos2")["name"].tolist() == ["V_S2"]


@pytest.mark.parametrize(
    ("name", "rules", "brightness", "called"),
    [
        ("mos2", "tmd", {"Mo": 1.0, "S2": 0.4}, {"Mo": "metal", "S2": "chalcogen pair"}),
        ("srtio3-001", "perovskite", {"Sr": 1.0, "TiO": 0.5}, {"Sr": "A", "TiO": "B"}),
    ],
)
def test_without_elements_the_first_site_is_the_brighter(name, rules, brightness, called):
    columns = create_structure(name, size_angstrom=(40, 40)).columns()
    seen = np.isin(columns.content, list(brightness))
    content = np.array(columns.content)[seen]
    table = atomnb.AtomTable.from_positions(columns.positions_yx[seen]).df
    table["intensity"] = [brightness[c] for c in content]
    assert build_graph(table, rules=rules).species.tolist() == [called[c] for c in content]


def test_half_a_chalcogen_pair_is_a_vacancy_though_its_element_is_not_known(sheet):
    table = sheet.drop(columns=["species", "species_score"])
    table.loc[central(sheet, "chalcogen pair"), "intensity"] = 0.25
    assert find_defects(table, rules="tmd")["name"].tolist() == ["V_X"]


def test_columns_without_names_or_brightness_cannot_be_named(sheet):
    bare = atomnb.AtomTable(sheet[["y", "x"]])
    with pytest.raises(AtomnbError, match="neither species nor intensities"):
        assign_species(bare, rules="mos2", neighbors=build_graph(sheet, rules="mos2").neighbors)


def test_columns_that_a_model_left_open_among_named_ones_are_named_by_brightness(sheet):
    """As `dumbbell` does where one grain is decided and the next is not."""
    left = (sheet["x"] < sheet["x"].median()).to_numpy()
    mixed = sheet.assign(species=np.where(left, "column", sheet["species"]))
    graph = build_graph(mixed, rules="mos2")
    assert (graph.species == sheet["species"].to_numpy(str)).all()
    assert find_defects(mixed, rules="mos2").empty
