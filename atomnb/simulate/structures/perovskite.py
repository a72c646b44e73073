"""Perovskites ABO3 along [001] and [110]: titanates with polar displacements, manganites with tilted octahedra."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from atomnb._require import require
from atomnb.simulate.structures.base import Defect, StructureError
from atomnb.simulate.structures.crystal import THICKNESS, cut, cut_lattice
from atomnb.simulate.structures.kinds import Draft, Option, StructureKind, with_defaults

if TYPE_CHECKING:
    from ase import Atoms


class Perovskite(NamedTuple):
    """Room-temperature cell: a and c in Å; shifts along +c, in fractions of c, of B, apical and equatorial O from A."""

    a_site: str
    b_site: str
    a: float
    c: float
    b_shift: float = 0.0
    apical_shift: float = 0.0
    equatorial_shift: float = 0.0


PEROVSKITES = {
    "srtio3": Perovskite("Sr", "Ti", 3.905, 3.905),
    "batio3": Perovskite("Ba", "Ti", 3.992, 4.036, 0.0203, -0.0258, -0.0123),
    "pbtio3": Perovskite("Pb", "Ti", 3.904, 4.152, -0.0377, -0.1118, -0.1174),
    "lsmo": Perovskite("La", "Mn", 3.876, 3.876),
}
"""BaTiO3: Kwei et al., J. Phys. Chem. 97, 2368 (1993). PbTiO3: Shirane et al., Acta Cryst. 9, 131 (1956)."""

DIRECTIONS = {"up": (1, 1), "down": (1, -1), "right": (0, 1), "left": (0, -1), "away": (2, 1), "toward": (2, -1)}
"""Axis (0 = x, 1 = y, 2 = z) and sign of the polarisation; 'away' is along the beam."""

SETTINGS = (
    THICKNESS,
    Option("a_vacancies", 0.0, "share of A sites left empty", low=0.0, high=0.5),
    Option("b_vacancies", 0.0, "share of B sites left empty", low=0.0, high=0.5),
    Option("o_vacancies", 0.0, "share of O sites left empty", low=0.0, high=0.5),
    Option("a_dopant", "La", "element that replaces A"),
    Option("a_dopant_share", 0.0, "share of A sites it takes", low=0.0, high=1.0),
    Option("b_dopant", "Nb", "element that replaces B"),
    Option("b_dopant_share", 0.0, "share of B sites it takes", low=0.0, high=1.0),
)
POLAR = Option(
    "polarization", "up", "direction of the polarisation in the image", ("none", "up", "down", "left", "right", "away",
    "toward", "180-walls", )
)  # fmt: skip
TILT = Option("tilt_degrees", 6.0, "rotation of the octahedra about each axis (a-a-a-), degrees", low=0.0, high=15.0)


def build(name: str, zone_axis, size_angstrom, rng, options: dict) -> Draft:
    """A slab of the perovskite `name` with its vacancies and dopants."""
    material = PEROVSKITES[name]
    polar = options.get("polarization", "none")
    first = "up" if polar == "180-walls" else polar
    atoms = _slab(material, first, options.get("tilt_degrees", 0.0), zone_axis, size_angstrom, options)
    defects = []
    if polar == "180-walls":
        atoms, defects = _walls(atoms, _slab(material, "down", 0.0, zone_axis, size_angstrom, options), material)
    unit, up = _crystal(material, first, options.get("tilt_degrees", 0.0), zone_axis)
    lattice = cut_lattice(unit, zone_axis, up=up)
    return _mixed(atoms, material, tuple(defects), rng, options)._replace(lattices=(lattice,))


def _slab(material, polar, tilt, zone_axis, size_angstrom, options) -> Atoms:
    unit, up = _crystal(material, polar, tilt, zone_axis)
    return cut(unit, zone_axis, size_angstrom=size_angstrom, thickness=options["thickness_angstrom"], up=up)


def _crystal(material: Perovskite, polar: str, tilt: float, zone_axis) -> tuple[Atoms, tuple[int, int, int]]:
    """The crystal's cell, and its direction that points up."""
    unit = _unit_cell(material, polar)
    if tilt:
        unit = _tilted(unit.repeat(2), material, tilt)
    return unit, (0, 0, 1) if tuple(zone_axis) == (1, 1, 0) else (0, 1, 0)


def _unit_cell(material: Perovskite, polar: str) -> Atoms:
    """A at the corner, B in the middle, shifted along the polar axis."""
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    if polar == "none":
        side = (material.a**2 * material.c) ** (1 / 3)
        return _atoms([material.a_site, material.b_site, "O", "O", "O"], sites, np.full(3, side))
    axis, sign = DIRECTIONS[polar]
    order = ((2, 1, 0), (0, 2, 1), (0, 1, 2))[axis]
    shift = [0, material.b_shift, material.apical_shift, material.equatorial_shift, material.equatorial_shift]
    sites[:, 2] += sign * np.array(shift)
    lengths = np.array([material.a, material.a, material.c])
    return _atoms([material.a_site, material.b_site, "O", "O", "O"], sites[:, order], lengths[list(order)])


def _atoms(symbols, scaled, lengths) -> Atoms:
    ase = require("ase", extra="simulate")
    return ase.Atoms(symbols, scaled_positions=scaled, cell=np.diag(lengths), pbc=True)


def _tilted(atoms: Atoms, material: Perovskite, degrees: float) -> Atoms:
    """Octahedra of a doubled cubic cell turned by the same angle about x, y and z, neighbours against each other."""
    side = atoms.cell.lengths() / 2
    oxygen = np.flatnonzero(atoms.symbols == "O")
    scaled = atoms.positions[oxygen] / side
    axis = np.argmin(np.abs(scaled - np.round(scaled)), axis=1)
    bond = np.eye(3)[axis] * 0.5
    sign = 1 - 2 * (np.round(scaled - bond - 0.5).astype(int).sum(axis=1) % 2)
    turn = np.tan(np.deg2rad(degrees)) * np.ones(3) * sign[:, None]
    atoms.positions[oxygen] += np.cross(turn, bond) * side
    return atoms


def _walls(up: Atoms, down: Atoms, material: Perovskite) -> tuple[Atoms, list[Defect]]:
    """Left half polarised up, right half down; the walls stand on lattice planes of A."""
    height, width = up.cell.lengths()[1], up.cell.lengths()[0]
    columns = round(width / material.a)
    middle = (columns // 2) * width / columns - 1e-3
    edge = width - 1e-3
    atoms = up[(up.positions[:, 0] < middle) | (up.positions[:, 0] >= edge)]
    atoms.extend(down[(down.positions[:, 0] >= middle) & (down.positions[:, 0] < edge)])
    if columns < 4:
        raise StructureError(f"180-walls need at least 4 cells along x, {width:.0f} Å hold {columns}: ask for more.")
    return atoms, [Defect("boundary", "180-wall", (height / 2, x)) for x in (0.0, float(middle))]


def _mixed(atoms: Atoms, material: Perovskite, defects, rng, options) -> Draft:
    """Dopants and vacancies on random sites, in exact number."""
    known = require("ase.data", extra="simulate").atomic_numbers
    sites = {
        site: np.flatnonzero(atoms.symbols == element)
        for site, element in (("a", material.a_site), ("b", material.b_site), ("o", "O"))
    }
    for site in ("a", "b"):
        dopant, share = options[f"{site}_dopant"], options[f"{site}_dopant_share"]
        if dopant not in known:
            raise StructureError(f"{site}_dopant must be an element such as 'La', got {dopant!r}.")
        atoms.symbols[rng.permutation(sites[site])[: round(share * len(sites[site]))]] = dopant
    gone = np.concatenate(
        [rng.permutation(own)[: round(options[f"{site}_vacancies"] * len(own))] for site, own in sites.items()]
    )
    defects += tuple(
        Defect("vacancy", f"V_{atoms.symbols[i]}", (float(atoms.positions[i, 1]), float(atoms.positions[i, 0])))
        for i in gone
    )
    del atoms[gone]
    return Draft(atoms, defects)


def _kind(name: str, zone: str, summary: str, settings: tuple[Option, ...]) -> StructureKind:
    axis = tuple(int(digit) for digit in zone)

    def builder(size_angstrom, rng, options):
        return build(name, axis, size_angstrom, rng, options)

    return StructureKind(f"{name}-{zone}", "perovskite", f"{summary} along [{zone}]", builder, settings)


KINDS = (
    _kind("srtio3", "001", "SrTiO3, cubic", SETTINGS),
    _kind("srtio3", "110", "SrTiO3, cubic", SETTINGS),
    _kind("batio3", "001", "BaTiO3, tetragonal, Ti off centre", (*SETTINGS, POLAR)),
    _kind("pbtio3", "001", "PbTiO3, tetragonal, strongly polar", (*SETTINGS, POLAR)),
    *(
        _kind("lsmo", zone, "La1-xSrxMnO3 with tilted octahedra",
              (*with_defaults(SETTINGS, values={"a_dopant": "Sr", "a_dopant_share": 0.3}), TILT))
        for zone in ("001", "110")
    ),
)  # fmt: skip
