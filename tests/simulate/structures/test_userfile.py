"""A user's file: turned, cut, tilted, and refused with reasons."""

from collections import Counter

import numpy as np
import pytest

from atomnb.simulate.structures import StructureError, read_structure

ase = pytest.importorskip("ase")
build = pytest.importorskip("ase.build")


@pytest.fixture
def silicon(tmp_path):
    path = tmp_path / "silicon.cif"
    build.bulk("Si", "diamond", a=5.431, cubic=True).write(path)
    return path


@pytest.mark.parametrize("zone", [(0, 0, 1), (1, 1, 0), (1, 1, 1), (2, 1, 1), (3, 1, 0)])
def test_a_cubic_crystal_keeps_its_density_and_bonds_in_any_zone(silicon, zone, bonds):
    structure = read_structure(silicon, zone_axis=zone, thickness_angstrom=20, size_angstrom=(20, 25))
    atoms = structure.atoms
    assert len(atoms) / atoms.get_volume() == pytest.approx(8 / 5.431**3, rel=1e-6)
    _, length, count = bonds(atoms, 2.6)
    assert set(count) == {4} and length == pytest.approx(np.full(len(length), 2.3517), abs=1e-3)
    assert structure.size_angstrom[0] >= 20 and structure.size_angstrom[1] >= 25
    assert structure.provenance["zone_axis"] == list(zone)
    assert structure.thickness_angstrom == pytest.approx(20, abs=5.431 * 14**0.5 / 2)


def test_a_primitive_cell_gives_the_same_columns_as_the_cubic_one(silicon, tmp_path):
    primitive = tmp_path / "primitive.cif"
    build.bulk("Si", "diamond", a=5.431).write(primitive)
    first = read_structure(silicon, zone_axis=(1, 1, 0), thickness_angstrom=20, size_angstrom=(20, 20))
    zone = np.rint(np.linalg.solve(build.bulk("Si", "diamond", a=5.431).cell.array.T, [5.431, 5.431, 0])).astype(int)
    second = read_structure(primitive, zone_axis=tuple(zone), thickness_angstrom=20, size_angstrom=(20, 20))
    density = [len(s.columns().content) / np.prod(s.size_angstrom) for s in (first, second)]
    assert density[0] == pytest.approx(density[1], rel=1e-6)


def test_four_indices_of_a_hexagonal_crystal(tmp_path, bonds):
    path = tmp_path / "mg.cif"
    build.bulk("Mg", "hcp", a=3.209, c=5.211).write(path)
    structure = read_structure(path, zone_axis=(1, 1, -2, 0), thickness_angstrom=16)
    assert structure.thickness_angstrom == pytest.approx(5 * 3.209, rel=1e-3)
    assert set(bonds(structure.atoms, 3.3)[2]) == {12}


def test_tilt_leans_the_columns_about_the_middle(silicon):
    depth = 54.31
    straight = read_structure(silicon, thickness_angstrom=depth, size_angstrom=(10, 10))
    leaning = read_structure(silicon, thickness_angstrom=depth, size_angstrom=(10, 10), tilt_mrad=(10, 0))
    moved = leaning.atoms.positions - straight.atoms.positions
    lengths = straight.atoms.cell.lengths()
    moved -= lengths * np.round(moved / lengths)
    expected = np.tan(0.01) * (straight.atoms.positions[:, 2] - depth / 2)
    assert moved[:, 1] == pytest.approx(expected, abs=1e-6)
    assert np.abs(moved[:, [0, 2]]).max() < 1e-6


def test_leaning_columns_stay_the_same_columns(silicon):
    """At 20 mrad through 200 Å a column spans 4 Å, more than the distance to its neighbours."""
    kept = {"thickness_angstrom": 200, "size_angstrom": (20, 20), "zone_axis": (1, 1, 0)}
    straight = read_structure(silicon, **kept).columns()
    leaning = read_structure(silicon, **kept, tilt_mrad=(20, -12)).columns()
    assert np.array_equal(np.sort(leaning.n_atoms), np.sort(straight.n_atoms))
    order = [np.lexsort(np.round(c.positions_yx, 2).T) for c in (straight, leaning)]
    assert leaning.positions_yx[order[1]] == pytest.approx(straight.positions_yx[order[0]], abs=0.05)


def test_a_sheet_stays_whole_and_single(tmp_path):
    sheet = build.mx2("MoS2", a=3.16, thickness=3.17, vacuum=6.0)
    sheet.positions[:, 2] -= sheet.positions[:, 2].mean()
    sheet.pbc = True
    path = tmp_path / "mos2.cif"
    sheet.write(path)
    structure = read_structure(path, size_angstrom=(20, 20))
    assert np.ptp(structure.atoms.positions[:, 2]) == pytest.approx(3.17, abs=1e-3)
    assert set(structure.columns().content) == {"Mo", "S2"}


def test_shared_sites_are_filled_in_their_shares(tmp_path):
    path = tmp_path / "alloy.cif"
    path.write_text(
        "data_x\n_cell_length_a 4\n_cell_length_b 4\n_cell_length_c 4\n_cell_angle_alpha 90\n_cell_angle_beta 90\n"
        "_cell_angle_gamma 90\n_space_group_name_H-M_alt 'P 1'\nloop_\n_atom_site_label\n_atom_site_type_symbol\n"
        "_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\n_atom_site_occupancy\n"
        "A1 La 0 0 0 0.7\nA2 Sr 0 0 0 0.3\nO1 O 0.5 0.5 0.5 0.5\n"
    )
    structure = read_structure(path, thickness_angstrom=40, size_angstrom=(40, 40))
    count = Counter(structure.atoms.get_chemical_symbols())
    assert count == {"La": 700, "Sr": 300, "O": 500}
    again = read_structure(path, thickness_angstrom=40, size_angstrom=(40, 40))
    assert np.array_equal(structure.atoms.numbers, again.atoms.numbers)


def test_a_cluster_without_cell_stands_in_an_empty_box(tmp_path):
    path = tmp_path / "dimer.xyz"
    ase.Atoms("Au2", [[0, 0, 0], [2.9, 0, 0]]).write(path, format="xyz")
    flat = read_structure(path, size_angstrom=(20, 20))
    assert not flat.atoms.pbc.any()
    assert flat.size_angstrom == pytest.approx((20, 20))
    upright = read_structure(path, zone_axis=(1, 0, 0), size_angstrom=(20, 20))
    assert len(flat.columns().content) == 2 and upright.columns().n_atoms.tolist() == [2]
    assert upright.columns().positions_yx[0] == pytest.approx([10, 10])


def test_a_crystal_without_cell_is_refused(tmp_path):
    path = tmp_path / "lost.cif"
    path.write_text(
        "data_x\nloop_\n_atom_site_label\n_atom_site_fract_x\n_atom_site_fract_y\n_atom_site_fract_z\nSi 0 0 0\n"
    )
    with pytest.raises(StructureError, match=r"no cell.*_cell_length_a"):
        read_structure(path)


def test_overlapping_atoms_are_named(tmp_path):
    path = tmp_path / "twice.xyz"
    ase.Atoms("SiSi", [[0, 0, 0], [0.3, 0, 0]], cell=[5, 5, 5], pbc=True).write(path, format="extxyz")
    with pytest.raises(StructureError, match=r"overlap.*0\.30 Å"):
        read_structure(path)


def test_a_zone_without_box_names_what_would_work(tmp_path):
    path = tmp_path / "tetragonal.xyz"
    cell = [[4.0, 0, 0], [0, 4.0, 0], [0, 0, 6.137]]
    ase.Atoms("Si", [[0, 0, 0]], cell=cell, pbc=True).write(path, format="extxyz")
    with pytest.raises(StructureError, match=r"zone axis \[1, 1, 1\].*nearest.*max_strain.*\[1, 1, 0\]"):
        read_structure(path, zone_axis=(1, 1, 1), max_length_angstrom=20)
    with pytest.raises(StructureError, match="zone axis"):
        read_structure(path, zone_axis=(1, 2, 3), max_length_angstrom=15)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"zone_axis": (0, 0, 0)}, "not all 0"),
        ({"zone_axis": (1, 0.5, 0)}, "whole numbers"),
        ({"zone_axis": (1, 1, 1, 0)}, r"u \+ v \+ t = 0"),
        ({"thickness_angstrom": -3}, "thickness"),
        ({"tilt_mrad": (900, 0)}, "tilt_mrad"),
        ({"tilt_mrad": 3}, "tilt_mrad"),
        ({"size_angstrom": (2000, 2000), "thickness_angstrom": 500}, "atoms"),
    ],
)
def test_unusable_requests_are_refused(silicon, options, message):
    with pytest.raises(StructureError, match=message):
        read_structure(silicon, **options)


def test_unreadable_files_are_refused(tmp_path):
    with pytest.raises(StructureError, match="no file"):
        read_structure(tmp_path / "none.cif")
    rubbish = tmp_path / "rubbish.xyz"
    rubbish.write_text("not a structure\n")
    with pytest.raises(StructureError, match="cannot be read"):
        read_structure(rubbish)
    unknown = tmp_path / "unknown.xyz"
    unknown.write_text("1\n\nQq 0 0 0\n")
    with pytest.raises(StructureError, match=r"cannot be read|no known element"):
        read_structure(unknown)


@pytest.mark.parametrize("length", ["0", "0.0"])
def test_a_cell_length_of_0_is_told_in_words(tmp_path, length):
    path = tmp_path / "flat.cif"
    lines = [f"_cell_length_a {length}", "_cell_length_b 6.2", "_cell_length_c 7.7"]
    lines += [f"_cell_angle_{name} 90" for name in ("alpha", "beta", "gamma")]
    sites = ["loop_", "_atom_site_label", "_atom_site_fract_x", "_atom_site_fract_y", "_atom_site_fract_z", "Si1 0 0 0"]
    path.write_text("\n".join(["data_x", *lines, *sites, ""]))
    with pytest.raises(
        StructureError, match=r"flat\.cif cannot be read as a structure: a length .* of its cell may be 0"
    ):
        read_structure(path)
