"""One defect as a structure file (xyz, cif) for viewers and for calculations that start from it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from atomnb.data.elements import symbol_of
from atomnb.errors import AtomnbError
from atomnb.graph.record import DefectRecord
from atomnb.io.atomic import atomic_path

HEIGHT = 15.0
"""Å; the cell along the beam in cif files: enough vacuum around a sheet."""


def write_structure(record: DefectRecord, path) -> Path:
    """Write the atoms of a defect.

    Parameters
    ----------
    record : DefectRecord
    path : str or path
        .xyz (extended, with errors and bonds in its second line) or .cif (cell of the size of the patch, P 1). x and
        y are those of the patch in Å, y downward; z is 0 in xyz and the middle of the cell in cif: the image does not
        tell heights.

    Returns
    -------
    Path
        An older file of that name survives if writing fails.
    """
    path = Path(path)
    text = _WRITERS.get(path.suffix.lower())
    if text is None:
        raise AtomnbError(f"cannot write {path.name!r}: the ending must be one of {', '.join(_WRITERS)}.")
    with atomic_path(path) as temporary:
        temporary.write_text(text(record), encoding="utf-8", newline="")
    return path


def _xyz(record: DefectRecord) -> str:
    height, width = (n * record.pixel_size for n in record.patch.shape)
    about = {
        "formula": record.formula, "name": record.name, "topology": record.topology,
        "center_yx": list(record.center_yx), "bonds": record.pairs.tolist(),
    }  # fmt: skip
    note = json.dumps(about).replace("\\", "\\\\").replace('"', '\\"')
    lines = [
        str(len(record)),
        f'Lattice="{width:.4f} 0.0 0.0 0.0 {height:.4f} 0.0 0.0 0.0 {HEIGHT}" pbc="F F F" '
        f'Properties=species:S:1:pos:R:3:label:S:1:x_err:R:1:y_err:R:1:counted:L:1 atomnb="{note}"',
    ]
    rows = zip(record.positions_yx, record.errors_yx, record.species, record.counted, strict=True)
    for (y, x), (y_err, x_err), species, counted in rows:
        place = f"{symbol_of(species)} {x:.5f} {y:.5f} 0.00000 {_word(species)}"
        lines.append(f"{place} {x_err:.5f} {y_err:.5f} {'T' if counted else 'F'}")
    return "\n".join(lines) + "\n"


def _cif(record: DefectRecord) -> str:
    height, width = (n * record.pixel_size for n in record.patch.shape)
    lines = [
        f"data_{re.sub(r'[^A-Za-z0-9_]', '_', record.formula) or 'defect'}",
        f"_chemical_name_common '{re.sub(r'[^ -&(-~]', '_', record.name)}'",
        "_symmetry_space_group_name_H-M 'P 1'", "_symmetry_Int_Tables_number 1",
        f"_cell_length_a {width:.5f}", f"_cell_length_b {height:.5f}", f"_cell_length_c {HEIGHT:.5f}",
        *(f"_cell_angle_{angle} 90.0" for angle in ("alpha", "beta", "gamma")),
        "loop_", "_symmetry_equiv_pos_as_xyz", "'x, y, z'",
        "loop_", "_atom_site_label", "_atom_site_type_symbol", "_atom_site_fract_x", "_atom_site_fract_y",
        "_atom_site_fract_z",
    ]  # fmt: skip
    for number, ((y, x), species) in enumerate(zip(record.positions_yx, record.species, strict=True), start=1):
        lines.append(f"{_word(species)}{number} {symbol_of(species)} {x / width:.7f} {y / height:.7f} 0.5")
    return "\n".join(lines) + "\n"


def _word(species: str) -> str:
    return re.sub(r"\s", "_", species) or "X"


_WRITERS: Mapping[str, Callable[[DefectRecord], str]] = {".xyz": _xyz, ".cif": _cif}
