"""Multislice results on disk: found again by the hash of what they were computed from, never half-written."""

from __future__ import annotations

import errno
import hashlib
import json
import shutil
import zipfile
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from atomnb.errors import AtomnbError
from atomnb.io.atomic import atomic_path

VERSION = 1
"""Raised when the way results are computed or stored changes, so that older ones are not found."""

RUNTIME_ONLY = ("device", "chunk_mb", "pixel_size")
"""Settings that change how a scan is computed or resampled afterwards, not the scan: they are not hashed."""


def input_hash(positions, numbers, cell, *, optics: Mapping, config: Mapping, abtem_version: str) -> str:
    """The name of a result: a hash of all that it depends on.

    The source size and the pixel size are left out: the scan is stored before they are applied, so images with
    another source or other pixels come from the same scan.

    Parameters
    ----------
    positions : (N, 3) Å
    numbers : (N,) atomic numbers
    cell : (3,) Å
    optics, config : what `to_dict` gives
    abtem_version : the version that computes it
    """
    settings = {
        "version": VERSION,
        "abtem": abtem_version,
        "optics": {k: v for k, v in optics.items() if k != "source_fwhm_angstrom"},
        "config": {k: v for k, v in config.items() if k not in RUNTIME_ONLY},
    }
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode())
    for values, kind in ((np.round(positions, 6) + 0.0, "<f8"), (numbers, "<i8"), (np.round(cell, 6), "<f8")):
        digest.update(np.ascontiguousarray(values, kind).tobytes())
    return digest.hexdigest()[:32]


class ScanStore:
    """The scans of one simulation in a folder: the finished mean, and before it each configuration.

    Parameters
    ----------
    folder : path or None
        None keeps nothing.
    key : str
        From `input_hash`.
    """

    def __init__(self, folder: str | Path | None, key: str) -> None:
        self.key = key
        self._folder = None if folder is None else Path(folder)

    @property
    def path(self) -> Path | None:
        """Where the finished scan is or will be."""
        return None if self._folder is None else self._folder / f"{self.key}.npz"

    def load(self) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
        """The finished scans by detector and what was noted with them, or None."""
        return None if self.path is None else _read(self.path)

    def save(self, scans: Mapping[str, np.ndarray], note: Mapping[str, Any]) -> None:
        """Keep the finished scans and drop the configurations they were made of."""
        if self._folder is not None:
            _write(self.path, scans, note)
            shutil.rmtree(self._parts, ignore_errors=True)

    def load_configuration(self, index: int) -> tuple[dict[str, np.ndarray], float] | None:
        """The scans of one configuration and the seconds they took, or None when it is still to be computed."""
        found = None if self._folder is None else _read(self._part(index))
        return None if found is None else (found[0], float(found[1].get("seconds", 0.0)))

    def save_configuration(self, index: int, scans: Mapping[str, np.ndarray], *, seconds: float) -> None:
        """Keep the scans of one configuration, so that a run that is killed goes on from here."""
        if self._folder is not None:
            _write(self._part(index), scans, {"seconds": seconds})

    @property
    def _parts(self) -> Path:
        return self._folder / f"{self.key}.parts"

    def _part(self, index: int) -> Path:
        return self._parts / f"{index:04d}.npz"


def _write(path: Path, scans: Mapping[str, np.ndarray], note: Mapping[str, Any]) -> None:
    try:
        with atomic_path(path) as temporary, temporary.open("wb") as handle:
            np.savez_compressed(handle, note=np.array(json.dumps(note)), **scans)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise AtomnbError(
                f"the disk of {path.parent} is full; nothing was left half-written there. Free some space and run "
                f"again: what is finished is kept."
            ) from error
        raise AtomnbError(f"cannot write {path}: {error}. Choose another cache folder.") from error


def _read(path: Path) -> tuple[dict[str, np.ndarray], dict[str, Any]] | None:
    if not path.is_file():
        return None
    try:
        with path.open("rb") as handle, np.load(handle, allow_pickle=False) as held:
            scans = {name: held[name] for name in held.files if name != "note"}
            return scans, json.loads(str(held["note"]))
    except (OSError, EOFError, ValueError, KeyError, zipfile.BadZipFile, zlib.error):
        return None  # damaged from outside: computed anew and replaced
