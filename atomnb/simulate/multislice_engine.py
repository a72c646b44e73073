"""One frozen-phonon configuration through abTEM: potential, scattering matrix, probe positions block by block."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from math import ceil

import numpy as np

from atomnb._require import require
from atomnb.errors import AtomnbError
from atomnb.simulate.multislice_plan import MultisliceConfig, Plan
from atomnb.simulate.optics import Optics, detector_angles
from atomnb.simulate.thermal import thermal_widths

Report = Callable[[float], None]
"""Is told the share done, 0 to 1; raises to cancel."""


VACUUM = 4.0
"""An empty layer as thick as this (Å) is no part of a crystal."""

VACUUM_KEPT = 0.5
"""Å of empty space kept above and below the atoms: the beam crosses more of it for nothing."""


@contextmanager
def abtem_settings(config: MultisliceConfig) -> Iterator[None]:
    """abTEM on the wanted device, silent and eager, within the block."""
    abtem = require("abtem", extra="simulate")
    settings = {"device": config.device, "diagnostics.progress_bar": False, "dask.lazy": False}
    with abtem.config.set(settings), warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=UserWarning, module="abtem")
        yield


def prepared_atoms(structure):
    """The structure's atoms ready for simulation: checked, wrapped, empty space along the beam taken off.

    Raises
    ------
    AtomnbError
        If there are no atoms, or the cell is not a box with the beam along z.
    """
    atoms = getattr(structure, "atoms", structure).copy()
    if not len(atoms):
        raise AtomnbError("the structure has no atoms: nothing to simulate.")
    lengths, angles = atoms.cell.lengths(), atoms.cell.angles()
    if lengths.min() < 0.5 or np.abs(angles - 90).max() > 1e-3 or np.abs(atoms.cell - np.diag(lengths)).max() > 1e-3:
        raise AtomnbError(
            f"multislice needs an orthorhombic cell along x, y, z, got lengths {lengths.round(3).tolist()} Å and "
            f"angles {angles.round(2).tolist()}°: read_structure or create_structure make one."
        )
    if not np.isfinite(atoms.positions).all():
        raise AtomnbError("the structure holds positions that are not finite numbers.")
    atoms.pbc = True
    atoms.wrap()
    return _without_vacuum(atoms)


def _without_vacuum(atoms):
    """Begin and end the cell along z within its widest empty layer, and cut that layer where it is vacuum.

    Atoms on the boundary would be thrown from the first slice to the last by their thermal motion.
    """
    z = np.sort(atoms.positions[:, 2])
    length = atoms.cell.lengths()[2]
    gaps = np.diff(np.append(z, z[0] + length))
    widest = int(gaps.argmax())
    first, gap = z[(widest + 1) % len(z)], gaps[widest]
    below = VACUUM_KEPT if gap >= VACUUM else 0.5 * gap
    atoms.positions[:, 2] = (atoms.positions[:, 2] - first + 1e-9) % length + below
    cell = atoms.cell.lengths()
    cell[2] = length - gap + 2 * below
    atoms.set_cell(cell)
    return atoms


def displaced(atoms, config: MultisliceConfig, index: int):
    """A copy of `atoms` with the thermal displacements of configuration `index`; the same for the same seed."""
    moved = atoms.copy()
    if config.phonons:
        rng = np.random.default_rng([config.seed, index])
        width = thermal_widths(atoms.get_chemical_symbols(), config.thermal_angstrom)
        moved.positions += rng.normal(size=(len(atoms), 3)) * width[:, None]
        moved.wrap()
    return moved


def build_potential(atoms, plan: Plan):
    """The projected potential of every slice, computed."""
    abtem = require("abtem", extra="simulate")
    return abtem.Potential(atoms, gpts=plan.gpts_xy, slice_thickness=plan.slices).build(lazy=False)


def run_configuration(atoms, plan: Plan, optics: Optics, config: MultisliceConfig, report: Report):
    """Scan one configuration.

    Parameters
    ----------
    atoms : ase.Atoms, orthorhombic and periodic
    plan, optics, config
    report : called after each batch

    Returns
    -------
    dict of detector → (ny, nx) float32
        Share of the beam that each detector receives, by probe position.
    """
    report(0.0)
    potential = build_potential(atoms, plan)
    report(0.05)
    if config.method == "prism":
        matrix = build_matrix(potential, plan, optics, config, lambda share: report(0.05 + 0.5 * share))
        return _scan(_MatrixScanner(matrix, optics, config), plan, config, lambda share: report(0.55 + 0.45 * share))
    return _scan(_ProbeScanner(potential, optics, config), plan, config, lambda share: report(0.05 + 0.95 * share))


def build_matrix(potential, plan: Plan, optics: Optics, config: MultisliceConfig, report: Report):
    """PRISM's scattering matrix, a few plane waves at a time so that memory stays bounded and it can be cancelled."""
    lazy = lazy_matrix(potential, plan, optics, batch=plan.waves)
    get_module = require("abtem", extra="simulate").core.backend.get_array_module
    array, done = None, 0
    for block in range(lazy.array.numblocks[0]):
        report(block / lazy.array.numblocks[0])
        waves = lazy.array.blocks[block].compute(scheduler="single-threaded")
        if array is None:
            array = get_module(waves).empty(lazy.array.shape, dtype=waves.dtype)
        array[done : done + len(waves)] = waves
        done += len(waves)
    return matrix_of(lazy, array)


def lazy_matrix(potential, plan: Plan, optics: Optics, *, batch: int):
    """abTEM's scattering matrix, not computed yet, `batch` plane waves in a block."""
    abtem = require("abtem", extra="simulate")
    return abtem.SMatrix(
        semiangle_cutoff=optics.semiangle_mrad,
        energy=optics.energy_ev,
        potential=potential,
        interpolation=plan.interpolation_xy,
        downsample=plan.kept_mrad,
    ).build(lazy=True, max_batch=batch)


def matrix_of(lazy, array):
    """A computed scattering matrix like the lazy one."""
    return type(lazy)(
        array,
        wave_vectors=lazy.wave_vectors,
        semiangle_cutoff=lazy.semiangle_cutoff,
        energy=lazy.energy,
        interpolation=lazy.interpolation,
        extent=lazy.extent,
        window_gpts=lazy.window_gpts,
        device=lazy.device,
        ensemble_axes_metadata=lazy.ensemble_axes_metadata,
        metadata=lazy.metadata,
    )


class _MatrixScanner:
    """Probe positions from a scattering matrix."""

    def __init__(self, matrix, optics: Optics, config: MultisliceConfig) -> None:
        abtem = require("abtem", extra="simulate")
        self._matrix, self._detectors = matrix, _detectors(optics, config)
        self._ctf = abtem.CTF(energy=optics.energy_ev, semiangle_cutoff=optics.semiangle_mrad, **_lens(optics))

    def __call__(self, scan) -> list:
        measured = self._matrix.reduce(
            scan=scan, ctf=self._ctf.copy(), detectors=self._detectors, max_batch_reduction=len(scan)
        )
        return _as_list(measured)


class _ProbeScanner:
    """Probe positions by one multislice run each."""

    def __init__(self, potential, optics: Optics, config: MultisliceConfig) -> None:
        abtem = require("abtem", extra="simulate")
        self._potential, self._detectors = potential, _detectors(optics, config)
        self._probe = abtem.Probe(energy=optics.energy_ev, semiangle_cutoff=optics.semiangle_mrad, **_lens(optics))
        self._probe.grid.match(potential)

    def __call__(self, scan) -> list:
        measured = self._probe.scan(
            self._potential, scan=scan, detectors=self._detectors, max_batch=len(scan), lazy=False
        )
        return _as_list(measured)


def scanner_of(potential_or_matrix, optics: Optics, config: MultisliceConfig) -> Callable:
    """The function that measures a GridScan: from a scattering matrix with PRISM, else from a potential."""
    kind = _MatrixScanner if config.method == "prism" else _ProbeScanner
    return kind(potential_or_matrix, optics, config)


def blocks_of(plan: Plan) -> list[tuple[slice, slice]]:
    """The scan cut into compact blocks, each a pair of slices along x and y."""
    ranges = [
        [slice(n * k // parts, n * (k + 1) // parts) for k in range(parts)]
        for n, parts in ((n, ceil(n / plan.block)) for n in plan.scan_xy)
    ]
    return [(x, y) for x in ranges[0] for y in ranges[1]]


def grid_scan(plan: Plan, block: tuple[slice, slice]):
    """abTEM's scan of one block of probe positions."""
    abtem = require("abtem", extra="simulate")
    step = [length / n for length, n in zip(plan.extent_xy, plan.scan_xy, strict=True)]
    return abtem.GridScan(
        start=tuple(part.start * d for part, d in zip(block, step, strict=True)),
        end=tuple(part.stop * d for part, d in zip(block, step, strict=True)),
        gpts=tuple(part.stop - part.start for part in block),
        endpoint=False,
    )


def _scan(scanner, plan: Plan, config: MultisliceConfig, report: Report) -> dict[str, np.ndarray]:
    images = {name: np.empty(plan.scan_xy, np.float32) for name in config.detectors}
    blocks = blocks_of(plan)
    for done, block in enumerate(blocks):
        report(done / len(blocks))
        for name, measured in zip(config.detectors, scanner(grid_scan(plan, block)), strict=True):
            images[name][block] = np.asarray(measured.to_cpu().array, np.float32).reshape(images[name][block].shape)
    report(1.0)
    return {name: np.ascontiguousarray(image.T) for name, image in images.items()}


def _as_list(measured) -> list:
    """One measurement per detector: abTEM gives a single one bare."""
    return measured if isinstance(measured, list) else [measured]


def _detectors(optics: Optics, config: MultisliceConfig) -> list:
    abtem = require("abtem", extra="simulate")
    return [abtem.AnnularDetector(*detector_angles(n, optics, config.angles_mrad)) for n in config.detectors]


def _lens(optics: Optics) -> dict[str, float]:
    return {"defocus": optics.defocus_angstrom, **optics.aberrations}
