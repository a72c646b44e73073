"""The files of LibraryNet (a picture with the coordinates of its defects in HDF5): read as records and written."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from atomnb.errors import AtomnbError, CalibrationError, FileFormatError
from atomnb.graph.bonds import find_bonds
from atomnb.graph.record import DefectRecord, formula_of_species
from atomnb.graph.rules import load_rules
from atomnb.io import safety
from atomnb.io.atomic import atomic_path

_PIXELS = "nn_input"
_DEFECT = "defect_coord_"
_SCAN_SIZE = "scan size"
_PM = 0.01
"""Å per pm."""


def read_librarynet(path, *, rules="graphene", host: str = "C") -> Iterator[DefectRecord]:
    """The defects of a LibraryNet file, or of all such files in a folder, one after the other.

    Parameters
    ----------
    path : str or path
        An .hdf5 file with `nn_input` and `defect_coord_0`, ..., or a folder of them, also in subfolders.
    rules : str, path or RuleSet
        Whose bond lengths and valences bond the atoms, which the files do not.
    host : str
        Element of the crystal, last in the formulas.

    Yields
    ------
    DefectRecord
        `patch` is the whole picture, `topology` is empty: the rings around are not in the file. Errors are unknown.

    Raises
    ------
    FileFormatError
        If a file has another layout or is damaged.
    CalibrationError
        If a file does not state its scan size.

    References
    ----------
    Ziatdinov et al., arXiv:1809.04256. A row of `defect_coord_` is column, row (px) and element, as text; `scan size`
    is the width of the picture in pm.
    """
    path = Path(path)
    chosen = load_rules(rules)
    if path.is_dir():
        files = sorted([*path.rglob("*.hdf5"), *path.rglob("*.h5")])
        if not files:
            raise FileFormatError(f"there is no .hdf5 file in the folder {path}.")
    else:
        safety.require_file(path)
        files = [path]
    for file in files:
        yield from _read_file(file, chosen, host)


def write_librarynet(records: Iterable[DefectRecord], folder) -> list[Path]:
    """Write records in LibraryNet's layout, a file for each in a subfolder for its formula.

    Parameters
    ----------
    records : iterable of DefectRecord
        Only the atoms their formulas count are written; the layout knows no others, no bonds and no errors.
    folder : str or path
        Files go to `folder/FORMULA/NUMBER.hdf5`, numbered on from those that are there.

    Returns
    -------
    list of Path
        The files written; each is whole or not there.
    """
    written = []
    for record in records:
        if not record.formula or not record.formula.isalnum():
            raise AtomnbError(f"the formula {record.formula!r} cannot name a folder: it must be letters and digits.")
        home = Path(folder) / record.formula
        taken = [int(f.stem) for f in home.glob("*.hdf5") if f.stem.isdigit()]
        path = home / f"{max(taken, default=-1) + 1}.hdf5"
        with atomic_path(path) as temporary:
            _write_file(record, temporary)
        written.append(path)
    return written


def _read_file(path: Path, rules, host: str) -> Iterator[DefectRecord]:
    import h5py

    try:
        file = h5py.File(path, "r")
    except OSError as error:
        raise FileFormatError(f"{path.name} is no HDF5 file, or it is damaged: {error}") from error
    with file:
        safety.check_hdf5(file, name=path.name)
        defects = sorted((name for name in file if name.startswith(_DEFECT)), key=lambda n: (len(n), n))
        if _PIXELS not in file or not defects:
            raise FileFormatError(
                f"{path.name} is not in LibraryNet's layout: it lacks {_PIXELS} or {_DEFECT}0; it has {sorted(file)}."
            )
        pixels = file[_PIXELS]
        safety.check_frame(pixels.shape[1:3], pixels.dtype, path.stat().st_size, name=path.name)
        patch = np.asarray(pixels[()], np.float32).squeeze()
        pixel_size = _pixel_size(pixels, path, patch)
        metadata = _metadata(pixels, path)
        tables = [(name, file[name][()]) for name in defects]
    for name, table in tables:
        yield _record(table, patch, pixel_size, metadata | {"defect": name}, rules, host, path)


def _pixel_size(pixels, path: Path, patch: np.ndarray) -> float:
    size = pixels.attrs.get(_SCAN_SIZE)
    try:
        size = float(size)
    except (TypeError, ValueError):
        size = float("nan")
    if not (np.isfinite(size) and size > 0):
        raise CalibrationError(f"{path.name} states no scan size (pm): add it as attribute 'scan size' of {_PIXELS}.")
    if patch.ndim != 2:
        raise FileFormatError(f"{path.name}: {_PIXELS} holds no single image, its shape is {pixels.shape}.")
    return size * _PM / patch.shape[1]


def _metadata(pixels, path: Path) -> dict:
    try:
        stated = json.loads(pixels.attrs.get("metadata", "{}"))
    except (TypeError, ValueError):
        stated = {}
    return {"source": path.name, "librarynet": stated}


def _record(table, patch, pixel_size, metadata, rules, host, path: Path) -> DefectRecord:
    try:
        rows = [[part.decode() if isinstance(part, bytes) else str(part) for part in row] for row in table]
        yx = np.array([[float(row[1]), float(row[0])] for row in rows]).reshape(-1, 2) * pixel_size
        species = [row[2] for row in rows]
    except (ValueError, IndexError, UnicodeDecodeError) as error:
        raise FileFormatError(f"{path.name}: {metadata['defect']} is no table of column, row, element.") from error
    kinds = {name: rules.of(name) for name in species}
    symbols = [kinds[name].symbol for name in species]
    limits = {kind.symbol: kind.valence for kind in kinds.values()}
    bonds = find_bonds(yx, symbols, ranges=rules.ranges, valences=limits)
    return DefectRecord(
        patch=patch,
        positions_yx=yx,
        species=tuple(species),
        pairs=bonds.pairs,
        formula=formula_of_species(species, host=host),
        pixel_size=pixel_size,
        center_yx=tuple(yx.mean(axis=0)),
        metadata=metadata,
    )


def _write_file(record: DefectRecord, path: Path) -> None:
    import h5py

    rows = [
        (f"{x:.10g}".encode(), f"{y:.10g}".encode(), species.encode())
        for (y, x), species, counted in zip(record.positions_px, record.species, record.counted, strict=True)
        if counted
    ]
    with h5py.File(path, "w") as file:
        pixels = file.create_dataset(_PIXELS, data=record.patch[None, :, :, None])
        pixels.attrs[_SCAN_SIZE] = record.patch.shape[1] * record.pixel_size / _PM
        pixels.attrs["metadata"] = json.dumps(record.metadata.get("librarynet", {}))
        file.create_dataset(f"{_DEFECT}0", data=np.array(rows, "S32").reshape(-1, 3))
