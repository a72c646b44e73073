"""Stored scans: found by what they depend on, never half-written, damaged ones ignored."""

import errno

import numpy as np
import pytest

from atomnb.errors import AtomnbError
from atomnb.simulate.multislice_cache import ScanStore, input_hash
from atomnb.simulate.multislice_plan import MultisliceConfig
from atomnb.simulate.optics import Optics

SCANS = {"haadf": np.arange(12, dtype=np.float32).reshape(3, 4)}


def key(*, move=0.0, number=6, cell=8.0, version="1", optics=None, config=None):
    return input_hash(
        np.array([[1.0 + move, 2.0, 3.0]]),
        np.array([number]),
        np.array([cell, 8.0, 4.0]),
        optics=(optics or Optics()).to_dict(),
        config=(config or MultisliceConfig()).to_dict(),
        abtem_version=version,
    )


def test_the_name_depends_on_all_inputs():
    changed = [
        key(),
        key(move=1e-3),
        key(number=7),
        key(cell=8.1),
        key(version="2"),
        key(optics=Optics(defocus_angstrom=1.0)),
        key(optics=Optics(aberrations={"C12": 1.0})),
        key(config=MultisliceConfig(phonons=5)),
        key(config=MultisliceConfig(seed=1)),
        key(config=MultisliceConfig(thermal_angstrom={"C": 0.07})),
        key(config=MultisliceConfig(angles_mrad={"haadf": (60, 150)})),
    ]
    assert len(set(changed)) == len(changed)


def test_the_name_does_not_depend_on_what_is_applied_afterwards():
    assert key() == key(optics=Optics(source_fwhm_angstrom=0.3))
    assert key() == key(config=MultisliceConfig(pixel_size=0.3, chunk_mb=9.0, device="gpu"))


def test_what_is_saved_is_found_and_its_parts_are_dropped(tmp_path):
    store = ScanStore(tmp_path / "cache", key())
    assert store.load() is None and store.load_configuration(0) is None
    store.save_configuration(0, SCANS, seconds=2.5)
    scans, seconds = store.load_configuration(0)
    assert np.array_equal(scans["haadf"], SCANS["haadf"]) and seconds == 2.5
    store.save(SCANS, {"seconds": 1.5})
    scans, note = store.load()
    assert np.array_equal(scans["haadf"], SCANS["haadf"]) and note == {"seconds": 1.5}
    assert [p.name for p in (tmp_path / "cache").iterdir()] == [f"{key()}.npz"]


def test_without_a_folder_nothing_is_kept():
    store = ScanStore(None, key())
    store.save(SCANS, {})
    store.save_configuration(0, SCANS, seconds=1.0)
    assert store.load() is None and store.load_configuration(0) is None


@pytest.mark.parametrize("damage", [b"", b"no zip file", None])
def test_a_damaged_file_counts_as_missing(tmp_path, damage):
    store = ScanStore(tmp_path, key())
    store.save(SCANS, {})
    whole = store.path.read_bytes()
    store.path.write_bytes(whole[: len(whole) // 2] if damage is None else damage)
    assert store.load() is None


def test_a_full_disk_leaves_nothing_half_written(tmp_path, monkeypatch):
    def full(handle, **arrays):
        handle.write(b"half of it")
        raise OSError(errno.ENOSPC, "No space left on device")

    store = ScanStore(tmp_path, key())
    monkeypatch.setattr(np, "savez_compressed", full)
    with pytest.raises(AtomnbError, match=r"full.*nothing was left"):
        store.save(SCANS, {})
    assert list(tmp_path.iterdir()) == []
