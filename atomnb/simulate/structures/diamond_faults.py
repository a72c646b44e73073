"""Stacking faults and twins of Si, Ge and zincblende crystals along [110], their close-packed planes lying flat."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from atomnb._require import require
from atomnb.simulate.structures.base import Defect
from atomnb.simulate.structures.crystal import THICKNESS, repeats_for
from atomnb.simulate.structures.diamond import CRYSTALS, DOPANT, POLARITY, Zincblende, doped
from atomnb.simulate.structures.kinds import Draft, Option, StructureKind
from atomnb.simulate.structures.lattice import lattice_of

if TYPE_CHECKING:
    from ase import Atoms

FAULT = Option(
    "fault", "twin", "what interrupts the stacking of {111} planes", ("none", "intrinsic", "extrinsic", "twin")
)


def stacking(layers: int, fault: str) -> tuple[np.ndarray, list[tuple[str, float]]]:
    """Places 0, 1, 2 (A, B, C) of the double layers, bottom to top, closing on themselves, and where the faults are.

    Parameters
    ----------
    layers : at least so many; more are taken until the stack closes
    fault : 'none', 'intrinsic' (a layer missing: ABC BC ABC), 'extrinsic' (a layer too many: ABC B ABC),
        'twin' (the order turns round: ABC BA CBA)

    Returns
    -------
    places : (L,) int
    faults : name and height in layers of each
    """
    for n in range(max(layers, 9), max(layers, 9) + 6):
        steps = np.ones(n, int)
        middle = n // 2
        if fault == "twin":
            steps[middle:] = -1
        elif fault != "none":
            steps[middle : middle + (1 if fault == "intrinsic" else 2)] = -1
        if steps.sum() % 3 == 0:
            break
    places = np.concatenate([[0], np.cumsum(steps)[:-1]]) % 3
    heights = {"none": [], "twin": [0.0, float(middle)], "intrinsic": [middle + 0.5], "extrinsic": [middle + 1.0]}
    return places, [(fault, height) for height in heights[fault]]


def build(name: str, size_angstrom: tuple[float, float], rng: np.random.Generator, options: dict) -> Draft:
    """A slab with y along [111], x along [11-2] and the beam along [1-10]."""
    crystal = CRYSTALS[name]
    elements = [crystal.first, crystal.second][:: -1 if options.get("flip_polarity", False) else 1]
    step, width = crystal.a / 3**0.5, crystal.a * 1.5**0.5
    places, faults = stacking(int(np.ceil(size_angstrom[0] / step - 1e-6)), options["fault"])
    bond = crystal.a * 3**0.5 / 4
    cell = _stack(crystal, elements, places)
    lengths = cell.cell.lengths()
    nx, _, nz = repeats_for(lengths, size_angstrom, options["thickness_angstrom"])
    atoms = cell.repeat((nx, 1, nz))
    defects = tuple(
        Defect("fault", label, (float(((height + 0.125) * step + bond / 2) % lengths[1]), float(nx * width / 2)))
        for label, height in faults
    )
    grains = ((0, 1, 2), (0, 2, 1)) if options["fault"] == "twin" else ((0, 1, 2),)
    lattices = tuple(lattice_of(_stack(crystal, elements, grain)) for grain in grains)
    return doped(atoms, defects, rng, options)._replace(lattices=lattices)


def _stack(crystal: Zincblende, elements: list[str], places: Sequence[int]) -> Atoms:
    """Double layers on the places given, one above another along y."""
    step, width, depth = crystal.a / 3**0.5, crystal.a * 1.5**0.5, crystal.a / 2**0.5
    base = np.array([[0.25, 0.25], [0.75, 0.75]])
    scaled, heights, symbols = [], [], []
    for layer, place in enumerate(places):
        for element, lift in zip(elements, (0.0, crystal.a * 3**0.5 / 4), strict=True):
            scaled.append((base + np.array([place / 3, 0])) % 1)
            heights.append((layer + 0.125) * step + lift)
            symbols += [element] * 2
    xz = np.concatenate(scaled) * [width, depth]
    positions = np.column_stack([xz[:, 0], np.repeat(heights, 2), xz[:, 1]])
    lengths = np.array([width, len(places) * step, depth])
    return require("ase", extra="simulate").Atoms(symbols, positions, cell=np.diag(lengths), pbc=True)


def _kind(name: str) -> StructureKind:
    crystal = CRYSTALS[name]
    compound = crystal.first != crystal.second
    label = crystal.first + crystal.second if compound else crystal.first
    settings = (THICKNESS, FAULT, *DOPANT, *((POLARITY,) if compound else ()))

    def builder(size_angstrom, rng, options):
        return build(name, size_angstrom, rng, options)

    summary = f"{label} along [110] with a stacking fault or twin"
    return StructureKind(f"{name}-110-fault", "diamond", summary, builder, settings)


KINDS = tuple(_kind(name) for name in CRYSTALS)
