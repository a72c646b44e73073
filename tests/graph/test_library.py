"""The library of defects: what goes in comes out, searches find, and nothing that happens to a writer loses records."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace

import h5py
import numpy as np
import pytest

from atomnb.errors import AtomnbError, FileFormatError
from atomnb.graph.library import DefectLibrary, geometry_of
from atomnb.graph.record import DefectRecord, formula_of_species


def silicon(rng, *, length=1.8, spread=0.0, formula="Si1C3", topology="a1c2", angle=0.0):
    """Si with three C around it."""
    turn = angle + np.deg2rad([0, 120, 240])
    arms = (length + spread * rng.normal(size=3))[:, None] * np.stack([np.sin(turn), np.cos(turn)], axis=1)
    return DefectRecord(
        patch=rng.normal(size=(24, 20)),
        positions_yx=np.vstack([[0, 0], arms]) + 5,
        species=("Si", "C", "C", "C"),
        pairs=[[0, 1], [0, 2], [0, 3]],
        formula=formula,
        name="three-fold Si",
        topology=topology,
        center_yx=(12.5, 30.25),
        pixel_size=0.2,
        errors_yx=np.full((4, 2), 0.03),
        counted=[True, True, True, True],
        metadata={"source": "frame.dm3", "confidence": 0.97, "rings": [6, 6]},
    )


def assert_same(a: DefectRecord, b: DefectRecord):
    for name in ("patch", "positions_yx", "errors_yx", "pairs", "counted"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))
    np.testing.assert_equal(a.center_yx, b.center_yx)
    for name in ("species", "formula", "name", "topology", "pixel_size", "metadata"):
        assert getattr(a, name) == getattr(b, name)


def test_what_goes_in_comes_out(tmp_path, rng):
    library = DefectLibrary(tmp_path / "deep" / "defects.h5")
    assert len(library) == 0 and list(library) == [] and len(library.table()) == 0
    assert len(library.find(formula="Si1C3")) == 0
    first, second = silicon(rng), silicon(rng, length=1.9, topology="b2")
    assert library.add([first]) == [0]
    assert library.add([second, first]) == [1, 2]
    again = DefectLibrary(library.path)
    assert len(again) == 3
    for stored, record in zip(again, (first, second, first), strict=True):
        assert_same(stored, record)
    with pytest.raises(IndexError, match="0 to 2"):
        again[3]


def test_a_record_may_lack_almost_everything(tmp_path):
    bare = DefectRecord(np.zeros((0, 0)), np.zeros((0, 2)), (), [], "Va1", 0.1)
    library = DefectLibrary(tmp_path / "d.h5")
    library.add([bare])
    assert_same(library[0], bare)
    assert len(library.nearest(bare)) == 0


def test_only_what_is_asked_for_is_read(tmp_path, rng):
    library = DefectLibrary(tmp_path / "d.h5")
    library.add([silicon(rng) for _ in range(5)])
    with h5py.File(library.path, "r+") as file:
        del file["records/00000003/patch"]
    records = iter(library)
    assert [next(records).formula for _ in range(3)] == ["Si1C3"] * 3
    with pytest.raises(KeyError):
        next(records)


def test_search_by_formula_topology_and_name(tmp_path, rng):
    library = DefectLibrary(tmp_path / "d.h5")
    library.add(
        [silicon(rng), silicon(rng, formula="Si2C5", topology="ffee"), silicon(rng, topology="a1d0"), silicon(rng)]
    )
    assert library.find(formula="Si1C3").tolist() == [0, 2, 3]
    assert library.find(topology="a1").tolist() == [0, 2, 3]
    assert library.find(topology="a1c2", formula="Si1C3").tolist() == [0, 3]
    assert library.find(formula="SiC3").tolist() == []
    assert library.find(topology="").tolist() == []
    library.rename("a1c2", "my favourite")
    assert library.find(name="my favourite").tolist() == [0, 3]


def test_a_name_given_to_a_topology_sticks(tmp_path, rng):
    library = DefectLibrary(tmp_path / "d.h5")
    library.add([silicon(rng)])
    library.rename("a1c2", "Si on holiday")
    library.add([silicon(rng), silicon(rng, topology="b2")])
    assert [r.name for r in library] == ["Si on holiday", "Si on holiday", "three-fold Si"]
    assert DefectLibrary(library.path).names == {"a1c2": "Si on holiday"}
    library.rename("a1c2", "")
    assert library[0].name == "three-fold Si"
    with pytest.raises(AtomnbError, match="empty"):
        library.rename("", "x")


def test_the_nearest_in_geometry_whatever_the_orientation(tmp_path, rng):
    library = DefectLibrary(tmp_path / "d.h5")
    lengths = [1.6, 1.7, 1.78, 1.9, 2.0]
    library.add([silicon(rng, length=v, angle=rng.uniform(0, 6)) for v in lengths])
    library.add([silicon(rng, length=1.8, formula="Ge1C3")])
    found = library.nearest(silicon(rng, length=1.8, angle=1.0), k=3)
    assert found["number"].tolist() == [2, 1, 3]
    np.testing.assert_allclose(found["distance"], np.array([0.02, 0.1, 0.1]) / 2**0.5, atol=1e-5)
    assert library.nearest(silicon(rng), k=1, same_formula=False)["formula"].tolist() == ["Ge1C3"]


def test_geometry_knows_no_rotation_mirror_or_order(rng):
    record = silicon(rng, spread=0.1)
    order = [2, 0, 3, 1]
    mirrored = replace(
        record,
        positions_yx=(record.positions_yx * [1, -1] + [0, 10])[order],
        species=[record.species[k] for k in order],
        pairs=[[order.index(a), order.index(b)] for a, b in record.pairs],
    )
    np.testing.assert_allclose(geometry_of(mirrored), geometry_of(record), atol=1e-6)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"patch": np.zeros(4)}, "image"),
        ({"positions_yx": [[np.nan, 0]] * 4}, "finite"),
        ({"species": ["Si"]}, "species"),
        ({"pairs": [[0, 9]]}, "pairs"),
        ({"positions_yx": [[1, 1]] * 4}, "one place"),
        ({"errors_yx": np.zeros((2, 2))}, "errors_yx"),
        ({"counted": [True]}, "counted"),
        ({"pixel_size": 0}, "pixel_size"),
        ({"pixel_size": float("nan")}, "pixel_size"),
    ],
)
def test_a_record_that_does_not_fit_together_is_refused(rng, change, says):
    with pytest.raises(AtomnbError, match=says):
        replace(silicon(rng), **change)


def test_other_files_are_told_apart(tmp_path, rng):
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["nn_input"] = np.zeros((2, 2))
    with pytest.raises(FileFormatError, match="no library"):
        DefectLibrary(other)
    (tmp_path / "text.h5").write_text("hello")
    with pytest.raises(FileFormatError, match="no HDF5"):
        DefectLibrary(tmp_path / "text.h5")
    library = DefectLibrary(tmp_path / "d.h5")
    library.add([silicon(rng)])
    with h5py.File(library.path, "r+") as file:
        file.attrs["version"] = 99
    with pytest.raises(FileFormatError, match="update atomnb"):
        DefectLibrary(library.path)
    with pytest.raises(FileFormatError, match="update atomnb"):
        library.add([silicon(rng)])


def test_only_records_are_taken_and_all_or_none(tmp_path, rng):
    library = DefectLibrary(tmp_path / "d.h5")
    with pytest.raises(AtomnbError, match="DefectRecord"):
        library.add([silicon(rng), "Si1C3"])
    assert len(library) == 0
    assert library.add([]) == []


def test_a_pixel_array_in_another_file_is_not_followed(tmp_path, rng):
    library = DefectLibrary(tmp_path / "d.h5")
    library.add([silicon(rng)])
    (tmp_path / "secret.bin").write_bytes(bytes(64))
    with h5py.File(library.path, "r+") as file:
        del file["records/00000000/patch"]
        outside = [(str(tmp_path / "secret.bin"), 0, 64)]
        file["records/00000000"].create_dataset("patch", (4, 4), "f4", external=outside)
    with pytest.raises(FileFormatError, match="another file"):
        library[0]


def test_the_file_does_not_keep_the_space_it_reserved(tmp_path, rng):
    library = DefectLibrary(tmp_path / "d.h5")
    library.add([silicon(rng)])
    small = library.path.stat().st_size
    library.rename("a1c2", "x")
    assert library.path.stat().st_size < small + 4096


WRITER = """
import sys
import numpy as np
from atomnb.graph.library import DefectLibrary
from atomnb.graph.record import DefectRecord

library = DefectLibrary(sys.argv[1])
mark = int(sys.argv[2])
for number in range(10**6):
    record = DefectRecord(
        np.full((64, 64), number), np.arange(10.0).reshape(5, 2) + number, ["C"] * 5, [[0, 1]], f"C{number}", 0.1,
        metadata={"mark": mark, "number": number},
    )
    library.add([record])
    print(number, flush=True)
"""


def start_writer(path, mark, *, before=""):
    code = textwrap.dedent(before) + WRITER
    return subprocess.Popen([sys.executable, "-c", code, str(path), str(mark)], stdout=subprocess.PIPE, text=True)


def assert_whole(library: DefectLibrary):
    records = list(library)
    table = library.table()
    assert len(table) == len(records)
    for record, formula in zip(records, table["formula"], strict=True):
        number = record.metadata["number"]
        assert record.formula == formula == f"C{number}"
        assert (record.patch == number).all() and (record.positions_yx[0] == [number, number + 1]).all()
    return records


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_a_killed_writer_leaves_a_whole_library(tmp_path):
    """Killed at ten moments: every record that was reported is there, none is half written, and it can go on."""
    path = tmp_path / "d.h5"
    reported = 0
    for trial in range(10):
        with start_writer(path, trial) as writer:
            writer.stdout.readline()
            time.sleep(0.013 * trial)
            writer.send_signal(signal.SIGKILL)
            reported += 1 + len(writer.stdout.read().splitlines())
        records = assert_whole(DefectLibrary(path))
        assert reported <= len(records) <= reported + 1
        reported = len(records)
    DefectLibrary(path).add([records[0]])
    assert sorted(p.name for p in tmp_path.iterdir()) == [".d.h5.lock", "d.h5"]


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="kills by signal")
def test_two_writers_lose_nothing(tmp_path):
    path = tmp_path / "d.h5"
    with start_writer(path, 1) as one, start_writer(path, 2) as other:
        for writer in (one, other):
            for _ in range(15):
                writer.stdout.readline()
        for writer in (one, other):
            writer.kill()
        reported = [15 + len(w.stdout.read().splitlines()) for w in (one, other)]
    marks = [r.metadata["mark"] for r in assert_whole(DefectLibrary(path))]
    assert reported[0] <= marks.count(1) <= reported[0] + 1
    assert reported[1] <= marks.count(2) <= reported[1] + 1


@pytest.mark.slow
@pytest.mark.skipif(os.name == "nt", reason="limits the size of files")
def test_a_full_disk_is_told_and_loses_nothing(tmp_path, rng):
    """A limit on the size of files stands for the full disk: writing fails in the same place."""
    path = tmp_path / "d.h5"
    DefectLibrary(path).add([silicon(rng)])
    before = path.read_bytes()
    script = """
    import resource, signal, sys
    import numpy as np
    from atomnb.errors import AtomnbError
    from atomnb.graph.library import DefectLibrary
    from atomnb.graph.record import DefectRecord

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]),) * 2)
    noise = np.random.default_rng(0).normal(size=(512, 512))
    try:
        DefectLibrary(sys.argv[1]).add([DefectRecord(noise, [[0, 0]], ["C"], [], "C1", 0.1)])
    except AtomnbError as error:
        print(error)
    """
    for limit in (1000, len(before) + 1000, len(before) + 500_000):
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), str(path), str(limit)], capture_output=True, text=True
        )
        assert "the disk is full" in done.stdout, done.stderr
        assert path.read_bytes() == before
        assert sorted(p.name for p in tmp_path.iterdir()) == [".d.h5.lock", "d.h5"]


def test_metadata_takes_numbers_of_numpy(tmp_path, rng):
    record = replace(silicon(rng), metadata={"n": np.int64(3), "values": np.arange(3.0), "where": {"a": np.float32(1)}})
    library = DefectLibrary(tmp_path / "d.h5")
    library.add([record])
    assert library[0].metadata == {"n": 3, "values": [0.0, 1.0, 2.0], "where": {"a": 1.0}}
    json.dumps(library[0].metadata)


def test_formulas_put_dopants_first_and_always_count():
    assert formula_of_species(["C", "Si", "C", "C"], host="C") == "Si1C3"
    assert formula_of_species(["C", "N", "Si", "B"], host="C") == "B1N1Si1C1"
