"""A user's own structure: a CIF, xyz or other file, turned to a zone axis, cut to size and thickness, tilted."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from atomnb._require import require
from atomnb.simulate.structures.base import SHEET_THICKNESS, Structure, StructureError, check_no_overlap, put_inside
from atomnb.simulate.structures.crystal import OrthogonalCell, orthogonal_cell, repeated, turned
from atomnb.simulate.structures.lattice import lattice_in_box
from atomnb.simulate.structures.registry import checked_size, versions

if TYPE_CHECKING:
    from ase import Atoms

MARGIN = 4.0
"""Empty space (Å) put around a cluster that has no cell."""

CRYSTAL_FILES = (".cif", ".vasp", ".poscar", ".res", ".cssr")
"""Endings of files that describe crystals: without a cell they are damaged."""

STRUCTURE_FILES = (*CRYSTAL_FILES, ".xyz", ".extxyz", ".pdb")
"""Endings of the structure files that pages list; ASE reads more."""


def read_structure(
    path: str | os.PathLike,
    *,
    zone_axis: tuple[int, ...] = (0, 0, 1),
    thickness_angstrom: float | None = None,
    tilt_mrad: tuple[float, float] = (0.0, 0.0),
    size_angstrom: tuple[float, float] = (40.0, 40.0),
    max_length_angstrom: float = 60.0,
    max_strain: float = 0.01,
    seed: int = 0,
) -> Structure:
    """Read a structure and lay it under the beam.

    A crystal (a file with a cell) is turned so that `zone_axis` lies along the beam and repeated to fill the size.
    A cluster (an xyz without a cell) is
    turned so that the direction `zone_axis` in x, y, z lies along the beam, and put in a box of empty space.

    Parameters
    ----------
    path : a file ASE can read: .cif, .xyz, .vasp, .pdb, ...
    zone_axis : [u, v, w], or [u, v, t, w] of a hexagonal crystal, along the beam
    thickness_angstrom : Å along the beam, to the nearest whole cell; None takes one cell, right for sheets
    tilt_mrad : (about x: columns lean along y, about y: columns lean along x), by shearing the box
    size_angstrom : (height y, width x), Å; the structure is not smaller
    max_length_angstrom : longest edge tried for the smallest box
    max_strain : edges whose angle is off by less (cosine) are made perpendicular
    seed : chooses who sits on sites that elements share (occupancies in a CIF)

    Returns
    -------
    Structure

    Raises
    ------
    StructureError
        If the file cannot be read, a crystal has no cell, atoms overlap, or no box lies along the zone axis.
    """
    path = Path(path)
    size, tilt = checked_size(size_angstrom), _checked_tilt(tilt_mrad)
    if thickness_angstrom is not None and not 0 < thickness_angstrom <= 5000:
        raise StructureError(f"thickness_angstrom must lie between 0 and 5000 Å, got {thickness_angstrom!r}.")
    atoms = _read(path)
    provenance = {
        "name": path.name,
        "zone_axis": [int(n) for n in zone_axis],
        "thickness_angstrom": None if thickness_angstrom is None else float(thickness_angstrom),
        "tilt_mrad": list(tilt),
        "size_angstrom": list(size),
        "seed": int(seed),
        "versions": versions(),
    }
    if atoms.cell.rank == 3:
        box, found = _crystal(atoms, zone_axis, thickness_angstrom, size, max_length_angstrom, max_strain)
        provenance["cell_strain"], lattices = found.strain, (lattice_in_box(atoms, found),)
        box = _occupied(box, atoms.info.get("occupancy", {}), np.random.default_rng(seed))
    else:
        box, lattices = _cluster(atoms, path, zone_axis, size), ()
    check_no_overlap(box, name=path.name)
    lean_yx = _tilt(box, tilt)
    put_inside(box)
    return Structure(box, path.stem, "file", (), provenance, lean_yx, lattices)


def _checked_tilt(tilt_mrad) -> tuple[float, float]:
    try:
        about_x, about_y = (float(angle) for angle in tilt_mrad)
    except (TypeError, ValueError) as error:
        raise StructureError(f"tilt_mrad must be two angles (about x, about y) in mrad, got {tilt_mrad!r}.") from error
    if not max(abs(about_x), abs(about_y)) <= 200:
        raise StructureError(f"tilt_mrad must lie between -200 and 200 mrad, got {tilt_mrad!r}: turn the zone axis.")
    return about_x, about_y


def _read(path: Path) -> Atoms:
    if not path.is_file():
        raise StructureError(f"there is no file {path}.")
    try:
        atoms = require("ase.io", extra="simulate").read(path)
    except Exception as error:
        lost = path.suffix.lower() == ".cif" and "cell" not in path.read_text(errors="replace")
        raise StructureError(_no_cell(path) if lost else _unread(path, error)) from error
    if isinstance(atoms, list) or not len(atoms):
        raise StructureError(f"{path.name} holds no atoms.")
    if not np.isfinite(atoms.positions).all():
        raise StructureError(f"{path.name}: some positions are not numbers.")
    if (atoms.numbers < 1).any():
        raise StructureError(f"{path.name}: atom {int(np.argmax(atoms.numbers < 1))} is of no known element.")
    if atoms.cell.rank < 3 and (atoms.cell.rank or path.suffix.lower() in CRYSTAL_FILES):
        raise StructureError(_no_cell(path))
    return atoms


def _unread(path: Path, error: Exception) -> str:
    """Why ASE could not read the file: some of its errors say nothing."""
    crystal = path.suffix.lower() in CRYSTAL_FILES
    hint = "a length or an angle of its cell may be 0 or missing" if crystal else "it may be of another format"
    return f"{path.name} cannot be read as a structure: {str(error).strip() or f'{hint} ({type(error).__name__})'}"


def _no_cell(path: Path) -> str:
    return (
        f"{path.name} has no cell, so the crystal cannot be repeated or turned to a zone axis: a CIF needs "
        '_cell_length_a, _b, _c and _cell_angle_alpha, _beta, _gamma; an extended xyz needs Lattice="...".'
    )


def _crystal(atoms, zone_axis, thickness, size, max_length, max_strain) -> tuple[Atoms, OrthogonalCell]:
    """The crystal in its box, repeated, and how the box was found."""
    atoms.pbc = True
    found = orthogonal_cell(atoms.cell, zone_axis, max_length=max_length, max_strain=max_strain)
    box = turned(atoms, found)
    _gather(box)
    return repeated(box, size, thickness or box.cell.lengths()[2]), found


def _gather(box: Atoms) -> None:
    """Put the middle of the widest empty layer on the edge of the box, so that a sheet is not split in two."""
    depth = box.cell.lengths()[2]
    z = np.sort(box.positions[:, 2] % depth)
    gaps = np.diff(z, append=z[0] + depth)
    widest = int(np.argmax(gaps))
    if gaps[widest] > SHEET_THICKNESS:
        box.positions[:, 2] -= z[widest] + gaps[widest] / 2
        box.wrap(eps=1e-9)


def _occupied(box: Atoms, occupancy: dict, rng: np.random.Generator) -> Atoms:
    """Sites that elements share, or that are partly empty, filled by chance in the shares the file gives."""
    shares = {int(kind): share for kind, share in occupancy.items()}
    kinds = box.arrays.get("spacegroup_kinds")
    mixed = {kind: share for kind, share in shares.items() if len(share) > 1 or sum(share.values()) < 0.999}
    if kinds is None or not mixed:
        return box
    box, gone = box.copy(), []
    for kind, share in mixed.items():
        sites = rng.permutation(np.flatnonzero(kinds == kind))
        ends = np.round(np.cumsum(list(share.values())) * len(sites)).astype(int)
        for element, start, end in zip(share, [0, *ends[:-1]], ends, strict=True):
            box.symbols[sites[start:end]] = element
        gone.extend(sites[ends[-1] :])
    del box[gone]
    return box


def _cluster(atoms: Atoms, path: Path, direction, size) -> Atoms:
    """A cluster with the direction (x, y, z) turned along the beam, in the middle of an empty box."""
    axis = np.asarray(direction, float)
    if axis.shape != (3,) or not axis.any():
        raise StructureError(f"{path.name} has no cell: zone_axis must be a direction (x, y, z), got {direction!r}.")
    box = require("ase", extra="simulate").Atoms(atoms.symbols, atoms.positions)
    box.rotate(axis, "z")
    extent = np.ptp(box.positions, axis=0) + 2 * MARGIN
    box.set_cell(np.diag(np.maximum(extent, [size[1], size[0], 0])))
    box.positions += box.cell.lengths() / 2 - (box.positions.max(axis=0) + box.positions.min(axis=0)) / 2
    return box


def _tilt(box: Atoms, tilt_mrad: tuple[float, float]) -> tuple[float, float]:
    """Lean the columns by so much along y and x for each Å; the box keeps its edges, so the image still repeats."""
    about_x, about_y = np.tan(np.array(tilt_mrad) / 1000)
    depth = box.positions[:, 2] - box.cell.lengths()[2] / 2
    box.positions[:, 1] += about_x * depth
    box.positions[:, 0] += about_y * depth
    if box.pbc.any():
        box.pbc[2] = box.pbc[2] and not any(tilt_mrad)
    return float(about_x), float(about_y)
