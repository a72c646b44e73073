"""Metals: fcc, bcc and hcp crystals along their low-index zones, with vacancies and substituted atoms."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from atomnb._require import require
from atomnb.simulate.structures.base import Defect, StructureError
from atomnb.simulate.structures.crystal import THICKNESS, cut, cut_lattice
from atomnb.simulate.structures.kinds import Draft, Option, StructureKind

if TYPE_CHECKING:
    from ase import Atoms

FCC = {
    "Au": 4.078, "Pt": 3.924, "Pd": 3.891, "Ag": 4.085, "Cu": 3.615, "Ni": 3.524, "Al": 4.050, "Ir": 3.839,
    "Rh": 3.803, "Pb": 4.951,
}  # fmt: skip
BCC = {"Fe": 2.866, "W": 3.165, "Mo": 3.147, "Cr": 2.885, "V": 3.024, "Nb": 3.301, "Ta": 3.303}
HCP = {
    "Mg": (3.209, 5.211), "Ti": (2.951, 4.684), "Zn": (2.665, 4.947), "Co": (2.507, 4.069), "Zr": (3.232, 5.147),
    "Ru": (2.706, 4.282),
}  # fmt: skip
"""Lattice constants (a, or a and c) at room temperature, Å."""

ZONES = {
    "fcc": {"001": ((0, 0, 1), (0, 1, 0)), "110": ((1, 1, 0), (0, 0, 1)), "111": ((1, 1, 1), (-1, -1, 2))},
    "bcc": {"001": ((0, 0, 1), (0, 1, 0)), "110": ((1, 1, 0), (0, 0, 1)), "111": ((1, 1, 1), (-1, -1, 2))},
    "hcp": {
        "0001": ((0, 0, 1), (1, 2, 0)),
        "11-20": ((1, 1, 0), (0, 0, 1)),
        "10-10": ((2, 1, 0), (0, 0, 1)),
    },
}
"""Lattice -> zone -> direct-lattice indices along the beam and along y; hcp in three indices."""

ELEMENTS = {"fcc": FCC, "bcc": BCC, "hcp": HCP}

DEFECTS = (
    Option("vacancies", 0.0, "share of sites left empty", low=0.0, high=0.5),
    Option("solute", "Pt", "element that replaces host atoms at random"),
    Option("solute_share", 0.0, "share of atoms it replaces", low=0.0, high=1.0),
)


def unit_cell(lattice: str, element: str) -> Atoms:
    """Conventional cell of the metal."""
    build = require("ase.build", extra="simulate").bulk
    if lattice == "hcp":
        a, c = HCP[element]
        return build(element, "hcp", a=a, c=c)
    return build(element, lattice, a=ELEMENTS[lattice][element], cubic=True)


def build(
    lattice: str, zone: str, size_angstrom: tuple[float, float], rng: np.random.Generator, options: dict
) -> Draft:
    """A slab of the metal, in places empty or substituted."""
    axis, up = ZONES[lattice][zone]
    cell = unit_cell(lattice, options["element"])
    atoms = cut(cell, axis, size_angstrom=size_angstrom, thickness=options["thickness_angstrom"], up=up)
    return mixed(atoms, rng, options)._replace(lattices=(cut_lattice(cell, axis, up=up),))


def mixed(atoms: Atoms, rng: np.random.Generator, options: dict) -> Draft:
    """The slab with its solute and vacancies on random sites, in exact number."""
    if options["solute"] not in require("ase.data", extra="simulate").atomic_numbers:
        raise StructureError(f"solute must be an element such as 'Pt', got {options['solute']!r}.")
    n = len(atoms)
    atoms.symbols[rng.permutation(n)[: round(options["solute_share"] * n)]] = options["solute"]
    gone = rng.permutation(n)[: round(options["vacancies"] * n)]
    defects = tuple(
        Defect("vacancy", f"V_{atoms.symbols[i]}", (float(atoms.positions[i, 1]), float(atoms.positions[i, 0])))
        for i in gone
    )
    del atoms[gone]
    return Draft(atoms, defects)


def _kind(lattice: str, zone: str) -> StructureKind:
    elements = tuple(ELEMENTS[lattice])

    def builder(size_angstrom, rng, options):
        return build(lattice, zone, size_angstrom, rng, options)

    settings = (Option("element", elements[0], "the metal", elements), THICKNESS, *DEFECTS)
    return StructureKind(f"{lattice}-{zone}", "metal", f"{lattice} metal along [{zone}]", builder, settings)


KINDS = tuple(_kind(lattice, zone) for lattice, zones in ZONES.items() for zone in zones)
