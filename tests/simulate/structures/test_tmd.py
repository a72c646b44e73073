"""Dichalcogenides: bonds, column contents, defects, alloys, twin lines."""

from collections import Counter

import numpy as np
import pytest

from atomnb.simulate.structures import create_structure

pytest.importorskip("ase")

SIZE = (30, 30)

BONDS = {
    "mos2": (2.416, 3.160),
    "ws2": (2.405, 3.153),
    "mose2": (2.527, 3.288),
    "wse2": (2.525, 3.282),
    "mote2": (2.718, 3.519),
}
"""Length of the bond M–X and lattice constant of the sheet, Å."""


@pytest.mark.parametrize(
    ("name", "bond", "content"),
    [("mos2", 2.42, "S2"), ("ws2", 2.41, "S2"), ("mose2", 2.53, "Se2"), ("wse2", 2.53, "Se2"), ("mote2", 2.72, "Te2")],
)
def test_metals_have_six_and_chalcogens_three_bonds_of_the_known_length(name, bond, content, bonds):
    structure = create_structure(name, size_angstrom=SIZE)
    atoms = structure.atoms
    _, length, count = bonds(atoms, 2.9)
    metal = atoms.numbers > 40
    metal &= atoms.numbers != 52
    assert set(count[metal]) == {6} and set(count[~metal]) == {3}
    assert length == pytest.approx(np.full(len(length), bond), abs=0.015)
    columns = Counter(structure.columns().content.tolist())
    assert columns[content] == metal.sum() == columns.total() / 2


@pytest.mark.parametrize(
    ("option", "name", "columns"),
    [
        ("v_x", "V_S", {"S2": -3, "S": 3}),
        ("v_x2", "V_S2", {"S2": -3}),
        ("v_m", "V_Mo", {"Mo": -3}),
        ("m_x", "Mo_S", {"S2": -3, "MoS": 3}),
        ("m_x2", "Mo_S2", {"S2": -3, "Mo": 3}),
        ("x2_m", "S2_Mo", {"Mo": -3, "S2": 3}),
        ("metal_dopants", "V_Mo", {"Mo": -3, "V": 3}),
        ("chalcogen_dopants", "O_S", {"S2": -3, "OS": 3}),
    ],
)
def test_a_defect_changes_just_its_columns_and_stands_in_one_of_them(option, name, columns):
    perfect = create_structure("mos2", size_angstrom=SIZE).columns()
    structure = create_structure("mos2", size_angstrom=SIZE, seed=4, options={option: 3})
    assert [d.name for d in structure.defects] == [name] * 3
    after = structure.columns()
    change = Counter(after.content.tolist())
    change.subtract(Counter(perfect.content.tolist()))
    assert {k: n for k, n in change.items() if n} == columns
    for defect in structure.defects:
        gap = np.hypot(*(perfect.positions_yx - defect.yx_angstrom).T)
        assert gap.min() < 0.01


def test_metal_on_a_chalcogen_site_stands_a_metal_bond_away(bonds):
    atoms = create_structure("mos2", size_angstrom=SIZE, options={"m_x": 1}).atoms
    pairs, length, _ = bonds(atoms, 3.0)
    metals = (atoms.numbers[pairs] == 42).all(axis=1)
    assert metals.sum() == 3
    assert length[metals] == pytest.approx(np.full(3, 2.62), abs=0.01)


@pytest.mark.parametrize("share", [0.0, 0.25, 0.6])
def test_alloys_have_exactly_the_share_asked_for(share, elements_of):
    structure = create_structure(
        "mos2-w-alloy", size_angstrom=SIZE, options={"alloy_metal_share": share, "alloy_chalcogen_share": share}
    )
    count = elements_of(structure.atoms)
    metals, chalcogens = count["Mo"] + count["W"], count["S"] + count["Se"]
    assert chalcogens == 2 * metals
    assert count["W"] == round(share * metals) and count["Se"] == round(share * chalcogens)
    width = create_structure("mos2", size_angstrom=SIZE).size_angstrom[1]
    assert structure.size_angstrom[1] / width == pytest.approx(1 + share * (3.288 / 3.160 - 1), rel=1e-6)


def test_a_random_alloy_mixes_pairs_by_chance():
    """A pair holds two of the same with the probability of independent sites."""
    structure = create_structure("mos2-se-alloy", size_angstrom=(90, 90), options={"alloy_chalcogen_share": 0.5})
    columns = Counter(structure.columns().content.tolist())
    pairs = columns["S2"] + columns["SSe"] + columns["Se2"]
    assert columns["SSe"] / pairs == pytest.approx(0.5, abs=4 * (0.25 / pairs) ** 0.5)


@pytest.mark.parametrize("name", list(BONDS))
@pytest.mark.parametrize("option", ["v_x", "v_x2", "v_m", "m_x", "m_x2", "x2_m", "chalcogen_dopants"])
def test_round_a_defect_no_atoms_touch(name, option, bonds):
    """Metals stand as in the bulk metal, everything else no nearer than covalent radii say, less a tenth."""
    radii = pytest.importorskip("ase.data").covalent_radii
    atoms = create_structure(name, size_angstrom=SIZE, seed=2, options={option: 3}).atoms
    pairs, length, _ = bonds(atoms, 3.4)
    metals = np.isin(atoms.numbers, [42, 74])[pairs].sum(axis=1)
    assert length[metals == 2].min(initial=9) > 2.6
    share = length / radii[atoms.numbers[pairs]].sum(axis=1)
    assert share[metals == 0].min(initial=9) > 0.9
    # tungsten's bonds are shorter in the sheet than its radius says
    assert share[metals == 1].min() > min(0.9, 0.98 * BONDS[name][0] / radii[atoms.numbers[[0, -1]]].sum())


@pytest.mark.parametrize(
    ("option", "least", "most"), [("v_x", -0.10, -0.03), ("v_x2", -0.2, -0.08), ("v_m", 0.06, 0.2)]
)
def test_atoms_round_a_gap_move_as_theory_says(option, least, most):
    """Mo–Mo closes in on a missing sulfur (DFT: by 0.05 to 0.1 Å), S–S opens round a missing metal."""
    structure = create_structure("mos2", size_angstrom=SIZE, options={option: 1})
    size = np.array(structure.size_angstrom)
    lost = 16 if option == "v_m" else 42
    sites = structure.atoms.positions[structure.atoms.numbers == lost]
    flat = (sites[:, 1::-1] - structure.defects[0].yx_angstrom + size / 2) % size - size / 2
    around = sites[np.hypot(*flat.T) < 2.2]
    around = around[np.abs(around[:, 2] - around[0, 2]) < 0.3]
    assert len(around) == 3
    gap = around - np.roll(around, 1, axis=0)
    gap[:, :2] -= size[::-1] * np.round(gap[:, :2] / size[::-1])
    change = np.linalg.norm(gap, axis=1) - 3.160
    assert least < change.min() and change.max() < most


def test_the_sulfur_pair_on_a_metal_site_pushes_the_sulfur_round_it_away(bonds):
    atoms = create_structure("mos2", size_angstrom=SIZE, options={"x2_m": 1}).atoms
    pairs, length, _ = bonds(atoms, 2.8)
    sulfur = (atoms.numbers[pairs] == 16).all(axis=1)
    assert sulfur.sum() == 7  # six round the pair, and the pair
    assert length[sulfur].min() > 2.1 and length[sulfur].max() < 2.5


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", ["mos2", "mote2"])
def test_defects_side_by_side_leave_atoms_their_room(name, seed, bonds):
    radii = pytest.importorskip("ase.data").covalent_radii
    options = {"v_x": 4, "v_x2": 4, "v_m": 4, "m_x": 4, "m_x2": 4, "x2_m": 4}
    atoms = create_structure(name, size_angstrom=SIZE, seed=seed, options=options).atoms
    pairs, length, _ = bonds(atoms, 2.8)
    other = ~np.isin(atoms.numbers, [42])[pairs].all(axis=1)
    assert (length / radii[atoms.numbers[pairs]].sum(axis=1))[other].min() > 0.8


@pytest.mark.parametrize(("seed", "number"), [(14, 3), (28, 8)])
def test_pairs_on_neighbouring_metal_sites_leave_each_other_their_room(seed, number, bonds):
    """Among so many, two of them stand side by side."""
    radii = pytest.importorskip("ase.data").covalent_radii
    structure = create_structure("mote2", size_angstrom=(40, 40), seed=seed, options={"x2_m": number})
    sites, size = np.array([d.yx_angstrom for d in structure.defects]), np.array(structure.size_angstrom)
    apart = (sites[:, None] - sites + size / 2) % size - size / 2
    assert np.sort(np.hypot(*apart.T), axis=None)[number] < 3.6
    pairs, length, _ = bonds(structure.atoms, 2.8)
    assert (length / radii[structure.atoms.numbers[pairs]].sum(axis=1)).min() > 0.8


def test_atoms_far_from_defects_stay_where_they_were():
    perfect = create_structure("mos2", size_angstrom=(50, 50)).atoms
    atoms = create_structure("mos2", size_angstrom=(50, 50), options={"v_m": 1}).atoms
    nearest = np.linalg.norm(atoms.positions[:, None] - perfect.positions[None], axis=-1).min(axis=1)
    assert (nearest > 1e-6).sum() < 70 and 0.03 < nearest.max() < 0.2


@pytest.fixture(scope="module", params=[(name, size) for name in BONDS for size in (20, 33, 60)], ids=str)
def twin(request):
    """A twinned sheet, its mask of metals, the length of its bonds and its lattice constant."""
    name, size = request.param
    structure = create_structure(f"{name}-mirror-twin", size_angstrom=(size, 13))
    assert structure.size_angstrom[0] >= size
    return structure, np.isin(structure.atoms.numbers, [42, 74]), *BONDS[name]


def test_twin_lines_leave_every_atom_its_room(twin, bonds):
    structure, metal, _, period = twin
    pairs, length, _ = bonds(structure.atoms, 3.3)
    metals, chalcogens = metal[pairs].all(axis=1), ~metal[pairs].any(axis=1)
    assert length[metals].min() >= 2.6
    flat = np.abs(np.diff(structure.atoms.positions[pairs, 2], axis=1))[:, 0] < 0.5
    assert length[chalcogens & flat].min(initial=9) >= 2.9 * period / 3.16
    assert length[chalcogens & ~flat].min(initial=9) > 2.7


def test_twin_lines_keep_the_bonds_but_for_those_across_the_shared_edges(twin, bonds):
    structure, metal, bond, period = twin
    atoms, height = structure.atoms, structure.size_angstrom[0]
    assert sorted(d.name for d in structure.defects) == ["4|4E", "4|4P"]
    line = next(d.yx_angstrom[0] for d in structure.defects if d.name == "4|4E")
    pairs, length, _ = bonds(atoms, 1.32 * bond)
    hetero = metal[pairs].sum(axis=1) == 1
    pairs, length = pairs[hetero], length[hetero] / bond
    count = np.bincount(pairs.ravel(), minlength=len(atoms))
    assert set(count[metal]) == {6}
    assert Counter(count[~metal].tolist())[4] == 3 * 2 * round(structure.size_angstrom[1] / period)
    beyond = (atoms.positions[pairs, 1] - line + height / 2) % height - height / 2
    across = (beyond.prod(axis=1) < 0) & (np.abs(beyond).max(axis=1) < height / 4)
    assert across.sum() == 4 * round(structure.size_angstrom[1] / period)
    assert length[~across].min() > 0.94 and length[~across].max() < 1.06
    assert length[across].min() > 1.1 and length[across].max() < 1.2


def test_the_grains_of_a_twin_are_mirror_images():
    """The direction from a metal to its chalcogens turns round across a line."""
    structure = create_structure("mos2-mirror-twin", size_angstrom=(60, 12))
    height = structure.size_angstrom[0]
    columns = structure.columns()
    point = next(d.yx_angstrom[0] for d in structure.defects if d.name == "4|4P")
    size = np.array(structure.size_angstrom)

    def lean(y):
        metals = columns.positions_yx[columns.content == "Mo"]
        centre = metals[np.argmin(np.abs((metals[:, 0] - y + height / 2) % height - height / 2))]
        gap = columns.positions_yx[columns.content == "S2"] - centre
        gap -= size * np.round(gap / size)
        return np.sum(np.sin(3 * np.arctan2(*gap[np.hypot(*gap.T) < 2.2].T)))

    assert lean(point - height / 4) * lean(point + height / 4) < -4
