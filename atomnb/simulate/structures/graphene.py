"""Graphene sheets with vacancies, Stone–Wales defects and silicon, on random places or on none."""

from __future__ import annotations

import numpy as np

from atomnb.simulate.structures.base import Defect
from atomnb.simulate.structures.graphene_defects import DIMERS, MAKERS
from atomnb.simulate.structures.kinds import Draft, Option, StructureKind, with_defaults
from atomnb.simulate.structures.sheet import BOND_LENGTHS, honeycomb, honeycomb_lattice
from atomnb.simulate.structures.sites import pick_sites

SETTINGS = (
    Option("vacancies", 0, "single vacancies", low=0),
    Option("divacancies", 0, "double vacancies of the form 5-8-5", low=0),
    Option("stone_wales", 0, "Stone–Wales defects: bonds turned by 90°", low=0),
    Option("three_fold", 0, "Si in a single vacancy, buckled (SiC3)", low=0),
    Option("four_fold", 0, "Si in a double vacancy, in the plane (SiC4)", low=0),
    Option("dimers", 0, "pairs of Si", low=0),
    Option("dimer", "any", "which pair of Si", ("any", *DIMERS)),
    Option("trimers", 0, "triangles of Si in a missing hexagon (Si3C6)", low=0),
    Option("tetramers", 0, "triangles of Si with a fourth on top (Si4C6)", low=0),
    Option("gap_angstrom", 9.0, "least distance between two defects, Å", low=6.0, high=100.0),
)


def build(size_angstrom: tuple[float, float], rng: np.random.Generator, options: dict) -> Draft:
    """A sheet with the defects, relaxed by springs."""
    sheet = honeycomb(BOND_LENGTHS["CC"], ("C", "C"), size_angstrom)
    makers = {"dimers": lambda *given: DIMERS[_which_dimer(rng, options)](*given), **MAKERS}
    points = sheet.positions[:, :2].copy()
    taken = np.zeros((0, 2))
    defects: list[Defect] = []
    for key, make in makers.items():
        sites = pick_sites(
            rng, points, options[key], lengths=sheet.lengths[:2], gap=options["gap_angstrom"], taken=taken, what=key
        )
        taken = np.concatenate([taken, points[sites]])
        defects += [make(sheet, atom, rng) for atom in sites.tolist()]
    if defects:
        sheet.relax(around_xy=np.array([defect.yx_angstrom[::-1] for defect in defects]))
    return Draft(sheet.atoms(), tuple(defects), (honeycomb_lattice(BOND_LENGTHS["CC"], ("C", "C")),))


def _which_dimer(rng: np.random.Generator, options: dict) -> str:
    return str(rng.choice(list(DIMERS))) if options["dimer"] == "any" else options["dimer"]


KINDS = (
    StructureKind("graphene", "graphene", "graphene sheet", build, SETTINGS),
    StructureKind(
        "graphene-vacancies",
        "graphene",
        "graphene with single and double vacancies and Stone–Wales defects",
        build,
        with_defaults(SETTINGS, values={"vacancies": 2, "divacancies": 2, "stone_wales": 2}),
    ),
    StructureKind(
        "graphene-si",
        "graphene",
        "graphene with silicon: single atoms and a pair",
        build,
        with_defaults(SETTINGS, values={"three_fold": 3, "four_fold": 2, "dimers": 1}),
    ),
)
