"""Multislice images of structures through abTEM: cached, resumable, cancellable, on one machine or a cluster."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from atomnb._require import require
from atomnb.data.micrograph import Micrograph
from atomnb.errors import AtomnbError
from atomnb.simulate.multislice_cache import ScanStore, input_hash
from atomnb.simulate.multislice_engine import (
    abtem_settings,
    displaced,
    prepared_atoms,
    run_configuration,
)
from atomnb.simulate.multislice_estimate import Estimate, check_memory, estimate_multislice
from atomnb.simulate.multislice_plan import MultisliceConfig, Plan, plan_multislice
from atomnb.simulate.optics import Optics
from atomnb.simulate.thermal import thermal_widths

Progress = Callable[[float, str], None]

__all__ = [
    "Estimate",
    "MultisliceConfig",
    "MultisliceImages",
    "Optics",
    "estimate_multislice",
    "simulate_many",
    "simulate_multislice",
]

FWHM_PER_SIGMA = 2.3548200450309493

SCHEDULERS = ("single-threaded", "processes")


@dataclass(frozen=True, eq=False)
class MultisliceImages:
    """Noise-free images of one structure, one per detector.

    images : detector → (H, W) float32, image[y, x], share of the beam that reaches the detector
    pixel_size : Å
    positions_yx : (N, 2) px of the columns, at their mean positions
    content : (N,) str, what each column holds, such as "Mo" or "S2"
    provenance : what made it, JSON-able
    """

    images: Mapping[str, np.ndarray]
    pixel_size: float
    positions_yx: np.ndarray
    content: np.ndarray
    provenance: Mapping[str, Any]

    def to_micrograph(self, detector: str | None = None) -> Micrograph:
        """One detector's image (by default the first) as a `Micrograph` in Å.

        Raises
        ------
        AtomnbError
            If that detector was not simulated.
        """
        name = next(iter(self.images)) if detector is None else detector
        if name not in self.images:
            raise AtomnbError(f"the {name!r} detector was not simulated: choose from {', '.join(self.images)}.")
        label = f"{self.provenance.get('name', 'multislice')} {name.upper()}"
        return Micrograph(self.images[name], self.pixel_size, name=label, metadata=dict(self.provenance))


def simulate_multislice(
    structure,
    *,
    optics: Optics | None = None,
    config: MultisliceConfig | None = None,
    cache: str | Path | None = None,
    progress: Progress | None = None,
) -> MultisliceImages:
    """Simulate the images of a structure.

    Parameters
    ----------
    structure : Structure
        Or anything with `.atoms`, an orthorhombic periodic `ase.Atoms` with the beam along z.
    optics : Optics, optional
    config : MultisliceConfig, optional
    cache : path, optional
        A folder where scans are kept by the hash of their inputs. Each frozen-phonon configuration is saved when it
        is done, so a run that was cancelled or killed goes on where it stopped.
    progress : callable, optional
        Called as progress(fraction, message); raise `CancelledError` in it to stop.

    Raises
    ------
    AtomnbError
        If the cell cannot be used, the memory does not suffice (with settings that would fit), or the disk is full.
    MissingPackageError
        If abTEM, or for the GPU CuPy, is not installed.

    References
    ----------
    Madsen and Susi, Open Research Europe 1, 24 (2021): abTEM. Ophus, Adv. Struct. Chem. Imaging 3, 13 (2017): PRISM.
    """
    optics, config = optics or Optics(), config or MultisliceConfig()
    abtem = require("abtem", extra="simulate")
    atoms = prepared_atoms(structure)
    thermal_widths(atoms.get_chemical_symbols(), config.thermal_angstrom)
    plan = plan_multislice(tuple(atoms.cell.lengths()), optics, config, heights=atoms.positions[:, 2])
    key = input_hash(
        atoms.positions, atoms.numbers, atoms.cell.lengths(),
        optics=optics.to_dict(), config=config.to_dict() | {"gpts_xy": plan.gpts_xy, "slices": plan.slices},
        abtem_version=abtem.__version__,
    )  # fmt: skip
    store = ScanStore(cache, key)
    tell = progress or (lambda fraction, message: None)
    held = store.load()
    if held is None:
        check_memory(plan, atoms, optics, config)
        scans, note = _simulate(atoms, plan, optics, config, store, tell)
        store.save(scans, note)
    else:
        scans, note = held
    tell(1.0, "done" if held is None else "found in the cache")
    sampling = max(length / n for length, n in zip(plan.extent_xy, plan.gpts_xy, strict=True))
    note = note | {"key": key, "abtem": abtem.__version__, "sampling_angstrom": round(sampling, 4)}
    return _finished(structure, atoms, scans, optics, config, note)


def simulate_many(
    structures: Sequence,
    *,
    optics: Optics | Sequence[Optics] | None = None,
    config: MultisliceConfig | None = None,
    cache: str | Path | None = None,
    scheduler: str = "single-threaded",
    client=None,
    progress: Progress | None = None,
) -> list[MultisliceImages]:
    """Simulate many structures through dask, in their order.

    Parameters
    ----------
    structures : sequence of Structure
    optics : Optics, or one for each structure
    config : MultisliceConfig, optional
    cache : path, optional
        As for `simulate_multislice`; with a cluster, a folder that all its workers see.
    scheduler : {'single-threaded', 'processes'}
        One after the other in this process, or several processes of this machine, each with the memory of a
        simulation (as many as dask's setting `num_workers`, by default the cores).
    client : dask.distributed.Client, optional
        A cluster to run on instead.
    progress : callable, optional
        As for `simulate_multislice`.

    Raises
    ------
    AtomnbError
        As `simulate_multislice`, or if optics are not one per structure.

    Examples
    --------
    >>> from dask.distributed import Client  # doctest: +SKIP
    >>> simulate_many(structures, cache="scans", client=Client("scheduler:8786"))  # doctest: +SKIP
    """
    dask = require("dask", extra="simulate")
    structures, n = list(structures), len(structures)
    each = list(optics) if isinstance(optics, Sequence) else [optics or Optics()] * n
    if len(each) != n:
        raise AtomnbError(f"optics must be one, or one for each of {n} structures, got {len(each)}.")
    if scheduler not in SCHEDULERS:
        # abTEM's settings belong to the process: threads would change them for one another
        raise AtomnbError(f"scheduler must be one of {', '.join(SCHEDULERS)}, got {scheduler!r}.")
    tell = progress or (lambda fraction, message: None)
    folder = None if cache is None else str(cache)
    counter = _Counter(n, tell)
    within = counter.within if client is None and scheduler == "single-threaded" else None
    tasks = [
        dask.delayed(simulate_multislice, pure=False)(
            structure, optics=one, config=config, cache=folder, progress=within
        )
        for structure, one in zip(structures, each, strict=True)
    ]
    if client is not None:
        return _on_cluster(tasks, client, counter)
    with require("dask.callbacks", extra="simulate").Callback(posttask=counter.finished):
        return list(dask.compute(*tasks, scheduler=scheduler, optimize_graph=False))


def _simulate(atoms, plan: Plan, optics: Optics, config: MultisliceConfig, store: ScanStore, tell: Progress):
    """The mean of all configurations, and the seconds they took, in however many sessions."""
    total: dict[str, np.ndarray] = {}
    n, spent = config.configurations, 0.0
    with abtem_settings(config):
        for index in range(n):

            def report(share: float, done: int = index) -> None:
                tell((done + share) / n, f"configuration {done + 1} of {n}")

            found = store.load_configuration(index)
            if found is None:
                start = time.perf_counter()
                scans = run_configuration(displaced(atoms, config, index), plan, optics, config, report)
                found = scans, time.perf_counter() - start
                store.save_configuration(index, scans, seconds=found[1])
            scans, spent = found[0], spent + found[1]
            for name in config.detectors:
                total[name] = total.get(name, 0.0) + scans[name] / np.float32(n)
    return total, {"seconds": round(spent, 3)}


def _finished(structure, atoms, scans, optics: Optics, config: MultisliceConfig, note) -> MultisliceImages:
    """The images on the pixels wanted, seen through the source, with the columns that lie on them."""
    extent_yx = atoms.cell.lengths()[1::-1]
    shape = tuple(int(length / config.pixel_size + 1e-6) for length in extent_yx)
    if min(shape) < 1:
        raise AtomnbError(f"pixel_size {config.pixel_size:g} Å is larger than the structure: choose a smaller one.")
    sigma = optics.source_fwhm_angstrom / FWHM_PER_SIGMA
    images = {
        name: resample_scan(scans[name], extent_yx, shape, pixel_size=config.pixel_size, blur_angstrom=sigma)
        for name in config.detectors
    }
    positions, content = _columns_on(structure, extent_yx, shape, config.pixel_size)
    provenance = {
        "name": str(getattr(structure, "name", "")) or atoms.get_chemical_formula(),
        "structure": dict(getattr(structure, "provenance", {})),
        "optics": optics.to_dict(),
        "config": config.to_dict(),
        **note,
    }
    return MultisliceImages(images, config.pixel_size, positions, content, provenance)


def resample_scan(
    scan: np.ndarray, extent_yx, shape: tuple[int, int], *, pixel_size: float, blur_angstrom: float
) -> np.ndarray:
    """A periodic, band-limited scan of the whole cell on square pixels, exactly, by its Fourier series.

    Parameters
    ----------
    scan : (ny, nx), probe positions spread evenly over the cell from its origin
    extent_yx : Å
    shape : (H, W) px; the centre of the first pixel is the cell's origin
    pixel_size : Å
    blur_angstrom : standard deviation of the source, Å

    Returns
    -------
    (H, W) float32, not negative
    """
    spectrum = np.fft.fft2(np.asarray(scan, float)) / scan.size
    sides = []
    for n, length, size in zip(scan.shape, extent_yx, shape, strict=True):
        index = np.fft.fftfreq(n, 1 / n)
        k = index / length
        keep = np.exp(-2 * (np.pi * blur_angstrom * k) ** 2) * (2 * np.abs(index) < n)
        sides.append(keep * np.exp(2j * np.pi * np.outer(np.arange(size) * pixel_size, k)))
    return np.clip((sides[0] @ spectrum @ sides[1].T).real, 0, None).astype(np.float32)


def _columns_on(structure, extent_yx, shape, pixel_size: float) -> tuple[np.ndarray, np.ndarray]:
    """Positions (N, 2) px and content (N,) of the columns whose centre lies on the image."""
    if hasattr(structure, "columns"):
        columns = structure.columns()
        yx, content = np.asarray(columns.positions_yx, float), np.asarray(columns.content).astype(str)
    else:  # bare atoms: each its own column
        atoms = getattr(structure, "atoms", structure)
        yx, content = atoms.positions[:, 1::-1], np.array(atoms.get_chemical_symbols())
    yx = yx.reshape(-1, 2) % extent_yx
    half = 0.5 * pixel_size
    yx = np.where(yx > np.asarray(extent_yx) - half, yx - extent_yx, yx) / pixel_size
    inside = (yx < np.array(shape) - 0.5).all(axis=1)
    return yx[inside], content[inside]


class _Counter:
    """Progress of `n` simulations, in whatever order they run."""

    def __init__(self, n: int, tell: Progress) -> None:
        self._n, self._tell, self._done = n, tell, 0

    def within(self, fraction: float, message: str) -> None:
        """One simulation's own progress as part of the whole."""
        self._tell((self._done + fraction) / self._n, f"structure {self._done + 1} of {self._n}: {message}")

    def finished(self, key, value, *rest) -> None:
        """What dask calls after each task: counts the images."""
        if isinstance(value, MultisliceImages):
            self._done += 1
            self._tell(self._done / self._n, f"{self._done} of {self._n} structures")


def _on_cluster(tasks, client, counter: _Counter) -> list[MultisliceImages]:
    distributed = require("distributed", extra="simulate")
    futures = client.compute(tasks)
    try:
        for future in distributed.as_completed(futures):
            counter.finished(future.key, future.result())
        return [future.result() for future in futures]
    finally:
        client.cancel(futures)
