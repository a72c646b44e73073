"""DefectLibrary: a file of defects that grows safely and is searched by formula, topology and geometry."""

from __future__ import annotations

import errno
import json
import os
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import h5py
import numpy as np
import pandas as pd

from atomnb import __version__
from atomnb.errors import AtomnbError, FileFormatError
from atomnb.graph.record import DefectRecord
from atomnb.io import safety
from atomnb.io.atomic import atomic_path
from atomnb.io.locked import locked

FORMAT, VERSION = "atomnb-defect-library", 1
"""What the file calls itself. Version 1: a group per record, an index of all, names given by the user."""

INDEX = ("formula", "name", "topology", "n_atoms")
"""Columns of the index beside the geometry."""

QUANTILES = 16
"""Numbers that describe the sorted bond lengths, and again the sorted angles, of a defect."""

ANGLE_ARM = 1.5
"""Å; an angle counts in comparisons as the arc at this distance: about a bond length."""

_ARRAYS = ("patch", "positions_yx", "errors_yx", "pairs", "counted")
_TEXTS = ("formula", "name", "topology")
_OVERHEAD = 65536


class DefectLibrary:
    """Defects in one HDF5 file.

    Nothing stays open or in memory: records are read when asked for. `add` writes a new file beside the old one and
    gives it the old name when it is whole and on the disk, so that a crash or a full disk leaves the library as it
    was; readers go on with the file they have open, and several programs may add at once. Adding copies the file: add
    many defects at a time.

    Parameters
    ----------
    path : str or path
        The file; it is made by the first `add`.

    Raises
    ------
    FileFormatError
        If the file is no library, is damaged, or was written by a later version.

    Examples
    --------
    >>> library = DefectLibrary("defects.h5")  # doctest: +SKIP
    >>> library.add(records_from(analysis))  # doctest: +SKIP
    >>> [library[i] for i in library.find(formula="Si1C3")]  # doctest: +SKIP
    """

    def __init__(self, path) -> None:
        self.path = Path(path)
        if self.path.exists():
            with self._read():
                pass

    def __len__(self) -> int:
        return len(self._index("n_atoms"))

    def __iter__(self) -> Iterator[DefectRecord]:
        return (self[i] for i in range(len(self)))

    def __getitem__(self, number: int) -> DefectRecord:
        number = int(number)
        if not 0 <= number < len(self):
            raise IndexError(f"{self.path.name} holds records 0 to {len(self) - 1}, not {number}.")
        with self._read() as file:
            return _read_record(file["records"][_key(number)], self.path, _names(file))

    def __repr__(self) -> str:
        return f"DefectLibrary({str(self.path)!r}, {len(self)} records)"

    @property
    def names(self) -> dict[str, str]:
        """Names given by the user, topology → name; `find_defects(names=...)` takes them."""
        if not self.path.exists():
            return {}
        with self._read() as file:
            return _names(file)

    def table(self) -> pd.DataFrame:
        """One row per record: formula, name, topology, number of atoms."""
        table = pd.DataFrame({column: self._index(column) for column in INDEX})
        given = self.names
        return table.assign(name=[given.get(t, n) for t, n in zip(table["topology"], table["name"], strict=True)])

    def add(self, records: Iterable[DefectRecord]) -> list[int]:
        """Append records: all of them, or on any error none.

        Returns
        -------
        list of int
            Their numbers in the library.

        Raises
        ------
        AtomnbError
            If the disk is full or the folder cannot be written to; the library is as it was.
        """
        records = list(records)
        for record in records:
            if not isinstance(record, DefectRecord):
                raise AtomnbError(f"a library takes DefectRecord objects, got {type(record).__name__}.")
        if not records:
            return []
        with self._replaced(sum(map(_size, records))) as file:
            first = len(file["index/n_atoms"])
            for number, record in enumerate(records, start=first):
                _write_record(file["records"], number, record)
            _extend_index(file["index"], records)
        return list(range(first, first + len(records)))

    def rename(self, topology: str, name: str) -> None:
        """Give all defects of a topology, also those added later, a name of your own; '' takes it back."""
        if not topology:
            raise AtomnbError("a name is given to a topology, but the topology is empty.")
        with self._replaced(0) as file:
            given = _names(file) | {topology: str(name)}
            file.attrs["names"] = json.dumps({t: n for t, n in given.items() if n})

    def find(self, *, formula: str | None = None, topology: str | None = None, name: str | None = None) -> np.ndarray:
        """Numbers of the records that have all that is asked for; a topology may be its first digits alone."""
        table = self.table()
        found = np.ones(len(table), bool)
        if formula is not None:
            found &= (table["formula"] == formula).to_numpy(bool)
        if topology is not None:
            found &= table["topology"].str.startswith(topology).to_numpy(bool) & bool(topology)
        if name is not None:
            found &= (table["name"] == name).to_numpy(bool)
        return np.flatnonzero(found)

    def nearest(self, record: DefectRecord, k: int = 5, *, same_formula: bool = True) -> pd.DataFrame:
        """The records most alike in bond lengths and angles.

        Parameters
        ----------
        record : DefectRecord
        k : int
            How many.
        same_formula : bool
            Look only among those of the record's formula.

        Returns
        -------
        pandas.DataFrame
            `number`, `distance` (Å), formula, name, topology; the nearest first. The distance is the rms difference of
            the sorted bond lengths and of the sorted angles (as arcs at 1.5 Å), whatever the orientation.
        """
        table = self.table()
        distance = np.sqrt(((self._index("geometry") - geometry_of(record)) ** 2).mean(axis=1))
        table = table.assign(number=np.arange(len(table)), distance=distance)
        if same_formula:
            table = table[table["formula"] == record.formula]
        table = table[np.isfinite(table["distance"])].sort_values("distance", kind="stable").head(k)
        return table[["number", "distance", "formula", "name", "topology"]].reset_index(drop=True)

    def _index(self, column: str) -> np.ndarray:
        if not self.path.exists():
            return np.zeros((0, 2 * QUANTILES) if column == "geometry" else 0, object if column in _TEXTS else float)
        with self._read() as file:
            dataset = file["index"][column]
            return dataset.asstr()[()] if column in _TEXTS else dataset[()]

    @contextmanager
    def _read(self) -> Iterator[h5py.File]:
        safety.require_file(self.path)
        try:
            file = h5py.File(self.path, "r")
        except OSError as error:
            raise FileFormatError(f"{self.path.name} is no HDF5 file, or it is damaged: {error}") from error
        with file:
            _check_format(file, self.path)
            yield file

    @contextmanager
    def _replaced(self, size: int) -> Iterator[h5py.File]:
        """A copy of the file to write to, which takes its place at the end."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with locked(self.path.parent / f".{self.path.name}.lock"):
                _clear_leftovers(self.path)
                with atomic_path(self.path) as temporary:
                    if self.path.exists():
                        with self._read():
                            pass
                        shutil.copyfile(self.path, temporary)
                    else:
                        _create(temporary)
                    _reserve(temporary, size + _OVERHEAD)
                    with h5py.File(temporary, "r+") as file:
                        yield file
                    _to_disk(temporary)
                _to_disk(self.path.parent)
        except (OSError, RuntimeError) as error:
            raise AtomnbError(_why(error, self.path)) from error


def geometry_of(record: DefectRecord) -> np.ndarray:
    """Quantiles (2 × 16,) of a defect's bond lengths (Å) and angles (arcs, Å); NaN where it has none.

    The same for any rotation, mirror image and numbering.
    """
    at = np.linspace(0, 1, QUANTILES)
    lengths, angles = record.lengths().value, record.angles().value * ANGLE_ARM
    if not len(lengths):
        return np.full(2 * QUANTILES, np.nan, np.float32)
    angles = angles if len(angles) else np.zeros(1)
    return np.concatenate([np.quantile(lengths, at), np.quantile(angles, at)]).astype(np.float32)


def _create(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file.attrs.update({"format": FORMAT, "version": VERSION, "atomnb": __version__, "names": "{}"})
        file.create_group("records")
        index = file.create_group("index")
        for column in _TEXTS:
            index.create_dataset(column, (0,), h5py.string_dtype(), maxshape=(None,), chunks=(1024,))
        index.create_dataset("n_atoms", (0,), "i8", maxshape=(None,), chunks=(1024,))
        index.create_dataset("geometry", (0, 2 * QUANTILES), "f4", maxshape=(None, 2 * QUANTILES), chunks=(256, 32))


def _check_format(file, path: Path) -> None:
    if file.attrs.get("format") != FORMAT:
        raise FileFormatError(
            f"{path.name} is an HDF5 file but no library of defects: read_librarynet reads LibraryNet's files."
        )
    if int(file.attrs["version"]) > VERSION:
        raise FileFormatError(
            f"{path.name} was written in version {int(file.attrs['version'])} of the library format, this atomnb knows "
            f"up to {VERSION}: update atomnb."
        )


def _key(number: int) -> str:
    return f"{number:08d}"


def _write_record(group, number: int, record: DefectRecord) -> None:
    own = group.create_group(_key(number))
    for name in _ARRAYS:
        array = getattr(record, name)
        packed = {"compression": "gzip", "compression_opts": 4} if name == "patch" and array.size else {}
        own.create_dataset(name, data=array, **packed)
    own.create_dataset("species", data=list(record.species), dtype=h5py.string_dtype(), shape=(len(record),))
    own.attrs.update({name: getattr(record, name) for name in _TEXTS})
    own.attrs["pixel_size"] = record.pixel_size
    own.attrs["center_yx"] = record.center_yx
    # a dataset, since attributes may not exceed 64 kB
    own.create_dataset("metadata", data=json.dumps(record.metadata, default=_plain), dtype=h5py.string_dtype())


def _read_record(group, path: Path, names: Mapping[str, str]) -> DefectRecord:
    for name in _ARRAYS:
        if group[name].external:
            raise FileFormatError(f"{path.name}: record {group.name} points to another file, which is not followed.")
    patch = group["patch"]
    safety.check_frame(patch.shape, patch.dtype, path.stat().st_size, name=path.name)
    topology = str(group.attrs["topology"])
    return DefectRecord(
        **{name: group[name][()] for name in _ARRAYS},
        species=tuple(group["species"].asstr()[()]),
        formula=str(group.attrs["formula"]),
        name=names.get(topology, str(group.attrs["name"])),
        topology=topology,
        center_yx=tuple(group.attrs["center_yx"]),
        pixel_size=float(group.attrs["pixel_size"]),
        metadata=json.loads(group["metadata"].asstr()[()]),
    )


def _extend_index(index, records: list[DefectRecord]) -> None:
    new = {name: [getattr(r, name) for r in records] for name in _TEXTS}
    new |= {"n_atoms": [len(r) for r in records], "geometry": [geometry_of(r) for r in records]}
    for column, values in new.items():
        dataset = index[column]
        first = len(dataset)
        dataset.resize(first + len(values), axis=0)
        dataset[first:] = values


def _names(file) -> dict[str, str]:
    return json.loads(file.attrs["names"])


def _size(record: DefectRecord) -> int:
    """Bytes a record needs at most."""
    return record.patch.nbytes + 40 * record.positions_yx.size + 32 * record.pairs.size + 2 * _OVERHEAD // 8


def _reserve(path: Path, size: int) -> None:
    """Take the space that will be needed, so that a full disk is met here and not inside HDF5, which gives it back."""
    with path.open("ab") as file:
        block = bytes(1 << 16)
        for start in range(0, size, len(block)):
            file.write(block[: size - start])
        file.flush()
        os.fsync(file.fileno())


def _to_disk(path: Path) -> None:
    if path.is_dir() and os.name == "nt":  # folders cannot be flushed there
        return
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _clear_leftovers(path: Path) -> None:
    """Remove what a killed `add` left behind; whoever holds the lock is the only writer."""
    for old in path.parent.glob(f".{path.stem[:40]}-*{path.suffix}"):
        old.unlink(missing_ok=True)


def _why(error: Exception, path: Path) -> str:
    number = getattr(error, "errno", None)
    if number in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT) or "No space left" in str(error):
        reason = "the disk is full: free some space and add them again"
    elif number in (errno.EACCES, errno.EPERM, errno.EROFS):
        reason = "its folder cannot be written to: choose another place"
    else:
        reason = str(error)
    return f"nothing was added to {path.name}, which is as it was; {reason}."


def _plain(value):
    if isinstance(value, Mapping):
        return dict(value)
    return value.tolist() if hasattr(value, "tolist") else str(value)
