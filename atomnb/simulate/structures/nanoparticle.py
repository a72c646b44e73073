"""Metal nanoparticles of the usual forms, turned at will, in vacuum or on a film of amorphous carbon."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial import cKDTree

from atomnb._require import require
from atomnb.simulate.structures.base import StructureError, first_come
from atomnb.simulate.structures.kinds import Draft, Option, StructureKind
from atomnb.simulate.structures.lattice import lattice_of
from atomnb.simulate.structures.metals import FCC

if TYPE_CHECKING:
    from ase import Atoms

FIVE_FOLD = ("icosahedron", "decahedron")
"""Forms made of many twins, without one lattice."""

FORMS = ("octahedron", "cuboctahedron", *FIVE_FOLD, "sphere")
ZONES = {"001": (0, 0, 1), "110": (1, 1, 0), "111": (1, 1, 1), "random": None}

CARBON_DENSITY, CARBON_GAP = 0.100, 1.35
"""Atoms per Å³ of amorphous carbon (2.0 g/cm³) and least distance of two atoms, Å."""

MARGIN = 4.0
"""Empty space (Å) round the particle."""

SETTINGS = (
    Option("element", "Au", "the metal", tuple(FCC)),
    Option("form", "cuboctahedron", "form of the particle", FORMS),
    Option("diameter_angstrom", 24.0, "about how large, Å", low=8.0, high=150.0),
    Option("zone", "110", "crystal axis along the beam; of five-fold forms the direction x y z", tuple(ZONES)),
    Option("support_angstrom", 0.0, "thickness of an amorphous carbon film under it, Å", low=0.0, high=200.0),
)


def build(size_angstrom: tuple[float, float], rng: np.random.Generator, options: dict) -> Draft:
    """One particle in the middle of the box, the film (if any) below it, all over the box."""
    atoms = _particle(options["element"], options["form"], options["diameter_angstrom"])
    atoms.positions -= atoms.positions.mean(axis=0)
    crystal = require("ase.build", extra="simulate").bulk(options["element"], "fcc", a=FCC[options["element"]])
    _turn((atoms, crystal), ZONES[options["zone"]], rng)
    extent = np.ptp(atoms.positions, axis=0)
    if extent[0] + MARGIN > size_angstrom[1] or extent[1] + MARGIN > size_angstrom[0]:
        raise StructureError(
            f"a particle of {extent[1]:.0f} × {extent[0]:.0f} Å does not fit in {size_angstrom[0]:g} × "
            f"{size_angstrom[1]:g} Å: ask for a larger size_angstrom or a smaller diameter_angstrom."
        )
    film = options["support_angstrom"]
    lengths = np.array([size_angstrom[1], size_angstrom[0], extent[2] + film + 2 * MARGIN])
    lowest = atoms.positions[:, 2].min()
    atoms.positions += [*(lengths[:2] / 2), MARGIN + film - lowest]
    atoms.set_cell(np.diag(lengths))
    atoms.set_pbc([bool(film), bool(film), False])
    if film:
        carbon = amorphous_carbon((lengths[0], lengths[1], film - 1.5), rng)
        carbon[:, 2] += MARGIN - 0.5
        atoms.extend(require("ase", extra="simulate").Atoms(f"C{len(carbon)}", carbon))
    single = options["form"] not in FIVE_FOLD
    return Draft(atoms, (), (lattice_of(crystal, depth=float(extent[2])),) if single else ())


def _particle(element: str, form: str, diameter: float) -> Atoms:
    """The particle whose size comes nearest to the diameter."""
    a = FCC[element]
    shells = range(2, int(diameter / a * 1.5) + 4)
    if form == "sphere":
        cells = int(np.ceil(diameter / a)) + 1
        block = require("ase.build", extra="simulate").bulk(element, "fcc", a=a, cubic=True).repeat(cells)
        block.positions -= block.positions.mean(axis=0)
        return block[np.linalg.norm(block.positions, axis=1) <= diameter / 2]
    return min((_closed(element, form, n, a) for n in shells), key=lambda p: abs(_size(p) - diameter))


def _closed(element: str, form: str, n: int, a: float) -> Atoms:
    """A particle of `n` atoms along an edge, about."""
    cluster = require("ase.cluster", extra="simulate")
    if form == "octahedron":
        made = cluster.Octahedron(element, n, 0, latticeconstant=a)
    elif form == "cuboctahedron":
        made = cluster.Octahedron(element, 2 * n - 1, n - 1, latticeconstant=a)
    elif form == "icosahedron":
        made = cluster.Icosahedron(element, n, latticeconstant=a)
    else:
        made = cluster.Decahedron(element, n, n, 0, latticeconstant=a)
    return require("ase", extra="simulate").Atoms(made.symbols, made.positions)


def _size(atoms: Atoms) -> float:
    """Diameter of the sphere of the same moment of inertia, Å."""
    centred = atoms.positions - atoms.positions.mean(axis=0)
    return 2 * float((centred**2).sum(axis=1).mean() * 5 / 3) ** 0.5


def _turn(bodies: tuple[Atoms, ...], zone, rng: np.random.Generator) -> None:
    """Lay the crystal axis of all bodies along the beam, or any direction, and turn about the beam at will."""
    if zone is None:
        zone = rng.normal(size=3)
    angle = float(rng.uniform(0, 360))
    for body in bodies:
        body.rotate(np.asarray(zone, float), "z", rotate_cell=True)
        body.rotate(angle, "z", rotate_cell=True)


def amorphous_carbon(lengths, rng: np.random.Generator) -> np.ndarray:
    """Random carbon (N, 3) Å in a box that repeats along x and y: no two atoms nearer than 1.35 Å.

    Points are thrown in at random and those too near an earlier one dropped, until the density is reached: enough
    for a film whose part is to blur the image.
    """
    lengths = np.asarray(lengths, float)
    box = np.array([lengths[0], lengths[1], lengths[2] + CARBON_GAP])
    wanted = round(CARBON_DENSITY * float(np.prod(lengths)))
    points = np.zeros((0, 3))
    for _ in range(60):
        more = rng.random((wanted, 3)) * lengths
        points = np.concatenate([points, more])
        pairs = cKDTree(points, boxsize=box).query_pairs(CARBON_GAP, output_type="ndarray")
        points = points[first_come(len(points), pairs)]
        if len(points) >= wanted:
            break
    return points[:wanted]


KINDS = (StructureKind("nanoparticle", "metal", "metal particle in vacuum or on amorphous carbon", build, SETTINGS),)
