"""What a multislice simulation will take: memory, and time from a short timing of its own parts on this machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np

from atomnb._require import require
from atomnb.errors import AtomnbError
from atomnb.simulate.multislice_engine import (
    abtem_settings,
    blocks_of,
    build_potential,
    grid_scan,
    lazy_matrix,
    matrix_of,
    prepared_atoms,
    scanner_of,
)
from atomnb.simulate.multislice_plan import (
    MultisliceConfig,
    Plan,
    free_memory,
    plan_multislice,
    settings_that_fit,
)
from atomnb.simulate.optics import Optics

TIMED_WAVES = 4
"""Plane waves of a scattering matrix that are propagated for timing."""


MEMORY_SHARE = 0.9
"""Share of the free memory that a simulation may take."""


@dataclass(frozen=True)
class Estimate:
    """What a simulation will take.

    seconds : wall time of all configurations on this machine as busy as it is now; None when not timed
    memory_bytes : peak working memory
    free_bytes : memory free now, or None where the system does not tell
    plan : its grids
    """

    seconds: float | None
    memory_bytes: int
    free_bytes: int | None
    plan: Plan

    @property
    def fits(self) -> bool:
        """Whether the memory suffices, as far as is known."""
        return self.free_bytes is None or self.memory_bytes <= MEMORY_SHARE * self.free_bytes


def estimate_multislice(
    structure, *, optics: Optics | None = None, config: MultisliceConfig | None = None, timed: bool = True
) -> Estimate:
    """Time and memory of `simulate_multislice`, before it runs.

    Parameters
    ----------
    structure, optics, config : as for `simulate_multislice`
    timed : bool
        Time a slice, a few waves and one batch of probe positions on the grids of the simulation itself, which takes
        seconds; without it only the memory is told, at once.
    """
    optics, config = optics or Optics(), config or MultisliceConfig()
    atoms = prepared_atoms(structure)
    plan = plan_multislice(tuple(atoms.cell.lengths()), optics, config, heights=atoms.positions[:, 2])
    estimate = Estimate(None, plan.memory_bytes, free_memory(config.device), plan)
    if not timed or not estimate.fits:
        return estimate
    with abtem_settings(config):
        one = _one_configuration(atoms, plan, optics, config)
    return replace(estimate, seconds=config.configurations * one)


def check_memory(plan: Plan, atoms, optics: Optics, config: MultisliceConfig) -> None:
    """Refuse a simulation that would not fit.

    Raises
    ------
    AtomnbError
        Naming settings with which it would.
    """
    free = free_memory(config.device)
    if free is None or plan.memory_bytes <= MEMORY_SHARE * free:
        return
    fitting = settings_that_fit(tuple(atoms.cell.lengths()), optics, config, free_bytes=int(MEMORY_SHARE * free))
    advice = "; ".join(fitting) if fitting else "none of the usual changes: take a much smaller or thinner structure"
    raise AtomnbError(
        f"this simulation needs about {plan.memory_bytes / 1e9:.2g} GB and {free / 1e9:.2g} GB are free. What would "
        f"fit: {advice}."
    )


def _one_configuration(atoms, plan: Plan, optics: Optics, config: MultisliceConfig) -> float:
    """Seconds of one frozen-phonon configuration."""
    thin, thick = (_slab(atoms, plan, n) for n in (1, min(2, plan.n_slices)))
    build_potential(*thin)  # a process's first potential takes seconds that no later one takes
    potential_1, seconds_1 = _timed(lambda: build_potential(*thin))
    potential_2, seconds_2 = _timed(lambda: build_potential(*thick))
    building = _line(seconds_1, seconds_2, plan.n_slices)
    n_blocks = len(blocks_of(plan))
    if config.method == "multislice":
        costs = [_scan_seconds(p, plan, optics, config) for p in (potential_1, potential_2)]
        return building + n_blocks * _line(*costs, plan.n_slices)
    lazy = lazy_matrix(potential_2, plan, optics, batch=TIMED_WAVES)
    waves = [_wave_seconds(p, plan, optics) for p in (potential_1, potential_2)]
    matrix = matrix_of(lazy, require("abtem", extra="simulate").core.backend.get_array_module(config.device).zeros(
        lazy.array.shape, dtype=np.complex64
    ))  # fmt: skip
    return building + plan.n_beams * _line(*waves, plan.n_slices) + n_blocks * _scan_seconds(
        matrix, plan, optics, config
    )  # fmt: skip


def _slab(atoms, plan: Plan, n_slices: int):
    """The first slices' worth of the specimen, with its average number of atoms, and its plan."""
    depth = sum(plan.slices[:n_slices])
    part = atoms[np.argsort(atoms.positions[:, 2])[: max(1, round(n_slices / plan.n_slices * len(atoms)))]]
    part.set_cell([*atoms.cell.lengths()[:2], depth])
    part.positions[:, 2] %= depth
    return part, replace(plan, slices=plan.slices[:n_slices])


def _line(at_one: float, at_two: float, n: int) -> float:
    """The value at `n` slices on the straight line through those at one and two slices."""
    return at_one + max(at_two - at_one, 0.0) * (n - 1)


def _wave_seconds(potential, plan: Plan, optics: Optics) -> float:
    """Seconds per plane wave through the slices of `potential`."""
    block = lazy_matrix(potential, plan, optics, batch=TIMED_WAVES).array.blocks[0]
    block.compute(scheduler="single-threaded")  # FFTs are planned on first use
    return _timed(lambda: block.compute(scheduler="single-threaded"))[1] / block.shape[0]


def _scan_seconds(source, plan: Plan, optics: Optics, config: MultisliceConfig) -> float:
    """Seconds of one block of probe positions."""
    scanner, block = scanner_of(source, optics, config), grid_scan(plan, blocks_of(plan)[0])
    scanner(block)
    return _timed(lambda: scanner(block))[1]


def _timed(work):
    start = time.perf_counter()
    done = work()
    return done, time.perf_counter() - start
