"""Atom tables go out and come back unchanged, and other programs understand them."""

import numpy as np
import pandas as pd
import pytest

from atomnb import AtomTable, Micrograph, read_image
from atomnb.data.atoms import COLUMNS
from atomnb.errors import AtomnbError, CalibrationError, FileFormatError
from atomnb.io.tables import read_atoms, write_atoms, write_hspy

ENDINGS = ["csv", "xyz", "parquet"]


@pytest.fixture
def atoms(rng) -> AtomTable:
    n = 30
    df = pd.DataFrame(
        {
            "y": rng.uniform(0, 48, n),
            "x": rng.uniform(0, 64, n),
            "frame": np.repeat([0, 1, 2], 10),
            "species": ["Mo", "S2", "column"] * 10,
            "sublattice": rng.integers(0, 3, n),
            "intensity": rng.uniform(0, 1e5, n),
            "y_err": np.where(rng.random(n) < 0.2, np.nan, rng.random(n)),
            "flags": rng.integers(0, 64, n),
            "bond_angle": rng.random(n),
            "is_edge": rng.random(n) < 0.5,
        }
    )
    return AtomTable(
        df, pixel_size=0.1234567890123, shape=(48, 64), provenance={"model": 'a "b" \\ c', "seed": np.int64(3)}
    )


@pytest.mark.parametrize("ending", ENDINGS)
def test_round_trip(tmp_path, atoms, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    path = write_atoms(atoms, tmp_path / f"a.{ending}")
    back = read_atoms(path)
    pd.testing.assert_frame_equal(back.df[atoms.df.columns], atoms.df, check_exact=False, rtol=1e-14, atol=0)
    assert back.pixel_size == atoms.pixel_size
    assert back.shape == (48, 64)
    assert back.provenance == {"model": 'a "b" \\ c', "seed": 3}


@pytest.mark.parametrize("ending", ENDINGS)
def test_nothing_found_comes_back_as_an_empty_table_with_its_columns(tmp_path, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    back = read_atoms(write_atoms(AtomTable.empty(pixel_size=0.1), tmp_path / f"a.{ending}"))
    assert len(back) == 0
    assert list(back.df.columns) == list(COLUMNS)
    assert back.df.dtypes.astype(str).to_dict() == AtomTable.empty().df.dtypes.astype(str).to_dict()
    assert back.pixel_size == 0.1


def test_the_method_of_the_table_writes_too(tmp_path, atoms):
    assert len(read_atoms(atoms.save(tmp_path / "a.csv"))) == len(atoms)


def test_csv_opens_elsewhere_as_numbers(tmp_path, atoms):
    df = pd.read_csv(write_atoms(atoms, tmp_path / "a.csv"), comment="#")
    np.testing.assert_allclose(df[["y", "x"]], atoms.positions_yx)


def test_csv_of_another_program(tmp_path):
    (tmp_path / "a.csv").write_text("x,y,height\n1,2,3\n4,5,6\n")
    atoms = read_atoms(tmp_path / "a.csv")
    np.testing.assert_array_equal(atoms.positions_yx, [[2, 1], [5, 4]])
    assert atoms.pixel_size is None
    assert list(atoms.df["height"]) == [3, 6]


def test_uncalibrated_atoms_have_no_xyz_but_a_csv(tmp_path):
    atoms = AtomTable.from_positions([[1.0, 2.0]])
    with pytest.raises(CalibrationError, match=r"Å.*write \.csv"):
        write_atoms(atoms, tmp_path / "a.xyz")
    assert not list(tmp_path.iterdir())
    assert read_atoms(write_atoms(atoms, tmp_path / "a.csv")).pixel_size is None


def test_ase_reads_the_xyz_in_angstrom(tmp_path, atoms):
    ase_io = pytest.importorskip("ase.io")
    frames = ase_io.read(write_atoms(atoms, tmp_path / "a.xyz"), index=":", format="extxyz")
    assert len(frames) == 3
    first = atoms.in_frame(0)
    np.testing.assert_allclose(frames[0].positions[:, :2], first.in_angstrom()[:, ::-1])
    assert set(frames[0].get_chemical_symbols()) == {"Mo", "X"}  # 'S2' and 'column' are no elements
    assert list(frames[0].arrays["label"]) == list(first.df["species"])
    np.testing.assert_allclose(frames[0].arrays["intensity"], first.df["intensity"])
    np.testing.assert_allclose(frames[0].cell.lengths()[:2], [64 * atoms.pixel_size, 48 * atoms.pixel_size])


def test_xyz_of_another_program(tmp_path):
    (tmp_path / "a.xyz").write_text("2\nany comment\nMo 1.0 2.0 0.0\nS 3.0 4.0 1.5\n")
    atoms = read_atoms(tmp_path / "a.xyz")
    np.testing.assert_array_equal(atoms.in_angstrom(), [[2, 1], [4, 3]])
    assert list(atoms.df["species"]) == ["Mo", "S"]


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "a,b\n1,2\n", "no column x and y"),
        ("b.csv", "", "not a table of atoms"),
        ("c.xyz", "3\nc\nMo 1 2 3\n", "truncated"),
        ("d.xyz", "hello\nworld\n", "not a table of atoms"),
        ("e.xyz", "", "holds no atoms"),
        ("f.dat", "1", "ending must be"),
        ("g.parquet", "PAR1 but not really", "not a table of atoms"),
    ],
)
def test_files_that_are_no_table(tmp_path, name, content, message):
    if name.endswith("parquet"):
        pytest.importorskip("pyarrow")
    (tmp_path / name).write_text(content)
    with pytest.raises(FileFormatError, match=message):
        read_atoms(tmp_path / name)


def test_unknown_ending_and_missing_file(tmp_path, atoms):
    with pytest.raises(AtomnbError, match=r"\.csv, \.parquet, \.xyz"):
        write_atoms(atoms, tmp_path / "a.doc")
    with pytest.raises(AtomnbError, match=r"\.hspy"):
        write_hspy(np.zeros((32, 32)), atoms, tmp_path / "a.tif")
    with pytest.raises(FileNotFoundError, match="check the spelling"):
        read_atoms(tmp_path / "a.csv")


@pytest.mark.parametrize("pixel_size", [None, 0.2])
def test_hspy_holds_the_image_and_the_atoms_as_markers(tmp_path, rng, atoms, pixel_size):
    import hyperspy.api as hs

    image = Micrograph(rng.random((48, 64)), pixel_size=pixel_size, name="a")
    signal = hs.load(write_hspy(image, atoms, tmp_path / "a.hspy"))
    np.testing.assert_array_equal(signal.data, image.data)
    markers = signal.metadata.Markers.as_dictionary()
    assert list(markers) == ["Mo", "S2", "column"]
    mo = atoms.df[atoms.df["species"] == "Mo"]
    offsets = signal.metadata.Markers.Mo.kwargs["offsets"]
    np.testing.assert_allclose(offsets, mo[["x", "y"]] * (pixel_size or 1.0))
    assert read_image(tmp_path / "a.hspy").pixel_size == pixel_size


def test_hspy_of_a_movie_has_the_markers_of_each_frame(tmp_path, rng, atoms):
    import hyperspy.api as hs

    movie = Micrograph(rng.random((3, 48, 64)), pixel_size=0.2)
    signal = hs.load(write_hspy(movie, atoms, tmp_path / "a.hspy"))
    offsets = signal.metadata.Markers.S2.kwargs["offsets"]
    for frame in range(3):
        expected = atoms.df[(atoms.df["species"] == "S2") & (atoms.df["frame"] == frame)]
        np.testing.assert_allclose(offsets[frame], expected[["x", "y"]] * 0.2)
    assert read_image(tmp_path / "a.hspy").data.shape == (3, 48, 64)


def test_parquet_without_pyarrow_names_the_extra(tmp_path, atoms, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(ImportError, match=r"atomnb\[parquet\]"):
        write_atoms(atoms, tmp_path / "a.parquet")
    assert not list(tmp_path.iterdir())
