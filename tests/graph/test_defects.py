"""Defects of ideal structures: the exact name, formula, rings and count, however the sheet lies or is strained."""

import copy
from functools import cache

import numpy as np
import pandas as pd
import pytest
import torch

import atomnb
from atomnb.data.atoms import AtomTable
from atomnb.errors import AtomnbError, RangeWarning
from atomnb.graph.defects import COLUMNS, find_defects
from atomnb.graph.rules import RulesError
from atomnb.graph.structure import build_graph
from atomnb.simulate.structures import create_structure

pytest.importorskip("ase")

GRAPHENE = {
    "vacancies": ("Va1C3", "single vacancy", (12,), 1),
    "divacancies": ("Va2", "divacancy 5-8-5", (5, 5, 8), 2),
    "stone_wales": ("C16", "Stone–Wales 55-77", (5, 5, 7, 7), 0),
    "three_fold": ("Si1C3", "three-fold Si", (), 0),
    "four_fold": ("Si1C4", "four-fold Si", (5, 5), 1),
    "trimers": ("Si3C6", "Si trimer", (3, 5, 5, 5), 3),
}
MOS2 = {
    "v_x": ("S1Mo3", "V_S"),
    "v_x2": ("Va1Mo3", "V_S2"),
    "v_m": ("Va1S6", "V_Mo"),
    "m_x": ("Mo1S1Mo3", "Mo_S"),
    "m_x2": ("Mo1Mo3", "Mo_S2"),
    "x2_m": ("S2S6", "S2_Mo"),
    "chalcogen_dopants": ("O1S1Mo3", "O_S"),
    "metal_dopants": ("V1S6", "vanadium_Mo"),
}
HBN = {
    "v_b": ("Va1N3", "V_B"),
    "v_n": ("Va1B3", "V_N"),
    "v_bn": ("Va2B2N2", "V_B+V_N"),
    "c_b": ("C1N3", "C_B"),
    "c_n": ("C1B3", "C_N"),
    "holes": ("Va4N6", "3V_B+V_N"),
}


def sheet(name, option, seed=0):
    """Positions (N, 2) Å and column contents of a sheet with one defect, well inside it."""
    for attempt in range(seed, seed + 50):
        chosen = {option: 1} if option else None
        structure = create_structure(name, size_angstrom=(40, 40), seed=attempt, options=chosen)
        middle = np.array(structure.size_angstrom) / 2
        if all((np.abs(np.array(d.yx_angstrom) - middle) < middle - 8).all() for d in structure.defects):
            columns = structure.columns()
            return columns.positions_yx, columns.content
    raise AssertionError("no sheet has its defect inside")


def turned(yx, angle_deg=0.0, *, mirror=False):
    angle = np.radians(angle_deg)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return (yx * [1, -1] if mirror else yx) @ turn.T


@pytest.mark.parametrize("option", GRAPHENE)
def test_graphene(option):
    yx, content = sheet("graphene", option)
    found = find_defects(yx, rules="graphene", species=content)
    formula, name, rings, missing = GRAPHENE[option]
    assert found[["formula", "name"]].to_numpy().tolist() == [[formula, name]]
    assert found["rings"][0] == rings and found["missing"][0] == missing
    assert found["complete"][0] and found["confidence"][0] > 0.95


@pytest.mark.parametrize("option", MOS2)
def test_dichalcogenide(option):
    yx, content = sheet("mos2", option)
    found = find_defects(yx, rules="mos2", species=content)
    assert found[["formula", "name"]].to_numpy().tolist() == [list(MOS2[option])]


@pytest.mark.parametrize("option", HBN)
def test_boron_nitride(option):
    yx, content = sheet("hbn", option)
    found = find_defects(yx, rules="hbn", species=content)
    assert found[["formula", "name"]].to_numpy().tolist() == [list(HBN[option])]


@pytest.mark.parametrize(
    ("name", "first", "second", "called", "formula"),
    [
        ("mos2", "S2 -> S", "S2", "V_S+V_S2", "S1Va1Mo5"),
        ("mos2", "S2 -> O", "S2", "O_S2+V_S2", "O1Va1Mo5"),
        ("hbn", "N -> C", "B", "C_N+V_B", "C1Va1B2N2"),
    ],
)
def test_an_empty_site_beside_another_defect_is_in_the_formula(name, first, second, called, formula):
    yx, content = sheet(name, None)
    content = np.array(content, object)
    usual, unusual = first.split(" -> ")
    changed = central(yx, content == usual)
    empty = central(yx, (content == second) & (np.arange(len(yx)) != changed), yx[changed])
    content[changed] = unusual
    kept = np.arange(len(yx)) != empty
    found = find_defects(yx[kept], rules=name, species=content[kept])
    assert found[["name", "formula"]].to_numpy().tolist() == [[called, formula]]
    counted = np.array(found["atoms"][0])
    assert content[kept][counted[0]] == unusual
    bond = np.hypot(*(yx - yx[changed]).T)[np.arange(len(yx)) != changed].min()
    sites = np.array([yx[changed], yx[empty]])
    away = np.hypot(*(yx[kept][counted[1:], None] - sites).transpose(2, 0, 1)).min(axis=1)
    np.testing.assert_allclose(away, bond, rtol=0.05)


def central(yx, mask, centre=None):
    """The number of the chosen atom nearest to a place, by default the middle."""
    away = np.hypot(*(yx - (yx.mean(axis=0) if centre is None else centre)).T)
    return int(np.where(mask, away, np.inf).argmin())


@pytest.mark.parametrize(
    ("name", "rules"),
    [("graphene", "graphene"), ("hbn", "hbn"), ("mos2", "mos2"), ("mos2", "generic"), ("fcc-111", "generic")],
)
def test_a_perfect_crystal_has_none(name, rules):
    yx, content = sheet(name, None)
    assert find_defects(yx, rules=rules, species=content).empty


@pytest.mark.parametrize("option", ["divacancies", "trimers", "stone_wales"])
@pytest.mark.parametrize(("angle", "mirror"), [(17, False), (90, True), (201, True)])
def test_turned_mirrored_scaled_and_noisy_copies_are_the_same(option, angle, mirror):
    yx, content = sheet("graphene", option)
    rng = np.random.default_rng(1)
    order = rng.permutation(len(yx))
    copy = 7.3 * turned(yx, angle, mirror=mirror)[order] + rng.normal(0, 7.3 * 0.05, yx.shape)
    first = find_defects(yx, rules="graphene", species=content)
    again = find_defects(copy, rules="graphene", species=np.asarray(content)[order])
    keep = ["formula", "name", "topology", "rings", "missing"]
    assert again[keep].to_numpy().tolist() == first[keep].to_numpy().tolist()
    assert {int(order[a]) for a in again["atoms"][0]} == set(first["atoms"][0])


def test_strain_of_a_fifth_does_not_change_the_count_of_missing_atoms():
    yx, content = sheet("graphene", "divacancies")
    found = find_defects(yx * [1.0, 1.12], rules="graphene", species=content)
    assert found["name"].tolist() == ["divacancy 5-8-5"] and found["missing"].tolist() == [2]


def test_isomers_differ_in_topology_and_bear_the_same_formula():
    pair = {}
    for yx, content in (sheet("graphene", "four_fold"), sheet("graphene", "three_fold")):
        found = find_defects(yx, rules="graphene", species=content)
        pair[found["topology"][0]] = found["formula"][0]
    assert len(pair) == 2
    sheets = [sheet("mos2", o) for o in ("v_x2", "v_m")]
    assert len({find_defects(yx, rules="mos2", species=c)["topology"][0] for yx, c in sheets}) == 2


def test_what_no_rule_names_is_named_consistently_and_the_users_name_sticks():
    yx, content = sheet("graphene", "dimers")
    found = find_defects(yx, rules="graphene", species=content)
    name, topology = found["name"][0], found["topology"][0]
    assert name == f"unseen: {found['formula'][0]}-{found['bonds'][0]}#{topology[:4]}"
    again = find_defects(turned(yx, 33), rules="graphene", species=content, names={topology: "Jesse's dimer"})
    assert again["name"].tolist() == ["Jesse's dimer"]


def test_frames_are_looked_at_one_by_one():
    yx, content = sheet("graphene", "three_fold")
    table = atomnb.AtomTable.from_positions(np.concatenate([yx, yx])).df.assign(
        species=np.concatenate([content, content]), frame=np.repeat([0, 3], len(yx))
    )
    found = find_defects(table, rules="graphene").sort_values("frame")
    assert found["frame"].tolist() == [0, 3]
    assert {a - len(yx) for a in found["atoms"].iloc[1]} == set(found["atoms"].iloc[0])


def test_positions_with_equal_columns_get_their_elements_from_brightness():
    yx, content = sheet("mos2", "v_x")
    table = atomnb.AtomTable.from_positions(yx).df
    weight = {"Mo": 42**1.7, "S2": 2 * 16**1.7, "S": 16**1.7}
    rng = np.random.default_rng(0)
    table["intensity"] = [weight[c] for c in content] * np.exp(rng.normal(0, 0.05, len(yx)))
    found = find_defects(table, rules="mos2")
    assert found[["formula", "name"]].to_numpy().tolist() == [["S1Mo3", "V_S"]]


@pytest.mark.parametrize("noise", [0.0, 0.03])
@pytest.mark.parametrize(
    ("name", "rules", "options"),
    [
        ("si-110", "diamond110", {}),
        ("gaas-110", "generic", {}),
        ("pbtio3-001", "perovskite", {}),
        ("mos2", "mos2", None),
        ("fcc-111", "generic", {}),
    ],
)
def test_a_vacancy_is_where_the_column_was(name, rules, options, noise):
    """Bonds that sum to zero lead there in a honeycomb, but not in a dumbbell or a polar crystal."""
    thin = None if options is None else {"thickness_angstrom": 8.0} | options
    columns = create_structure(name, size_angstrom=(40, 40), options=thin).columns()
    kinds = {"Pb": "A", "PbO": "A", "Ti": "B", "TiO": "B", "O": "O"} if rules == "perovskite" else {}
    plain = rules in ("generic", "diamond110")
    content = np.array(["column" if plain else kinds.get(c, c) for c in columns.content], object)
    yx = columns.positions_yx + np.random.default_rng(0).normal(0, noise, columns.positions_yx.shape)
    for number in np.argsort(np.hypot(*(yx - yx.mean(axis=0)).T))[:8]:
        if content[number] == "O":
            continue
        kept = np.arange(len(yx)) != number
        (found,) = find_defects(yx[kept], rules=rules, species=content[kept], pixel_size=1.0).itertuples()
        assert np.hypot(*(columns.positions_yx[number] - [found.y, found.x])) < 0.05 + 5 * noise
        assert found.name.startswith("V_") or (plain and found.name == "vacancy")


@pytest.mark.parametrize("name, usual, odd", [("mos2", "S2", "S"), ("graphene", "C", "N")])
def test_a_defect_has_the_same_topology_beside_another_one(name, usual, odd):
    yx, content = sheet(name, None)
    first = central(yx, content == usual)
    across = np.sort(np.hypot(*(yx - yx[first]).T))
    apart = (
        across[4] if name == "mos2" else across[10]
    )  # in the same ring: next of its kind, or opposite in the hexagon
    others = np.flatnonzero((content == usual) & (np.abs(np.hypot(*(yx - yx[first]).T) - apart) < 0.1))
    alone, both = content.astype(object), content.astype(object)
    alone[first] = both[first] = both[others[0]] = odd
    (one,) = find_defects(yx, rules=name, species=alone).itertuples()
    two = find_defects(yx, rules=name, species=both)
    assert two["topology"].tolist() == [one.topology] * 2 and two["name"].tolist() == [one.name] * 2


@pytest.mark.parametrize("seed", range(3))
def test_the_dislocations_of_a_boundary_lack_no_atoms_whatever_the_noise(seed):
    columns = create_structure(
        "graphene-grain-boundary", size_angstrom=(60, 60), options={"angle_degrees": "9.4"}
    ).columns()
    yx = columns.positions_yx + np.random.default_rng(seed).normal(0, 0.05, columns.positions_yx.shape)
    found = find_defects(yx, rules="graphene", pixel_size=1.0)
    whole = found[found["complete"]]
    assert len(whole) >= 4 and set(whole["name"]) == {"dislocation 5-7"}
    assert (whole["missing"] == 0).all() and (whole["confidence"] == 1).all()


def test_nothing_in_gives_an_empty_table_with_all_columns():
    found = find_defects(np.zeros((0, 2)), rules="graphene")
    assert found.empty and list(found) == list(COLUMNS)
    lone = find_defects(np.array([[3.0, 4.0]]), rules="graphene", species=["C"])
    assert list(lone) == list(COLUMNS)


@cache
def mirror_twin(name="mos2"):
    """Positions (N, 2) Å, contents and lines of a sheet with a line 4|4P and a line 4|4E, both well inside it."""
    structure = create_structure(f"{name}-mirror-twin", size_angstrom=(60, 40))
    height = structure.size_angstrom[0]
    columns = structure.columns()
    yx = columns.positions_yx - [10, 0]
    yx[:, 0] %= height
    return yx, list(columns.content), {d.name: (d.yx_angstrom[0] - 10) % height for d in structure.defects}


@pytest.mark.parametrize("name", ["mos2", "wse2"])
@pytest.mark.parametrize(("angle", "mirror", "noise"), [(0, False, 0.0), (33, False, 0.05), (140, True, 0.05)])
def test_a_mirror_twin_line_is_one_boundary(name, angle, mirror, noise):
    yx, content, lines = mirror_twin(name)
    moved = turned(yx, angle, mirror=mirror) + np.random.default_rng(0).normal(0, noise, yx.shape)
    found = find_defects(moved, rules=name, species=content)
    assert found["kind"].tolist() == ["boundary"] * 2
    assert found["name"].str.startswith("unseen: ").all()
    heights = [np.median(yx[list(core), 0]) for core in found["core"]]
    assert sorted(heights) == pytest.approx(sorted(lines.values()), abs=0.5)
    # each is as long as the sheet is wide
    assert (2 * found["extent"] > 0.9 * np.ptp(yx[:, 1])).all()


def test_an_adatom_and_a_vacancy_near_a_twin_line_are_none_of_it():
    yx, content, lines = mirror_twin()
    graph = build_graph(yx, rules="mos2", species=content)
    centres = graph.rings.centres_yx / graph.scale
    middle = np.array([lines["4|4P"] + 6, yx[:, 1].mean()])
    centre = centres[np.hypot(*(centres - middle).T).argmin()]
    sulfur = np.flatnonzero(np.array(content) == "S2")
    empty = sulfur[np.hypot(*(yx[sulfur] - middle - [8, 0]).T).argmin()]
    moved = turned(np.concatenate([np.delete(yx, empty, axis=0), [centre]]), 20)
    noisy = moved + np.random.default_rng(0).normal(0, 0.05, moved.shape)
    found = find_defects(noisy, rules="mos2", species=[*content[:empty], *content[empty + 1 :], "Mo"])
    assert sorted(found["kind"]) == ["adatom", "boundary", "boundary", "vacancy"]


@pytest.mark.parametrize("element", ["Fe", "Pt", "Al", "P", "W"])
@pytest.mark.parametrize(("name", "formula"), [("graphene", "C3"), ("hbn", "N3")])
def test_an_element_without_an_entry_is_bonded_to_the_sheet_it_rises_from(element, name, formula):
    yx, content = sheet(name, None)
    content = np.array(content, object)
    usual = np.flatnonzero(content == ("C" if name == "graphene" else "B"))
    middle = usual[np.hypot(*(yx[usual] - yx.mean(axis=0)).T).argmin()]
    content[middle] = element
    found = find_defects(yx, rules=name, species=content)
    assert found["formula"].tolist() == [f"{element}1{formula}"] and found["rings"][0] == ()


@pytest.mark.parametrize(("name", "formula"), [("fcc-001", "Va1X4"), ("fcc-111", "Va1X6"), ("si-110", "Va1X3")])
@pytest.mark.parametrize("noise", [0.0, 0.06])
def test_generic_rules_find_the_net_of_any_lattice(name, formula, noise):
    columns = create_structure(name, size_angstrom=(50, 50)).columns()
    yx = columns.positions_yx
    away = np.hypot(*(yx - yx.mean(axis=0)).T)
    noisy = np.delete(np.random.default_rng(0).normal(yx, noise), away.argmin(), axis=0)
    assert find_defects(noisy, rules="generic")["formula"].tolist() == [formula]


def test_a_handful_of_atoms_far_apart_and_errors_without_bound_do_no_harm():
    uneven = np.array([[0, 0], [0, 0.4], [5, 5], [5, 6], [9, 9], [9, 11.0]])
    assert list(find_defects(uneven, rules="graphene", species=["C"] * 6)) == list(COLUMNS)
    yx, content = sheet("graphene", "three_fold")
    table = atomnb.AtomTable.from_positions(yx).df.assign(species=content, y_err=np.inf, x_err=np.nan)
    assert find_defects(table, rules="graphene")["formula"].tolist() == ["Si1C3"]


@pytest.mark.parametrize("species", ["Mo", "S", "S2", "Au"])
def test_an_atom_in_the_middle_of_a_ring_is_on_no_site(species):
    yx, content = sheet("mos2", None)
    graph = build_graph(yx, rules="mos2", species=content)
    centres = graph.rings.centres_yx / graph.scale
    middle = centres[np.hypot(*(centres - yx.mean(axis=0)).T).argmin()]
    found = find_defects(np.concatenate([yx, [middle]]), rules="mos2", species=[*content, species])
    assert found["missing"].tolist() == [-1]
    assert found["kind"].tolist() == ["dopant" if species == "Au" else "adatom"]
    assert found["name"][0] in (f"{species}_i", f"unseen: {found['formula'][0]}-3-3-3-3-3-3#{found['topology'][0][:4]}")


def test_a_dopant_without_a_bond_is_on_no_site():
    columns = create_structure("srtio3-001", size_angstrom=(40, 40)).columns()
    kinds = {"Sr": "A", "TiO": "B", "O": "O"}
    species = np.array([kinds[c] for c in columns.content], object)
    oxygen = np.flatnonzero(species == "O")
    away = np.hypot(*(columns.positions_yx[oxygen] - columns.positions_yx.mean(axis=0)).T)
    species[oxygen[away.argmin()]] = "Fe"
    assert find_defects(columns.positions_yx, rules="perovskite", species=species)["name"].tolist() == ["Fe_i"]


def test_nothing_but_foreign_atoms_is_what_noise_leaves_and_no_error():
    yx = np.stack(np.meshgrid(np.arange(4) * 6.0, np.arange(4) * 6.0), axis=-1).reshape(-1, 2)
    with pytest.warns(RangeWarning, match="none of the atoms .Si. belongs to the crystal of the rules 'graphene'"):
        found = find_defects(yx, rules="graphene", species=["Si"] * len(yx))
    assert len(found) and not found["formula"].str.contains("C").any()


def test_an_atom_that_the_network_saw_twice_counts_once():
    yx, content = sheet("graphene", "three_fold")
    alone = find_defects(yx, rules="graphene", species=content)
    middle = content.tolist().index("Si")
    twice = np.concatenate([yx, yx[middle : middle + 1] + 0.1])
    table = atomnb.AtomTable.from_positions(twice).df.assign(species=[*content, "Si"])
    sure = find_defects(table.assign(score=[*np.full(len(yx), 0.99), 0.6]), rules="graphene")
    assert sure[["name", "topology", "atoms"]].equals(alone[["name", "topology", "atoms"]])
    with pytest.raises(AtomnbError, match="at one place"):
        find_defects(table.assign(score=0.99), rules="graphene")


def test_bad_positions_and_species_are_told():
    yx, content = sheet("graphene", "three_fold")
    with pytest.raises(AtomnbError, match="at one place"):
        find_defects(np.concatenate([yx, yx[:1]]), rules="graphene", species=[*content, "C"])
    with pytest.raises(AtomnbError, match="rows 0 and 1"):
        find_defects([[0, 0], [0, 0], [0, 1.4]], rules="graphene", species=["C"] * 3)
    with pytest.raises(RulesError, match=r"none of the atoms .* belongs to the crystal"):
        find_defects(yx, rules="mos2", species=content)
    with pytest.raises(AtomnbError, match="NaN"):
        find_defects(np.where(np.arange(len(yx))[:, None] == 3, np.nan, yx), rules="graphene", species=content)
    with pytest.raises(RulesError, match="know no species 'blob'"):
        find_defects(yx, rules="graphene", species=["blob"] * len(yx))
    with pytest.raises(AtomnbError, match="neither species nor intensities"):
        find_defects(yx, rules="mos2")
    with pytest.raises(AtomnbError, match="each of the"):
        find_defects(yx, rules="graphene", species=content[:-1])
    with pytest.raises(AtomnbError, match="know no species"):
        find_defects(yx, rules="graphene", species=[None, *content[1:]])
    for nothing in (yx, yx[:0]):
        with pytest.raises(RulesError, match=r"rules must be .*choose .*graphene"):
            find_defects(nothing, rules=None)
    with pytest.raises(RulesError, match=r"no rules 'grafene': choose .*graphene"):
        find_defects(yx[:0], rules="grafene")
    with pytest.raises(AtomnbError, match=r"pairs \(y, x\)"):
        find_defects(np.zeros((4, 3)), rules="graphene")


def test_analyze_draws_bonds_and_names_defects_of_an_image():
    image = atomnb.Micrograph(atomnb.sample_image("si-110").data, pixel_size=0.0977)
    result = atomnb.analyze(image, rules="diamond110")
    assert result.graph.host.coordination == 3
    inner = ~result.graph.open
    assert np.mean(result.graph.neighbors.coordination[inner] == 3) > 0.95
    assert set(result.defects) == set(COLUMNS)
    assert all(0 <= row < len(result.atoms) for atoms in result.defects["atoms"] for row in atoms)
    assert atomnb.analyze(image).defects is None
    with pytest.raises(RulesError, match=r"rules must be .*choose .*diamond110"):
        atomnb.analyze(image, rules=True)


def test_noise_has_no_atoms_and_no_defects():
    noise = np.random.default_rng(0).poisson(5, (64, 64)).astype(float)
    with pytest.warns(UserWarning):
        result = atomnb.analyze(noise, model="graphene-si", rules="graphene")
    assert result.defects.empty and len(result.graph) == len(result.atoms)


def test_bare_positions_of_a_crystal_of_one_element_are_taken_for_its_atoms():
    yx, _ = sheet("graphene", "stone_wales")
    assert find_defects(yx, rules="graphene")["name"].tolist() == ["Stone–Wales 55-77"]


def test_a_lone_foreign_atom_in_the_middle_of_a_ring_is_not_sure():
    yx, content = sheet("graphene", None)
    middle = np.argmin(np.hypot(*(yx - yx.mean(axis=0)).T))
    near = np.argsort(np.hypot(*(yx - yx[middle]).T))[1:4]
    hollow = yx[middle] - (yx[near[0]] - yx[middle])
    table = atomnb.AtomTable.from_positions(np.concatenate([yx, [hollow]])).df.assign(species=[*content, "Si"])
    found = find_defects(table, rules="graphene")
    assert found["bonds"].tolist() == ["0f"] and found["confidence"][0] <= 0.5


def with_rings(sheet, centre, wanted):
    """The first sheet with one bond near the centre turned whose only defect has these rings."""
    from atomnb.simulate.structures.graphene_defects import rotate_bond

    middles = [(i, j, sheet.positions[[i, j], :2].mean(axis=0)) for i, j in sheet.bonds().tolist()]
    for i, j, middle in middles:
        if np.hypot(*(middle - centre)) < 4:
            trial = copy.deepcopy(sheet)
            rotate_bond(trial, i, j)
            trial.relax(around_xy=centre[None])
            if find_defects(trial.atoms().positions[:, 1::-1], rules="graphene")["rings"].tolist() == [wanted]:
                return trial
    raise AssertionError(f"no bond leads to {wanted}")


def test_a_divacancy_that_has_closed_is_a_vacancy_in_each_of_its_forms():
    from atomnb.simulate.structures.graphene_defects import divacancy
    from atomnb.simulate.structures.sheet import honeycomb

    sheet = honeycomb(1.42, ("C", "C"), (34, 34))
    centre = sheet.lengths[:2] / 2
    divacancy(sheet, int(np.hypot(*(sheet.positions[:, :2] - centre).T).argmin()), np.random.default_rng(0))
    sheet.relax(around_xy=centre[None])
    for rings in [(5, 5, 5, 7, 7, 7), (5, 5, 5, 5, 7, 7, 7, 7)]:  # the second goes round a hexagon
        sheet = with_rings(sheet, centre, rings)
        (found,) = find_defects(sheet.atoms().positions[:, 1::-1], rules="graphene").itertuples()
        assert found.name.startswith("divacancy 555") and found.kind == "vacancy"
        assert found.missing == 2 and found.formula == "Va2" and found.confidence == 1


def test_a_loop_of_rings_round_turned_hexagons_lacks_no_atom():
    """The flower defect: 24 atoms turned by 30° (Cockayne et al., Phys. Rev. B 83, 195425, 2011)."""
    yx, _ = sheet("graphene", None)
    middle = central_ring(yx)
    away = yx - middle
    core = np.argsort(np.hypot(*away.T), kind="stable")[:24]
    moved = yx.copy()
    moved[core] = middle + 0.95 * turned(away[core], 30)
    (found,) = find_defects(moved, rules="graphene").itertuples()
    assert found.rings == (5,) * 6 + (7,) * 6
    assert found.missing == 0 and found.confidence == 1 and found.kind == "boundary"


def central_ring(yx):
    """Centre of the hexagon nearest to the middle of the sheet."""
    centres = build_graph(yx, rules="graphene", species=["C"] * len(yx)).rings.centres_yx
    return centres[np.hypot(*(centres - yx.mean(axis=0)).T).argmin()]


def missed_and_missing(counts):
    """A noisy image (H, W) of graphene, the fitted atoms, and where in px one was not listed and one is not there."""
    from atomnb.simulate.render import render_columns

    scale, sigma = 0.2, 2.4  # Å per px; px
    yx = sheet("graphene", None)[0] / scale
    middle = yx.mean(axis=0)
    missed, missing = (np.argmin(np.hypot(*(yx - middle - shift).T)) for shift in ([0, -40], [0, 40]))
    rng = np.random.default_rng(1)
    there = np.delete(yx, missing, axis=0)
    shape = tuple((np.ceil(yx.max(axis=0)) + 8).astype(int))
    expected = render_columns(
        torch.tensor(there)[None], torch.full((1, len(there)), counts), torch.full((1, len(there)), sigma), shape
    )[0]
    listed = np.delete(yx, [missed, missing], axis=0)
    values = {"intensity": counts * (1 + rng.normal(0, counts**-0.5, len(listed))), "sigma": sigma, "species": "C"}
    table = AtomTable(pd.DataFrame({"y": listed[:, 0], "x": listed[:, 1], "score": 1.0, **values}), scale)
    return rng.poisson(expected + 0.5).astype(float), table, yx[missed], yx[missing]


@pytest.mark.parametrize("counts", [1000.0, 300.0])
def test_an_atom_that_was_missed_is_no_sure_vacancy(counts):
    image, table, missed, missing = missed_and_missing(counts)
    blind = find_defects(table, rules="graphene")
    found = find_defects(table, rules="graphene", image=image)
    assert blind["name"].tolist() == found["name"].tolist() == ["single vacancy"] * 2

    def confidence(defects, place):
        return defects["confidence"][np.argmin(np.hypot(defects["y"] - place[0], defects["x"] - place[1]))]

    assert confidence(blind, missed) > 0.95 and confidence(found, missed) < 0.05
    assert confidence(found, missing) > 0.95


def test_an_image_without_fitted_intensities_changes_nothing():
    image, table, *_ = missed_and_missing(300.0)
    bare = AtomTable(table.df[["y", "x", "score"]], table.pixel_size)
    with_image = find_defects(bare, rules="graphene", image=image)
    pd.testing.assert_frame_equal(with_image, find_defects(bare, rules="graphene"))


def test_an_image_in_which_the_atoms_cannot_have_been_found_is_refused():
    image, table, *_ = missed_and_missing(300.0)
    with pytest.raises(AtomnbError, match="outside the image"):
        find_defects(table, rules="graphene", image=image[:50])
    frames = AtomTable(table.df.assign(frame=np.arange(len(table)) % 2), table.pixel_size)
    with pytest.raises(AtomnbError, match="pass the whole stack"):
        find_defects(frames, rules="graphene", image=image)


def test_one_frame_of_a_stack_may_come_with_its_own_image():
    image, table, *_ = missed_and_missing(1000.0)
    found = find_defects(AtomTable(table.df.assign(frame=3), table.pixel_size), rules="graphene", image=image)
    assert found["frame"].tolist() == [3, 3] and found["confidence"].min() < 0.05 and found["confidence"].max() > 0.95


@pytest.mark.parametrize(("error", "low", "high"), [(0.02, 0.93, 1.0), (0.15, 0.4, 0.75)])
def test_a_bond_that_is_not_drawn_may_be_there_when_positions_are_uncertain(error, low, high):
    """Two neighbours 1.96 Å apart leave one ring of ten; carbon is bonded up to 1.85 Å."""
    yx, content = sheet("graphene", None)
    first = np.argmin(np.hypot(*(yx - yx.mean(axis=0)).T))
    second = np.argsort(np.hypot(*(yx - yx[first]).T))[1]
    apart = (yx[second] - yx[first]) * (1.96 / 1.42 - 1) / 2
    yx = yx.copy()
    yx[first], yx[second] = yx[first] - apart, yx[second] + apart
    table = pd.DataFrame({"y": yx[:, 0], "x": yx[:, 1], "score": 1.0, "species": content.astype(object)})
    table = table.assign(y_err=error, x_err=error)
    found = find_defects(AtomTable(table, 1.0), rules="graphene")
    assert found["rings"].tolist() == [(10,)] and low <= found["confidence"][0] <= high
