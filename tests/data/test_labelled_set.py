"""Labelled sets: what is written is read, structures never leak between splits, and no half file is left."""

import errno
import os
import pickle
import subprocess
import sys
from collections import Counter

import h5py
import numpy as np
import pytest

from atomnb.data import labelled_writer
from atomnb.data.labelled_scene import LabelledScene
from atomnb.data.labelled_set import open_labelled_set, split_groups
from atomnb.data.labelled_writer import labelled_set_writer, write_labelled_set
from atomnb.errors import AtomnbError, CancelledError, FileFormatError

CLASSES = ("Mo", "S2")


def scene(number=0, group=None, shape=(40, 50), **changes):
    rng = np.random.default_rng(number)
    n = 5 + number % 3
    values = dict(
        image=rng.poisson(20, shape).astype(np.float32),
        class_map=rng.integers(0, 3, shape).astype(np.uint8),
        positions_yx=rng.uniform(0, 40, (n, 2)),
        species=np.array(["Mo", "S2"], object)[rng.integers(0, 2, n)],
        column_class=rng.integers(1, 3, n).astype(np.uint8),
        pixel_size=0.1 + 0.01 * number,
        group=group or f"mos2-{number // 2}",
        details={"dose": 100.0 * number},
    )
    return LabelledScene(**(values | changes))


@pytest.fixture
def path(tmp_path):
    return write_labelled_set(
        tmp_path / "set.h5", (scene(i, shape=(40 + i, 50)) for i in range(8)), classes=CLASSES, provenance={"seed": 3}
    )


def test_what_was_written_is_read(path):
    opened = open_labelled_set(path)
    assert len(opened) == 8
    assert opened.classes == CLASSES
    assert opened.provenance["seed"] == 3 and "atomnb" in opened.provenance
    for i, read in enumerate(opened):
        written = scene(i, shape=(40 + i, 50))
        for name in ("image", "class_map", "positions_yx", "species", "column_class"):
            np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
            assert getattr(read, name).dtype == getattr(written, name).dtype
        assert (read.pixel_size, read.group, read.details) == (written.pixel_size, written.group, written.details)


def test_a_scene_without_columns_is_written_and_read(tmp_path):
    empty = scene(positions_yx=np.zeros((0, 2)), species=np.zeros(0, object), column_class=np.zeros(0, np.uint8))
    path = write_labelled_set(tmp_path / "set.h5", [empty], classes=CLASSES)
    read = open_labelled_set(path)[0]
    assert read.positions_yx.shape == (0, 2) and len(read.species) == 0


def test_the_file_is_plain_hdf5_as_documented(path):
    with h5py.File(path) as file:
        assert (file.attrs["format"], file.attrs["version"]) == ("atomnb-labelled-set", 1)
        assert file["scenes/00000003/image"].shape == (43, 50)
        assert file["groups"].asstr()[3] == "mos2-1"


def test_only_one_scene_is_held_at_a_time(tmp_path):
    alive = Counter()

    class Watched(LabelledScene):
        def __del__(self):
            alive["now"] -= 1

    def scenes():
        for i in range(5):
            alive["now"] += 1
            alive["most"] = max(alive["most"], alive["now"])
            yield Watched(**vars(scene(i)))

    write_labelled_set(tmp_path / "set.h5", scenes(), classes=CLASSES)
    assert alive["most"] <= 2


def test_structures_are_divided_whole_and_always_alike(path, tmp_path):
    opened = open_labelled_set(path)
    parts = {which: opened.split(which) for which in ("train", "validation", "test")}
    groups = [set(part.groups) for part in parts.values()]
    assert sum(len(part) for part in parts.values()) == len(opened)
    assert not (groups[0] & groups[1] or groups[0] & groups[2] or groups[1] & groups[2])
    assert all(s.group in set(part.groups) for part in parts.values() for s in part)
    turned = write_labelled_set(tmp_path / "turned.h5", [scene(i) for i in reversed(range(8))], classes=CLASSES)
    assert set(open_labelled_set(turned).split("test").groups) == groups[2]


def test_shares_of_the_split():
    parts = split_groups([f"s{i}" for i in range(200)])
    assert [len(parts[k]) for k in ("train", "validation", "test")] == [160, 20, 20]
    assert [len(p) for p in split_groups("abc").values()] == [1, 1, 1]
    assert [len(p) for p in split_groups("abc", shares=(0.2, 0.4, 0.4)).values()] == [1, 1, 1]


def test_too_few_structures_to_divide(tmp_path):
    path = write_labelled_set(tmp_path / "set.h5", [scene(0), scene(1)], classes=CLASSES)
    with pytest.raises(AtomnbError, match=r"1 structure .*simulate more structures"):
        open_labelled_set(path).split("train")


def test_a_set_can_go_to_another_process(path):
    opened = open_labelled_set(path)
    first = opened[0]
    again = pickle.loads(pickle.dumps(opened.split("train")))
    assert len(again[0].species) > 0
    opened.close()
    np.testing.assert_array_equal(opened[0].image, first.image)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_process_opens_the_file_for_itself(path):
    script = f"""
import os
from atomnb.data.labelled_set import open_labelled_set
opened = open_labelled_set({str(path)!r})
before = opened[0].image.sum()
child = os.fork()
same = opened[0].image.sum() == before and opened[7].image.shape == (47, 50)
if child == 0:
    os._exit(0 if same else 1)
assert same and os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_labels_outside_the_class_list_are_refused_and_nothing_is_written(tmp_path):
    bad = scene(column_class=np.full(5, 3, np.uint8))
    with pytest.raises(AtomnbError, match=r"labels \[3\].*only 2 \(Mo, S2\)"):
        write_labelled_set(tmp_path / "set.h5", [scene(1), bad], classes=CLASSES)
    assert os.listdir(tmp_path) == []


def test_labels_outside_the_class_list_are_refused_when_read(path):
    with h5py.File(path, "r+") as file:
        file["scenes/00000002/column_class"][0] = 9
    opened = open_labelled_set(path)
    opened[1]
    with pytest.raises(AtomnbError, match=r"labels \[9\]"):
        opened[2]


def test_pixels_that_teach_nothing_are_allowed(tmp_path):
    ignored = scene(class_map=np.full((40, 50), 255, np.uint8))
    assert (
        open_labelled_set(write_labelled_set(tmp_path / "set.h5", [ignored], classes=CLASSES))[0].class_map.max() == 255
    )


@pytest.mark.parametrize(("version", "says"), [(2, "Update atomnb"), (0, "Write the set anew")])
def test_another_version(path, version, says):
    with h5py.File(path, "r+") as file:
        file.attrs["version"] = version
    with pytest.raises(FileFormatError, match=f"version {version}.*{says}"):
        open_labelled_set(path)


def test_a_truncated_file(path):
    with open(path, "r+b") as file:
        file.truncate(path.stat().st_size * 2 // 3)
    with pytest.raises(FileFormatError, match="truncated"):
        open_labelled_set(path)


def test_damaged_pixels_are_noticed(path):
    with h5py.File(path) as file:
        offset = file["scenes/00000000/image"].id.get_chunk_info(0).byte_offset
    with open(path, "r+b") as file:
        file.seek(offset + 40)
        file.write(b"\x00" * 8)
    with pytest.raises(FileFormatError, match=r"image 0 of set\.h5 is damaged"):
        open_labelled_set(path)[0]


def test_files_that_are_no_labelled_set(tmp_path):
    with pytest.raises(FileFormatError, match="no file"):
        open_labelled_set(tmp_path / "none.h5")
    (tmp_path / "text.h5").write_text("no HDF5")
    with pytest.raises(FileFormatError, match="no HDF5 file"):
        open_labelled_set(tmp_path / "text.h5")
    with h5py.File(tmp_path / "other.h5", "w") as file:
        file["a"] = 1
    with pytest.raises(FileFormatError, match="no labelled set"):
        open_labelled_set(tmp_path / "other.h5")


def test_an_unfinished_file(path):
    with h5py.File(path, "r+") as file:
        file.attrs["complete"] = False
    with pytest.raises(FileFormatError, match="never finished"):
        open_labelled_set(path)


def test_cancelling_and_failing_leave_the_old_file_alone(path):
    before = path.read_bytes()

    def cancel(fraction, message):
        if fraction >= 0.5:
            raise CancelledError("stopped")

    with pytest.raises(CancelledError):
        write_labelled_set(path, [scene(i) for i in range(4)], classes=CLASSES, progress=cancel)
    with pytest.raises(AtomnbError, match="at least one scene"):
        write_labelled_set(path, [], classes=CLASSES)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["set.h5"]


def test_progress_counts_to_one(tmp_path):
    told = []
    scenes = (scene(i) for i in range(4))
    write_labelled_set(tmp_path / "a.h5", scenes, classes=CLASSES, total=4, progress=lambda *a: told.append(a))
    assert [fraction for fraction, _ in told] == [0.25, 0.5, 0.75, 1.0]
    assert told[-1][1] == "4 of 4 images written"


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="room is asked for in another way here")
def test_a_disk_that_fills_up(tmp_path, monkeypatch):
    calls = []

    def two_then_full(descriptor, offset, length):
        calls.append(length)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(labelled_writer.os, "posix_fallocate", two_then_full)
    with pytest.raises(OSError, match=r"no room for the labelled set.*MB free") as caught:
        write_labelled_set(tmp_path / "set.h5", [scene(i) for i in range(4)], classes=CLASSES)
    assert caught.value.errno == errno.ENOSPC
    assert len(calls) == 3 and min(calls) > scene().image.nbytes
    assert os.listdir(tmp_path) == []


def test_a_disk_without_room_is_no_crash(tmp_path):
    """HDF5 would kill the process; here a process that may write no file above 300 kB."""
    pytest.importorskip("resource")
    script = f"""
import resource, signal, os, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
from test_labelled_set import scene, CLASSES
from atomnb.data.labelled_writer import write_labelled_set
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    write_labelled_set({str(tmp_path / "set.h5")!r}, [scene()], classes=CLASSES)
except OSError as error:
    assert "no room" in str(error), error
else:
    raise SystemExit("no error")
assert os.listdir({str(tmp_path)!r}) == []
"""
    subprocess.run([sys.executable, "-c", script], check=True, timeout=120)


def test_the_writer_can_be_fed_by_hand(tmp_path):
    with labelled_set_writer(tmp_path / "set.h5", classes=CLASSES) as writer:
        writer.append(scene(0))
        assert not (tmp_path / "set.h5").exists()
        writer.append(scene(1))
    assert len(open_labelled_set(tmp_path / "set.h5")) == 2


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"image": np.full((40, 50), np.nan)}, "NaN"),
        ({"class_map": np.zeros((3, 3))}, "one shape"),
        ({"class_map": np.full((40, 50), 0.5)}, "whole numbers"),
        ({"species": np.array(["Mo"])}, "one entry per column"),
        ({"positions_yx": np.full((5, 2), np.inf)}, "infinite"),
        ({"pixel_size": 0.0}, "pixel_size"),
        ({"group": 3}, "name of the structure"),
        ({"image": np.array([["a"]])}, "numbers"),
    ],
)
def test_scenes_that_contradict_themselves(changes, says):
    with pytest.raises(AtomnbError, match=says):
        scene(**({"group": "g"} | changes)) if "group" not in changes else LabelledScene(**(vars(scene()) | changes))


@pytest.mark.parametrize("classes", [(), "Mo", ("Mo", "Mo")])
def test_class_lists_that_are_none(tmp_path, classes):
    with pytest.raises(AtomnbError, match="different names"):
        write_labelled_set(tmp_path / "set.h5", [scene()], classes=classes)
