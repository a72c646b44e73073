"""The settings of a multislice simulation, the grids and the memory they lead to, and settings that would fit."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from math import ceil, prod
from pathlib import Path
from typing import Any

import numpy as np

from atomnb.errors import AtomnbError, MissingPackageError
from atomnb.simulate.optics import DETECTORS, Optics, detector_angles

METHODS = ("prism", "multislice")
DEVICES = ("cpu", "gpu")

ANTIALIAS = 1.5
"""The waves' grid reaches this much beyond the largest angle a slice scatters by: abTEM keeps two thirds of it."""

SAMPLING = 0.05
"""Å per point of the waves' grid at most: a coarser one blunts the atoms' potential, and heavy ones look too bright."""

EDGE = 2.5
"""Pixels of the detected diffraction pattern that are kept beyond the outermost detector angle."""

PROBE_WINDOW = 10.0
"""Å that PRISM's window holds around a probe at focus."""

SCATTERED_WINDOW = 2.5
"""PRISM's window over (thickness × inner angle): what the top of a thick crystal scatters to a dark field leaves a
smaller one sideways, and comes from elsewhere in its place: the columns vanish in a haze."""

SCAN_MARGIN = 1.05
"""Probe positions are this much denser than the image's band limit asks for."""

SHEET, CRYSTAL_SLICE = 10.0, 2.0
"""Å along the beam up to which a specimen counts as a sheet, and the slices of anything thicker."""

PLANE = 0.6
"""Atoms of a sheet within this many Å along the beam share a slice."""

WAVE_COPIES = 5
"""A wave that is being propagated or detected, its transform, and what is made of them, held at once; measured."""

MOST_WAVES, MOST_PROBES = 16, 12
"""Plane waves, and probe positions along each axis, done at once: more is no faster."""

COMPLEX, REAL = 8, 4
"""Bytes of a number in single precision."""


@dataclass(frozen=True)
class MultisliceConfig:
    """How a simulation is done.

    Parameters
    ----------
    method : {'prism', 'multislice'}
        PRISM (a scattering matrix, interpolated) or one multislice run per probe position.
    detectors : tuple of {'haadf', 'maadf', 'abf', 'bf'}
        All recorded in one pass.
    angles_mrad : mapping
        Detector angles that differ from `atomnb.simulate.optics.detector_angles`: name → (inner, outer) mrad.
    phonons : int
        Frozen-phonon configurations averaged; 0 = atoms at rest.
    thermal_angstrom : float, mapping or None
        Root-mean-square displacement along each axis, Å; a mapping gives it by element symbol; None = at room
        temperature (`atomnb.simulate.thermal`).
    pixel_size : float
        Å per pixel of the image wanted.
    slice_thickness : float or None
        Å; None = 2 for crystals, and for sheets up to 10 Å one slice for each plane of atoms, at its true distance
        from the next: what two atoms behind one another scatter depends on it, and equal slices round it.
    interpolation : int or None
        PRISM's factor; None = as large as keeps a window of 10 Å and more (for thick crystals and defocus) around
        each probe, wide enough for what a dark-field detector receives from the top of the crystal.
    chunk_mb : float
        Working memory of one batch of probe positions or plane waves, in MB.
    seed : int
        Of the thermal displacements.
    device : {'cpu', 'gpu'}
        'gpu' needs cupy.
    """

    method: str = "prism"
    detectors: tuple[str, ...] = ("haadf",)
    angles_mrad: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    phonons: int = 6
    thermal_angstrom: float | Mapping[str, float] | None = None
    pixel_size: float = 0.15
    slice_thickness: float | None = None
    interpolation: int | None = None
    chunk_mb: float = 256.0
    seed: int = 0
    device: str = "cpu"

    def __post_init__(self) -> None:
        _one_of("method", self.method, METHODS)
        _one_of("device", self.device, DEVICES)
        names = self.detectors
        if isinstance(names, str) or not names or len(set(names)) < len(names):
            raise AtomnbError(f"detectors must be a tuple of different names, such as ('haadf',), got {names!r}.")
        for name in names:
            _one_of("detectors", name, DETECTORS)
        for name, low in (("pixel_size", 0.01), ("chunk_mb", 1.0), ("phonons", 0)):
            if not getattr(self, name) >= low:
                raise AtomnbError(f"{name} must be at least {low:g}, got {getattr(self, name)!r}.")
        if self.slice_thickness is not None and not self.slice_thickness >= 0.1:
            raise AtomnbError(f"slice_thickness must be at least 0.1 Å, or None, got {self.slice_thickness!r}.")
        if self.interpolation is not None and self.interpolation < 1:
            raise AtomnbError(f"interpolation must be 1 or more, or None to choose it, got {self.interpolation!r}.")

    @property
    def configurations(self) -> int:
        """Runs to average: the phonon configurations, or one of atoms at rest."""
        return max(1, self.phonons)

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, for JSON and provenance."""
        return asdict(self)


@dataclass(frozen=True)
class Plan:
    """The grids of a simulation; pairs are along x and y, as abTEM has them.

    extent_xy : Å
    gpts_xy : of the wave functions
    window_xy : gpts of the detected wave (PRISM: the window, cut at the antialiasing limit)
    kept_mrad : the angle that the scattering matrix is cut at (PRISM)
    reduced_xy : gpts of the scattering matrix (PRISM)
    interpolation_xy : PRISM's factors
    n_beams : plane waves in the scattering matrix; 0 without PRISM
    slices : thickness of each along the beam, Å
    scan_xy : probe positions
    block : probe positions along each axis done at once
    waves : plane waves done at once when the scattering matrix is built
    """

    extent_xy: tuple[float, float]
    gpts_xy: tuple[int, int]
    window_xy: tuple[int, int]
    kept_mrad: float
    reduced_xy: tuple[int, int]
    interpolation_xy: tuple[int, int]
    n_beams: int
    slices: tuple[float, ...]
    scan_xy: tuple[int, int]
    block: int
    waves: int
    memory_bytes: int

    @property
    def n_slices(self) -> int:
        return len(self.slices)

    @property
    def n_probes(self) -> int:
        return prod(self.scan_xy)


def plan_multislice(
    cell_angstrom: tuple[float, float, float], optics: Optics, config: MultisliceConfig, *, heights=()
) -> Plan:
    """The grids and the peak memory of a simulation.

    Parameters
    ----------
    cell_angstrom : (x, y, z) lengths of the (orthorhombic) cell, z along the beam
    optics, config : as for `simulate_multislice`
    heights : (N,) z of the atoms at rest, Å, which the slices of a sheet follow
    """
    extent = (float(cell_angstrom[0]), float(cell_angstrom[1]))
    outer = max(detector_angles(name, optics, config.angles_mrad)[1] for name in config.detectors)
    outer = max(outer, 1.3 * optics.semiangle_mrad)
    factors = _interpolation(cell_angstrom, optics, config)
    wavelength = optics.wavelength_angstrom
    # an electron at the one edge of the cone may go to the far edge of the detector
    reach = (outer + optics.semiangle_mrad) * 1e-3 / wavelength
    gpts = tuple(
        fast_length(max(2 * ANTIALIAS * (reach * length + EDGE * factor), length / SAMPLING), multiple=2 * factor)
        for length, factor in zip(extent, factors, strict=True)
    )
    prism = config.method == "prism"
    kept = outer + max(1e3 * wavelength * EDGE * f / length for length, f in zip(extent, factors, strict=True))
    axes = zip(extent, gpts, factors, strict=True)
    reduced = tuple(_within_angle(kept, optics, *axis) for axis in axes) if prism else gpts
    window = tuple(n // f for n, f in zip(reduced, factors, strict=True))
    step = 1 / (2 * optics.band_limit * SCAN_MARGIN)
    scan = tuple(max(1, ceil(length / step)) for length in extent)
    slices = _slices(float(cell_angstrom[2]), np.asarray(heights, float), config.slice_thickness)
    n_beams = _beams(extent, factors, optics) if prism else 0
    chunk = config.chunk_mb * 1e6
    waves = int(np.clip(chunk // (WAVE_COPIES * COMPLEX * prod(gpts)), 1, min(MOST_WAVES, max(n_beams, 1))))
    block = _block(chunk, window, reduced, scan, n_beams)
    batch = (
        _reduction_bytes(block, window, reduced, scan, n_beams)
        if prism
        else WAVE_COPIES * COMPLEX * block**2 * prod(gpts)
    )
    matrix = COMPLEX * n_beams * prod(reduced)
    building = WAVE_COPIES * COMPLEX * waves * prod(gpts) if prism else 0
    potential = (len(slices) * REAL + 6 * COMPLEX) * prod(gpts)
    memory = potential + matrix + max(batch, building)
    return Plan(extent, gpts, window, kept, reduced, factors, n_beams, slices, scan, block, waves, int(memory))


def settings_that_fit(
    cell_angstrom: tuple[float, float, float], optics: Optics, config: MultisliceConfig, *, free_bytes: int
) -> list[str]:
    """Changes to `config` with which the simulation needs less than `free_bytes`, one per line, gentlest first."""
    found = []

    def fits(changed: MultisliceConfig, cell=cell_angstrom) -> bool:
        return plan_multislice(cell, optics, changed).memory_bytes < free_bytes

    smaller = replace(config, chunk_mb=max(1.0, config.chunk_mb / 8))
    if fits(smaller):
        found.append(f"chunk_mb={smaller.chunk_mb:g}")
    if config.method == "prism":
        now = max(plan_multislice(cell_angstrom, optics, config).interpolation_xy)
        for factor in range(now + 1, now + 9):
            if fits(replace(smaller, interpolation=factor)):
                found.append(f"interpolation={factor}, chunk_mb={smaller.chunk_mb:g}")
                break
        if fits(replace(smaller, method="multislice")):
            found.append(f"method='multislice', chunk_mb={smaller.chunk_mb:g} (slower)")
    for share in (0.7, 0.5, 0.35, 0.25, 0.1):
        if fits(smaller, (share * cell_angstrom[0], share * cell_angstrom[1], cell_angstrom[2])):
            found.append(f"a field of {share * cell_angstrom[0]:.0f} × {share * cell_angstrom[1]:.0f} Å")
            break
    return found


def free_memory(device: str = "cpu") -> int | None:
    """Bytes that a process may still take on the device, or None where the system does not tell."""
    if device == "gpu":
        return _free_gpu_memory()
    limits = []
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
        if found:
            limits.append(int(found.group(1)) * 1024)
        allowed = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if allowed.isdigit():
            limits.append(int(allowed) - int(Path("/sys/fs/cgroup/memory.current").read_text()))
    except (OSError, ValueError):
        pass
    return min(limits) if limits else None


def _free_gpu_memory() -> int:
    try:
        cupy = import_module("cupy")
    except ImportError as error:
        raise MissingPackageError(
            "device='gpu' needs CuPy built for this machine's CUDA, for example pip install cupy-cuda12x; or use "
            "device='cpu'."
        ) from error
    try:
        return int(cupy.cuda.Device().mem_info[0])
    except cupy.cuda.runtime.CUDARuntimeError as error:
        raise AtomnbError(f"no usable GPU ({error}): use device='cpu'.") from error


def fast_length(least: float, *, multiple: int) -> int:
    """The smallest multiple of `multiple` that is at least `least` and has no prime factor above 7 beside its own."""
    n = max(1, ceil(least / multiple))
    while not _smooth(n):
        n += 1
    return n * multiple


def _smooth(n: int) -> bool:
    for prime in (2, 3, 5, 7):
        while n % prime == 0:
            n //= prime
    return n == 1


def _slices(depth: float, heights: np.ndarray, thickness: float | None) -> tuple[float, ...]:
    """Thickness of each slice, Å: equal ones, or for a sheet each from below one plane to below the next."""
    if thickness is not None or depth > SHEET or not len(heights):
        n = max(1, ceil(depth / (thickness or CRYSTAL_SLICE) - 1e-6))
        return (depth / n,) * n
    planes = [float(np.min(heights))]
    for z in np.sort(heights):
        if z - planes[-1] > PLANE:
            planes.append(float(z))
    # all begin as far below their plane as the first, so that a plane's distance to the next is its slice's thickness
    starts = [0.0, *(z - planes[0] for z in planes[1:]), depth]
    return tuple(float(t) for t in np.diff(starts))


def _interpolation(cell, optics: Optics, config: MultisliceConfig) -> tuple[int, int]:
    if config.method == "multislice":
        return (1, 1)
    if config.interpolation is not None:
        return (config.interpolation, config.interpolation)
    window = PROBE_WINDOW + 2e-3 * optics.semiangle_mrad * (abs(optics.defocus_angstrom) + cell[2])
    inner = max(detector_angles(name, optics, config.angles_mrad)[0] for name in config.detectors)
    window = max(window, SCATTERED_WINDOW * 1e-3 * inner * cell[2])
    return tuple(max(1, int(length // window)) for length in cell[:2])


def _within_angle(angle: float, optics: Optics, length: float, gpts: int, factor: int) -> int:
    """Points along one axis of a wave cut at `angle` (mrad), as abTEM counts them: even, a multiple of `factor`."""
    half = ceil(1e-3 * angle / optics.wavelength_angstrom * length)
    return min(gpts, factor * ceil((2 * half + 2) / factor))


def _beams(extent, factors, optics: Optics) -> int:
    """Plane waves inside the aperture, spaced by factor / extent."""
    cutoff = 0.5 * optics.band_limit
    axes = [
        np.arange(-ceil(cutoff * length / f), ceil(cutoff * length / f) + 1) * f / length
        for length, f in zip(extent, factors, strict=True)
    ]
    return int((axes[0][:, None] ** 2 + axes[1] ** 2 <= cutoff**2).sum())


def _block(chunk: float, window, reduced, scan, n_beams: int) -> int:
    """The largest square block of probe positions whose batch stays within `chunk` bytes."""
    for block in range(MOST_PROBES, 1, -1):
        probes = WAVE_COPIES * COMPLEX * block**2 * prod(window)
        if (_reduction_bytes(block, window, reduced, scan, n_beams) if n_beams else probes) <= chunk:
            return block
    return 1


def _reduction_bytes(block: int, window, reduced, scan, n_beams: int) -> int:
    """Working memory while the scattering matrix is summed over its plane waves for a block of positions.

    All windows of the block are cut out of the matrix together, multiplied, and each then cut to its own window.
    """
    cut = prod(min(r, w + ceil(block * r / s)) for r, w, s in zip(reduced, window, scan, strict=True))
    return COMPLEX * (3 * n_beams * cut + block**2 * (2 * cut + WAVE_COPIES * prod(window)))


def _one_of(argument: str, value, choices) -> None:
    if value not in choices:
        raise AtomnbError(f"{argument} must be one of {', '.join(choices)}, got {value!r}.")
