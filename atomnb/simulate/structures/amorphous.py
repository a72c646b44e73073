"""Amorphous silicon and germanium by melting and quenching, and the front between crystal and amorphous."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from atomnb.simulate.structures.base import Defect
from atomnb.simulate.structures.crystal import cut, cut_lattice
from atomnb.simulate.structures.diamond import crystal_cell
from atomnb.simulate.structures.kinds import Draft, Option, StructureKind
from atomnb.simulate.structures.stillinger_weber import POTENTIALS, anneal, at_rest

if TYPE_CHECKING:
    from ase import Atoms

LOOSER = 1.018
"""Volume per atom of amorphous silicon against the crystal's (Custer et al., Appl. Phys. Lett. 64, 437 (1994))."""

DISORDER = 1.0
"""Standard deviation (Å) of the displacements that turn the crystal into a liquid to start from."""

MELT_KELVIN, MELT_STEPS, FREEZE_KELVIN, END_KELVIN = 4500.0, 120, 2600.0, 400.0
"""Temperatures of the potential, which melts higher than silicon does, and steps (1.5 fs) in the melt."""

SETTINGS = (
    Option("thickness_angstrom", 15.0, "thickness along the beam, Å", low=10.0, high=400.0),
    Option(
        "steps", 600, "steps of 1.5 fs from the melt to the cold; more give a better network", low=100, high=100_000
    ),
)
SHARE = Option("crystal_share", 0.5, "share of the height that stays crystal", low=0.2, high=0.8)


def build(element: str, size_angstrom: tuple[float, float], rng: np.random.Generator, options: dict) -> Draft:
    """Quenched from the melt; takes about 10 ms per step and 1000 atoms."""
    atoms = _slab(element, size_angstrom, options)
    atoms.set_cell(atoms.cell * LOOSER ** (1 / 3), scale_atoms=True)
    atoms.positions = quenched(atoms, element, np.ones(len(atoms), bool), rng, options["steps"])
    return Draft(atoms)


def build_front(element: str, size_angstrom: tuple[float, float], rng: np.random.Generator, options: dict) -> Draft:
    """Crystal along [110] in the lower part, amorphous above it; as the box repeats there are two fronts."""
    atoms = _slab(element, size_angstrom, options)
    height = float(atoms.cell.lengths()[1])
    y = atoms.positions[:, 1]
    planes = np.unique(np.round(y, 3))
    front = float(planes[np.argmin(np.abs(planes - options["crystal_share"] * height))]) - 1e-2
    molten = y > front
    atoms.positions[molten, 1] = front + (y[molten] - front) * LOOSER
    lengths = atoms.cell.lengths()
    lengths[1] = front + (height - front) * LOOSER
    atoms.set_cell(np.diag(lengths))
    atoms.positions = quenched(atoms, element, molten, rng, options["steps"])
    middle = float(lengths[0] / 2)
    defects = tuple(Defect("boundary", "crystal-amorphous", (y, middle)) for y in (0.0, front))
    lattice = cut_lattice(crystal_cell(element.lower()), (1, 1, 0), up=(0, 0, 1))
    return Draft(atoms, defects, (lattice,))


def _slab(element: str, size_angstrom, options: dict) -> Atoms:
    cell = crystal_cell(element.lower())
    thickness = options["thickness_angstrom"]
    return cut(cell, (1, 1, 0), size_angstrom=size_angstrom, thickness=thickness, up=(0, 0, 1))


def quenched(atoms: Atoms, element: str, molten: np.ndarray, rng: np.random.Generator, steps: int) -> np.ndarray:
    """Positions (N, 3) Å after the `molten` atoms (N,) were shaken, melted and cooled beside the others."""
    lengths, potential = atoms.cell.lengths(), POTENTIALS[element]
    shaken = atoms.positions + rng.normal(0, DISORDER, (len(atoms), 3)) * molten[:, None]
    shaken = at_rest(shaken, lengths, potential, free=molten)
    kelvin = np.concatenate([np.full(MELT_STEPS, MELT_KELVIN), np.linspace(FREEZE_KELVIN, END_KELVIN, steps)])
    cold = anneal(shaken, lengths, potential, kelvin=kelvin, free=molten, rng=rng)
    return at_rest(cold, lengths, potential, free=np.ones(len(atoms), bool))


def _kind(name: str, element: str, summary: str, builder_of, settings: tuple[Option, ...]) -> StructureKind:
    def builder(size_angstrom, rng, options):
        return builder_of(element, size_angstrom, rng, options)

    return StructureKind(name, "amorphous", summary, builder, settings)


KINDS = (
    _kind("si-amorphous", "Si", "amorphous silicon, quenched from the melt", build, SETTINGS),
    _kind("ge-amorphous", "Ge", "amorphous germanium, quenched from the melt", build, SETTINGS),
    _kind("si-crystal-amorphous", "Si", "Si [110] beside amorphous silicon", build_front, (*SETTINGS, SHARE)),
)
