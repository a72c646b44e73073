"""Si, Ge and III-V, II-VI zincblende crystals along [110] and [001]: dumbbells, polarity, stacking faults, twins."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from atomnb._require import require
from atomnb.simulate.structures.base import Defect, StructureError
from atomnb.simulate.structures.crystal import THICKNESS, cut, cut_lattice
from atomnb.simulate.structures.kinds import Draft, Option, StructureKind

if TYPE_CHECKING:
    from ase import Atoms


class Zincblende(NamedTuple):
    """Elements at 0 0 0 and ¼ ¼ ¼, and the lattice constant in Å."""

    first: str
    second: str
    a: float


CRYSTALS = {
    "diamond": Zincblende("C", "C", 3.567),
    "si": Zincblende("Si", "Si", 5.431),
    "ge": Zincblende("Ge", "Ge", 5.658),
    "gaas": Zincblende("Ga", "As", 5.653),
    "inp": Zincblende("In", "P", 5.869),
    "cdte": Zincblende("Cd", "Te", 6.482),
}

DOPANT = (
    Option("dopant", "Bi", "element that replaces host atoms"),
    Option("dopants", 0, "number of host atoms it replaces, the whole thickness counted", low=0),
)
POLARITY = Option("flip_polarity", False, "swap the two elements of each dumbbell")


def crystal_cell(name: str, *, flip: bool = False) -> Atoms:
    """Cubic cell of eight atoms."""
    build = require("ase.build", extra="simulate").bulk
    crystal = CRYSTALS[name]
    symbols = crystal.second + crystal.first if flip else crystal.first + crystal.second
    return build(symbols, "zincblende", a=crystal.a, cubic=True)


def build_crystal(name: str, zone_axis, up, size_angstrom, rng, options: dict) -> Draft:
    """A perfect slab, with dopants."""
    cell = crystal_cell(name, flip=options.get("flip_polarity", False))
    atoms = cut(cell, zone_axis, size_angstrom=size_angstrom, thickness=options["thickness_angstrom"], up=up)
    return doped(atoms, (), rng, options)._replace(lattices=(cut_lattice(cell, zone_axis, up=up),))


def doped(atoms: Atoms, defects: tuple[Defect, ...], rng, options: dict) -> Draft:
    """The slab with its dopants on random sites."""
    known = require("ase.data", extra="simulate").atomic_numbers
    if options["dopant"] not in known:
        raise StructureError(f"dopant must be an element such as 'Bi', got {options['dopant']!r}.")
    if options["dopants"] > len(atoms):
        raise StructureError(f"dopants: {options['dopants']} do not fit in {len(atoms)} atoms: ask for fewer.")
    for i in rng.permutation(len(atoms))[: options["dopants"]]:
        x, y, _ = atoms.positions[i]
        defects += (Defect("substitution", f"{options['dopant']}_{atoms.symbols[i]}", (float(y), float(x))),)
        atoms.symbols[i] = options["dopant"]
    return Draft(atoms, defects)


def _kind(name: str, zone: str, up, settings) -> StructureKind:
    crystal = CRYSTALS[name]
    label = crystal.first if crystal.first == crystal.second else crystal.first + crystal.second
    if crystal.first != crystal.second:
        settings = (*settings, POLARITY)
    axis = tuple(int(digit) for digit in zone)

    def builder(size_angstrom, rng, options):
        return build_crystal(name, axis, up, size_angstrom, rng, options)

    return StructureKind(f"{name}-{zone}", "diamond", f"{label} along [{zone}]", builder, settings)


KINDS = (
    *(_kind(name, "110", (0, 0, 1), (THICKNESS, *DOPANT)) for name in CRYSTALS),
    *(_kind(name, "001", (0, 1, 0), (THICKNESS, *DOPANT)) for name in ("si", "gaas")),
)
