"""Rule sets: those of the package are sound, and every mistake in one's own is named with its place."""

import pytest

from atomnb.graph.rules import RulesError, list_rules, load_rules, parse_rules

GOOD = """
name: mine
host: {motif: honeycomb, bond: 1.42, sites: [C]}
species:
  C: {valence: 3, site: C}
  Fe: {valence: 4}
bonds:
  C-C: [0.9, 1.8]
  C-Fe: [1.5, 2.3]
names:
  - {name: lone iron, formula: Fe1C3}
"""


@pytest.mark.parametrize("name", list_rules())
def test_package_rules_hold_together(name):
    rules = load_rules(name)
    assert rules.name == name and rules.summary
    for site in rules.host.sites:
        assert any(s.site == site for s in rules.species.values()), f"nothing is at home on {site}"
    if rules.host.bond:
        usual = [s.symbol for s in rules.species.values() if s.site]
        low, high = rules.ranges[tuple(sorted((usual[0], usual[-1])))]
        assert low < rules.host.bond < high


def test_own_rules_from_a_file(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(GOOD, encoding="utf-8")
    rules = load_rules(path)
    assert rules.ranges["C", "Fe"] == (1.5, 2.3)
    assert rules.of("Fe").site is None
    assert load_rules(str(path)).names[0].name == "lone iron"
    assert load_rules(rules) is rules


def test_columns_of_several_atoms_are_read_as_formulas():
    rules = load_rules("mos2")
    assert rules.of("S2").content == {"S": 2}
    assert rules.of("MoS").content == {"Mo": 1, "S": 1}
    assert rules.of("single chalcogen").content == {"S": 1}
    assert rules.of("Re").site is None


@pytest.mark.parametrize("species", ["blob", "mos", "Xx", ""])
def test_unknown_species_are_refused(species):
    with pytest.raises(RulesError, match="know no species"):
        load_rules("graphene").of(species)


@pytest.mark.parametrize(
    ("before", "after", "message"),
    [
        ("C-C: [0.9, 1.8]", "C-C: [1.8, 0.9]", "bonds: C-C: the shortest bond .1.8 Å. is not below the longest"),
        ("C-C: [0.9, 1.8]", "C-C: [0.9, 180]", "from 0 to 8"),
        ("C-C: [0.9, 1.8]", "C-Qq: [0.9, 1.8]", "named by two symbols"),
        ("C-C: [0.9, 1.8]", "C-C: 1.8", r"must be \[shortest, longest\]"),
        ("bond: 1.42", "bond: yes", "host: bond must be a number"),
        ("motif: honeycomb", "motif: cube", "motif must be one of"),
        ("site: C", "site: D", "site must be one of C"),
        ("valence: 3", "valense: 3", "unknown entry 'valense'"),
        ("valence: 4", "valence: 40", "from 1 to 12"),
        ("formula: Fe1C3", "rings: [2]", "ring sizes from 3"),
        ("name: lone iron, formula: Fe1C3", "formula: Fe1C3", "needs a name"),
        ("host: {", "hosts: {", "unknown entry 'hosts'"),
        ("name: mine", "name: [", "not valid YAML"),
        ("motif: honeycomb", "motif: [honeycomb]", "motif must be one of"),
        ("sites: [C]", "sites: [C, C]", "different names"),
        ("sites: [C]", "sites: [C, D]", "at home on the host site 'D'"),
        ("name: mine", "ignored: O", "ignored must be a list"),
        ("valence: 4}", "count: 1.5}", r"species: Fe: count must be a whole number, got 1\.5: round it"),
        ("valence: 3", "valence: 2.5", r"species: C: valence must be a whole number, got 2\.5"),
        ("formula: Fe1C3", "rings: [5, 7], missing: 0.5", r"missing must be a whole number, got 0\.5"),
        ("C-Fe: [1.5, 2.3]", "C-Fe: [1.5, 2.3]\n  Fe-C: [1.5, 2.0]", "C-Fe and Fe-C are the same bond: keep one"),
        ("C-Fe: [1.5, 2.3]", "C-Fe: [1.5, 2.3]\n  C-Fe: [1.5, 2.0]", "'C-Fe' is given here.*again here: keep one"),
        ("name: mine", "projected: yes", "projected must be one of True, False, got 'yes'"),
    ],
)
def test_mistakes_are_named(before, after, message):
    with pytest.raises(RulesError, match=f"(?s){message}"):
        parse_rules(GOOD.replace(before, after), name="mine")


@pytest.mark.parametrize("element", ["N", "Y", "No"])
def test_elements_that_yaml_takes_for_truth_values_are_elements(element):
    rules = parse_rules(GOOD.replace("Fe", element).replace("name: mine", "ignored: [y, off]\nprojected: true"))
    assert rules.of(element).content == {element: 1} and rules.of(element).valence == 4
    assert rules.ranges["C", element] == (1.5, 2.3)
    assert rules.ignored == ("y", "off") and rules.projected is True


def test_a_whole_number_may_be_written_with_a_point():
    assert parse_rules(GOOD.replace("valence: 4", "count: 2.0")).of("Fe").content == {"Fe": 2}


def test_names_must_be_a_list():
    with pytest.raises(RulesError, match="names must be a list"):
        parse_rules(GOOD.split("names:")[0] + "names: 3")


def test_a_rule_file_must_be_a_mapping():
    with pytest.raises(RulesError, match="mapping"):
        parse_rules("- 1\n- 2")


def test_unknown_rules_say_which_there_are():
    with pytest.raises(RulesError, match=r"choose .*graphene"):
        load_rules("grafene")


@pytest.mark.parametrize("rules", [None, False, 5, ["graphene"]])
def test_rules_of_another_type_are_told_with_a_list_of_the_rule_sets(rules):
    with pytest.raises(RulesError, match=r"rules must be the name .*choose .*graphene, .*mos2"):
        load_rules(rules)
