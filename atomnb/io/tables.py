"""Write atom tables for other programs (csv, parquet, xyz, HyperSpy with markers) and read them back."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from atomnb._require import require
from atomnb.data.atoms import COLUMNS, AtomTable
from atomnb.data.elements import symbol_of
from atomnb.data.micrograph import as_micrograph
from atomnb.errors import AtomnbError, CalibrationError, FileFormatError
from atomnb.io.atomic import atomic_path

_HEADER = "# atomnb atom table; y, x, sigma, y_err, x_err in px, origin at the centre of the top-left pixel"
_XYZ_TYPES = {"f": "R", "i": "I", "u": "I", "b": "L"}
_XYZ_PARSERS: Mapping[str, Callable[[str], Any]] = {
    "R": float,
    "I": int,
    "S": str,
    "L": lambda text: text == "T",
}
MARKER_COLOURS = ("#e6194b", "#3cb44b", "#4363d8", "#f58231", "#911eb4", "#42d4f4", "#f032e6", "#bfef45")
"""Colours of the species in HyperSpy files, in the order in which they first appear."""


def write_atoms(atoms: AtomTable, path) -> Path:
    """Write a table of atoms.

    Parameters
    ----------
    atoms : AtomTable
    path : str or path
        The ending chooses the format: .csv (with a commented header that keeps pixel size and provenance),
        .parquet (needs pyarrow), .xyz (extended XYZ in Å for OVITO and ASE, one block for each frame).

    Returns
    -------
    Path
        The file written. An older file of that name survives if writing fails.

    Raises
    ------
    AtomnbError
        If the ending is none of these.
    CalibrationError
        If an uncalibrated table is written as .xyz, whose lengths are Å.
    """
    path = Path(path)
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise AtomnbError(f"cannot write {path.name!r}: the ending must be one of {', '.join(_WRITERS)}.")
    with atomic_path(path) as temporary:
        write(atoms, temporary)
    return path


def read_atoms(path) -> AtomTable:
    """Read a table of atoms that `write_atoms` wrote, or a csv of another program with columns y and x in px.

    Parameters
    ----------
    path : str or path
        A .csv, .parquet or .xyz file. From .xyz written by another program, positions come in Å with
        `pixel_size` 1.

    Returns
    -------
    AtomTable

    Raises
    ------
    FileNotFoundError, FileFormatError
    """
    path = Path(path)
    if not path.exists():
        raise FileNotFoundError(f"there is no file {path}: check the spelling and the folder.")
    read = _READERS.get(path.suffix.lower())
    if read is None:
        raise FileFormatError(f"cannot read atoms from {path.name!r}: the ending must be one of {', '.join(_READERS)}.")
    try:
        return read(path)
    except (ValueError, KeyError, IndexError, UnicodeDecodeError, OSError) as error:
        if isinstance(error, FileFormatError):
            raise
        raise FileFormatError(f"{path.name} is not a table of atoms, or it is damaged: {error}") from error


def write_hspy(image, atoms: AtomTable, path) -> Path:
    """Write the image as a HyperSpy file (.hspy) in which the atoms are permanent markers, a colour per species.

    Parameters
    ----------
    image : Micrograph, array or HyperSpy signal
    atoms : AtomTable
    path : str or path
        Ends in .hspy.

    Returns
    -------
    Path
    """
    path = Path(path)
    if path.suffix.lower() != ".hspy":
        raise AtomnbError(f"cannot write {path.name!r}: the ending must be .hspy.")
    micrograph = as_micrograph(image)
    signal = micrograph.to_hyperspy()
    scale = micrograph.pixel_size or 1.0
    for index, (species, group) in enumerate(atoms.df.groupby("species", sort=False)):
        colour = MARKER_COLOURS[index % len(MARKER_COLOURS)]
        signal.add_marker(_markers(group, str(species), colour, scale, micrograph.n_frames), permanent=True)
    with atomic_path(path) as temporary:
        signal.save(temporary, overwrite=True, show_progressbar=False)
    return path


def _markers(group, species: str, colour: str, scale: float, n_frames: int):
    """Points at (x, y) in the units of the axes; for a stack, those of each frame."""
    import hyperspy.api as hs

    xy = group[["x", "y"]].to_numpy() * scale
    if n_frames > 1:
        frames = group["frame"].to_numpy()
        offsets = np.empty(n_frames, dtype=object)
        for i in range(n_frames):
            offsets[i] = xy[frames == i]
    else:
        offsets = xy
    points = hs.plot.markers.Points(offsets, sizes=8, facecolors="none", edgecolors=colour)
    points.name = species
    return points


def _write_csv(atoms: AtomTable, path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        file.write(f"{_HEADER}\n# {json.dumps(_header(atoms))}\n")
        atoms.df.to_csv(file, index=False, lineterminator="\n")


def _read_csv(path: Path) -> AtomTable:
    import pandas as pd

    with path.open(encoding="utf-8") as file:
        first, second = file.readline(), file.readline()
    ours = first.rstrip("\n") == _HEADER
    df = pd.read_csv(path, skiprows=2 if ours else 0, encoding="utf-8")
    return _table(df, json.loads(second.lstrip("# ")) if ours else {}, path)


def _write_parquet(atoms: AtomTable, path: Path) -> None:
    require("pyarrow", extra="parquet")
    df = atoms.df.copy()
    df.attrs = {"atomnb": json.dumps(_header(atoms))}
    df.to_parquet(path, index=False)


def _read_parquet(path: Path) -> AtomTable:
    import pandas as pd

    require("pyarrow", extra="parquet")
    df = pd.read_parquet(path)
    return _table(df, json.loads(df.attrs.pop("atomnb", "{}")), path)


def _write_xyz(atoms: AtomTable, path: Path) -> None:
    if atoms.pixel_size is None:
        raise CalibrationError(
            "an .xyz file holds lengths in Å, but the atoms have no pixel size: pass pixel_size (Å) to analyze or "
            "read_image, or write .csv."
        )
    with path.open("w", encoding="utf-8", newline="") as file:
        frames = sorted(set(atoms.df["frame"])) or [0]
        for frame in frames:
            file.write(_xyz_block(atoms, atoms.in_frame(frame)))


def _xyz_block(whole: AtomTable, atoms: AtomTable) -> str:
    """One frame: count, description, a line for each atom: symbol, x, y, 0 in Å, name of the species, other columns.

    ASE refuses symbols that are no elements, so the species stands in a column of its own beside the symbol.
    """
    extra = [name for name in atoms.df.columns if name not in ("y", "x", "species") and _xyz_type(atoms, name)]
    kinds = "".join(f":{name}:{_xyz_type(atoms, name)}:1" for name in extra)
    lattice = "" if whole.shape is None else f'Lattice="{_lattice(whole)}" pbc="F F F" '
    header = json.dumps(_header(whole)).replace("\\", "\\\\").replace('"', '\\"')
    lines = [str(len(atoms)), f'{lattice}Properties=species:S:1:pos:R:3:label:S:1{kinds} atomnb="{header}"']
    positions = atoms.in_angstrom()
    columns = [atoms.df[name].to_numpy() for name in extra]
    labels = [re.sub(r"\s", "_", str(name)) or "X" for name in atoms.df["species"]]
    for i, (y, x) in enumerate(positions):
        values = " ".join(_xyz_value(column[i]) for column in columns)
        lines.append(f"{symbol_of(labels[i])} {float(x)!r} {float(y)!r} 0.0 {labels[i]} {values}")
    return "\n".join(lines) + "\n"


def _lattice(atoms: AtomTable) -> str:
    """The box of the image in Å; its height along z is 1 because a box without volume is refused by viewers."""
    height, width = (float(n * atoms.pixel_size) for n in atoms.shape)
    return f"{width!r} 0.0 0.0 0.0 {height!r} 0.0 0.0 0.0 1.0"


def _xyz_type(atoms: AtomTable, name: str) -> str | None:
    return _XYZ_TYPES.get(atoms.df[name].dtype.kind)


def _xyz_value(value) -> str:
    if isinstance(value, (bool, np.bool_)):
        return "T" if value else "F"
    return repr(value.item())


def _read_xyz(path: Path) -> AtomTable:
    import pandas as pd

    lines = path.read_text(encoding="utf-8").splitlines()
    frames, header, start = [], {}, 0
    while start < len(lines) and lines[start].strip():
        count = int(lines[start])
        block = lines[start + 2 : start + 2 + count]
        if len(block) < count:
            raise FileFormatError(f"{path.name} is truncated: {count} atoms declared, {len(block)} are there.")
        header, kinds = _xyz_description(lines[start + 1])
        columns = zip(*(line.split() for line in block), strict=True) if block else ((),) * len(kinds)
        named = zip(kinds.items(), columns, strict=True)
        frame = pd.DataFrame({name: [_XYZ_PARSERS[kind](v) for v in column] for (name, kind), column in named})
        frames.append(frame if "frame" in kinds else frame.assign(frame=len(frames)))
        start += 2 + count
    if not frames:
        raise FileFormatError(f"{path.name} holds no atoms: an .xyz file begins with their number.")
    df = pd.concat([f for f in frames if len(f)] or frames[:1], ignore_index=True)
    scale = header.get("pixel_size") or 1.0
    df = df.assign(y=df["pos_y"].astype(float) / scale, x=df["pos_x"].astype(float) / scale)
    if "label" in df.columns:
        df = df.assign(species=df.pop("label"))
    return _table(df.drop(columns=["pos_x", "pos_y", "pos_z"]), {"pixel_size": 1.0, **header}, path)


def _xyz_description(comment: str) -> tuple[dict[str, Any], dict[str, str]]:
    """Our header, and name and type of each column, from the comment line of an extended XYZ block."""
    match = re.search(r"Properties=(\S+)", comment)
    fields = match.group(1).split(":") if match else ["species", "S", "1", "pos", "R", "3"]
    kinds: dict[str, str] = {}
    for name, kind, count in zip(fields[::3], fields[1::3], fields[2::3], strict=True):
        parts = "xyz" if name == "pos" else range(int(count))
        kinds.update({name: kind} if count == "1" else {f"{name}_{part}": kind for part in parts})
    ours = re.search(r'atomnb="((?:[^"\\]|\\.)*)"', comment)
    text = re.sub(r"\\(.)", r"\1", ours.group(1)) if ours else "{}"
    return json.loads(text), kinds


def _header(atoms: AtomTable) -> dict[str, Any]:
    return {
        "pixel_size": atoms.pixel_size,
        "shape": None if atoms.shape is None else [int(n) for n in atoms.shape],
        "provenance": _jsonable(atoms.provenance),
    }


def _jsonable(value):
    if isinstance(value, Mapping):
        return {str(k): _jsonable(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [_jsonable(v) for v in value]
    if isinstance(value, (np.generic, np.ndarray)):
        return _jsonable(value.tolist())
    if isinstance(value, float) and not np.isfinite(value):
        return None
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)


def _table(df, header: Mapping[str, Any], path: Path) -> AtomTable:
    missing = {"y", "x"} - set(df.columns)
    if missing:
        raise FileFormatError(
            f"{path.name} has no column {' and '.join(sorted(missing))} (px); its columns are {list(df.columns)}. "
            "Rename those with the positions."
        )
    shape = header.get("shape")
    text = {name: df[name].fillna("").astype(object) for name in ("species",) if name in df.columns}
    known = df.assign(**text).astype({c: k for c, k in COLUMNS.items() if c in df.columns and c != "species"})
    return AtomTable(
        known,
        pixel_size=header.get("pixel_size"),
        shape=None if shape is None else tuple(shape),
        provenance=header.get("provenance") or {},
    )


_WRITERS: Mapping[str, Callable[[AtomTable, Path], None]] = {
    ".csv": _write_csv,
    ".parquet": _write_parquet,
    ".xyz": _write_xyz,
}
_READERS: Mapping[str, Callable[[Path], AtomTable]] = {
    ".csv": _read_csv,
    ".parquet": _read_parquet,
    ".xyz": _read_xyz,
}
