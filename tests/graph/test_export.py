"""Structure files of defects: other programs read the same atoms."""

from dataclasses import replace

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.graph.export import write_structure
from atomnb.graph.record import DefectRecord


@pytest.fixture
def record():
    return DefectRecord(
        patch=np.zeros((60, 40)),
        positions_yx=[[3.0, 4.0], [4.8, 4.0], [2.1, 5.5], [2.1, 2.4]],
        species=("Si", "C", "C", "S top"),
        pairs=[[0, 1], [0, 2], [0, 3]],
        formula="Si1C3",
        name="odd \"name\" \\ with 'quotes'",
        topology="a1c2",
        pixel_size=0.2,
        errors_yx=np.full((4, 2), 0.03),
        counted=[True, True, True, False],
    )


@pytest.mark.parametrize("ending", ["xyz", "cif"])
def test_ase_reads_the_same_atoms(record, tmp_path, ending):
    ase_io = pytest.importorskip("ase.io")
    atoms = ase_io.read(write_structure(record, tmp_path / f"defect.{ending}"))
    assert atoms.get_chemical_symbols() == ["Si", "C", "C", "X"]
    np.testing.assert_allclose(atoms.positions[:, [1, 0]], record.positions_yx, atol=1e-4)
    np.testing.assert_allclose(atoms.cell.lengths(), [8.0, 12.0, 15.0])


def test_atomnb_reads_its_xyz_with_errors(record, tmp_path):
    from atomnb.io.tables import read_atoms

    table = read_atoms(write_structure(record, tmp_path / "defect.xyz"))
    np.testing.assert_allclose(table.positions_yx, record.positions_yx, atol=1e-5)
    assert table.df["species"].tolist() == ["Si", "C", "C", "S_top"]
    np.testing.assert_allclose(table.errors_yx, 0.03)


def test_a_defect_without_atoms_or_errors_is_written(record, tmp_path):
    bare = replace(record, positions_yx=[], species=(), pairs=[], errors_yx=None, counted=None)
    for ending in ("xyz", "cif"):
        assert write_structure(bare, tmp_path / f"d.{ending}").stat().st_size > 0


def test_another_ending_is_told(record, tmp_path):
    with pytest.raises(AtomnbError, match=r"xyz, \.cif"):
        write_structure(record, tmp_path / "defect.pdb")
