"""Atomic writing: a full disk leaves no half file, and what was there before survives."""

import errno
import os

import pandas as pd
import pytest

from atomnb import AtomTable
from atomnb.io.atomic import atomic_path
from atomnb.io.tables import write_atoms


def full_disk(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def test_the_file_appears_whole(tmp_path):
    with atomic_path(tmp_path / "new" / "a.txt") as temporary:
        assert temporary.suffix == ".txt"
        assert temporary.parent == tmp_path / "new"
        temporary.write_text("content")
        assert not (tmp_path / "new" / "a.txt").exists()
    assert (tmp_path / "new" / "a.txt").read_text() == "content"
    assert os.listdir(tmp_path / "new") == ["a.txt"]


def test_an_error_leaves_the_old_file_and_nothing_else(tmp_path):
    (tmp_path / "a.txt").write_text("old")
    with pytest.raises(OSError, match="No space"), atomic_path(tmp_path / "a.txt") as temporary:
        temporary.write_text("half")
        full_disk()
    assert (tmp_path / "a.txt").read_text() == "old"
    assert os.listdir(tmp_path) == ["a.txt"]


@pytest.mark.parametrize("ending", ["csv", "xyz", "parquet"])
def test_a_full_disk_while_a_table_is_written(tmp_path, monkeypatch, ending):
    if ending == "parquet":
        pytest.importorskip("pyarrow")
    path = tmp_path / f"a.{ending}"
    old = AtomTable.from_positions([[1.0, 2.0]], pixel_size=0.1)
    write_atoms(old, path)
    before = path.read_bytes()
    monkeypatch.setattr(pd.DataFrame, "to_csv", full_disk)
    monkeypatch.setattr(pd.DataFrame, "to_parquet", full_disk)
    monkeypatch.setattr("atomnb.io.tables._xyz_block", full_disk)
    with pytest.raises(OSError, match="No space"):
        write_atoms(AtomTable.from_positions([[3.0, 4.0]] * 5, pixel_size=0.1), path)
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == [path.name]


def test_permissions_are_those_of_any_new_file_or_of_the_old_one(tmp_path):
    (tmp_path / "plain").touch()
    with atomic_path(tmp_path / "a"):
        pass
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "a").chmod(0o640)
    with atomic_path(tmp_path / "a"):
        pass
    assert (tmp_path / "a").stat().st_mode & 0o777 == 0o640
