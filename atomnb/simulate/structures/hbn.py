"""Hexagonal boron nitride: one sheet with vacancies, triangular holes and carbon."""

from __future__ import annotations

import numpy as np

from atomnb.simulate.structures.base import Defect
from atomnb.simulate.structures.kinds import Draft, Option, StructureKind
from atomnb.simulate.structures.sheet import BOND_LENGTHS, BondedSheet, honeycomb, honeycomb_lattice
from atomnb.simulate.structures.sites import pick_sites

SETTINGS = (
    Option("holes", 0, "triangular holes edged by nitrogen: one N and its three B missing", low=0),
    Option("v_bn", 0, "pairs of a B and an N vacancy", low=0),
    Option("v_b", 0, "boron vacancies", low=0),
    Option("v_n", 0, "nitrogen vacancies", low=0),
    Option("c_bn", 0, "pairs of carbon in place of a B and an N", low=0),
    Option("c_b", 0, "carbon in place of boron", low=0),
    Option("c_n", 0, "carbon in place of nitrogen", low=0),
    Option("gap_angstrom", 8.0, "least distance between two defects, Å", low=5.0, high=100.0),
)

CENTRES = {"holes": "N", "v_bn": "B", "v_b": "B", "v_n": "N", "c_bn": "B", "c_b": "B", "c_n": "N"}
"""Element a defect is built around."""

NAMES = {
    "holes": ("vacancy", "V_B3N"),
    "v_bn": ("vacancy", "V_BN"),
    "v_b": ("vacancy", "V_B"),
    "v_n": ("vacancy", "V_N"),
    "c_bn": ("substitution", "C_BN"),
    "c_b": ("substitution", "C_B"),
    "c_n": ("substitution", "C_N"),
}


def build(size_angstrom: tuple[float, float], rng: np.random.Generator, options: dict) -> Draft:
    """A sheet with the defects, relaxed by springs."""
    sheet = honeycomb(BOND_LENGTHS["BN"], ("B", "N"), size_angstrom)
    points, elements = sheet.positions[:, :2].copy(), np.array(sheet.symbols)
    taken, defects = np.zeros((0, 2)), []
    for key, element in CENTRES.items():
        own = np.flatnonzero(elements == element)
        sites = own[
            pick_sites(
                rng, points[own], options[key], lengths=sheet.lengths[:2], gap=options["gap_angstrom"],
                taken=taken, what=key,
            )
        ]  # fmt: skip
        taken = np.concatenate([taken, points[sites]])
        defects += [_make(sheet, key, site, rng) for site in sites.tolist()]
    if defects:
        sheet.relax(around_xy=np.array([defect.yx_angstrom[::-1] for defect in defects]))
    return Draft(sheet.atoms(), tuple(defects), (honeycomb_lattice(BOND_LENGTHS["BN"], ("B", "N")),))


def _make(sheet: BondedSheet, key: str, site: int, rng: np.random.Generator) -> Defect:
    """Take out or replace the atoms of one defect."""
    around = sorted(sheet.neighbours[site])
    atoms = {"holes": [site, *around], "v_bn": [site, int(rng.choice(around))]}.get(key, [site])
    if key == "c_bn":
        atoms.append(int(rng.choice(around)))
    kind, name = NAMES[key]
    middle = sheet.positions[site] + np.mean([sheet.offset(site, atom) for atom in atoms], axis=0)
    for atom in atoms:
        if kind == "vacancy":
            sheet.remove(atom)
        else:
            sheet.symbols[atom] = "C"
    x, y = np.mod(middle[:2], sheet.lengths[:2])
    return Defect(kind, name, (float(y), float(x)))


KINDS = (StructureKind("hbn", "hbn", "hexagonal boron nitride sheet", build, SETTINGS),)
