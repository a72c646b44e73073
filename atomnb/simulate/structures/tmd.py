"""Transition-metal dichalcogenide sheets of the 2H form, their alloys, vacancies, antisites and dopants."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from atomnb._require import require
from atomnb.simulate.structures.base import Defect, StructureError
from atomnb.simulate.structures.kinds import Draft, Option, StructureKind, with_defaults
from atomnb.simulate.structures.lattice import Lattice, lattice_of
from atomnb.simulate.structures.tmd_defects import EDITS, Model
from atomnb.simulate.structures.tmd_relax import relaxed

VACUUM = 3.0
"""Empty space (Å) above and below a sheet."""


class Sheet(NamedTuple):
    """One layer MX2: in-plane lattice constant and distance of the two chalcogen planes, Å."""

    metal: str
    chalcogen: str
    a: float
    thickness: float


SHEETS = {
    "mos2": Sheet("Mo", "S", 3.160, 3.17),
    "ws2": Sheet("W", "S", 3.153, 3.14),
    "mose2": Sheet("Mo", "Se", 3.288, 3.34),
    "wse2": Sheet("W", "Se", 3.282, 3.34),
    "mote2": Sheet("Mo", "Te", 3.519, 3.61),
}
"""Schutte et al., J. Solid State Chem. 70, 207 (1987); Böker et al., Phys. Rev. B 64, 235305 (2001)."""

SETTINGS = (
    Option("v_x", 0, "single chalcogen vacancies", low=0),
    Option("v_x2", 0, "double chalcogen vacancies (both atoms of a column)", low=0),
    Option("v_m", 0, "metal vacancies", low=0),
    Option("m_x", 0, "antisites: a metal atom on a single chalcogen site", low=0),
    Option("m_x2", 0, "antisites: a metal atom in place of a chalcogen pair", low=0),
    Option("x2_m", 0, "antisites: a chalcogen pair in place of a metal atom", low=0),
    Option("metal_dopant", "V", "element that replaces metal atoms"),
    Option("metal_dopants", 0, "number of metal atoms it replaces", low=0),
    Option("chalcogen_dopant", "O", "element that replaces single chalcogen atoms"),
    Option("chalcogen_dopants", 0, "number of chalcogen atoms it replaces", low=0),
    Option("alloy_metal", "W", "second metal of a random alloy"),
    Option("alloy_metal_share", 0.0, "share of metal sites it takes", low=0.0, high=1.0),
    Option("alloy_chalcogen", "Se", "second chalcogen of a random alloy"),
    Option("alloy_chalcogen_share", 0.0, "share of chalcogen sites it takes", low=0.0, high=1.0),
)


class Sites(NamedTuple):
    """Formula units of a sheet: metal (N, 3), upper and lower chalcogen (N, 3), Å, and the box (3,)."""

    metal: np.ndarray
    top: np.ndarray
    bottom: np.ndarray
    lengths: np.ndarray


def sheet_sites(a: float, thickness: float, size_angstrom) -> Sites:
    """A sheet with a zigzag row along x, at least of the size (y, x)."""
    cell = np.array([a, a * 3**0.5])
    nx, ny = (max(int(np.ceil(s / c - 1e-6)), 1) for s, c in zip(size_angstrom[::-1], cell, strict=True))
    corner = np.stack(np.meshgrid(np.arange(nx), np.arange(ny), indexing="ij"), -1).reshape(-1, 1, 2)
    metal = ((corner + np.array([[0.25, 1 / 12], [0.75, 7 / 12]])) * cell).reshape(-1, 2)
    chalcogen = metal + np.array([a / 2, a / 12**0.5])
    lengths = np.array([nx * cell[0], ny * cell[1], thickness + 2 * VACUUM])
    chalcogen %= lengths[:2]
    middle, half = lengths[2] / 2, thickness / 2

    def at(points, z):
        return np.column_stack([points, np.full(len(points), z)])

    return Sites(at(metal, middle), at(chalcogen, middle + half), at(chalcogen, middle - half), lengths)


def sheet_lattice(sheet: Sheet, a: float) -> Lattice:
    """The lattice of a perfect sheet, with lattice constant `a` Å, as `sheet_sites` lays it out."""
    sites = sheet_sites(a, sheet.thickness, (0.1, 0.1))
    n = len(sites.metal)
    symbols = [sheet.metal] * n + [sheet.chalcogen] * 2 * n
    positions = np.concatenate([sites.metal, sites.top, sites.bottom])
    return lattice_of(require("ase", extra="simulate").Atoms(symbols, positions, cell=sites.lengths))


def build(name: str, size_angstrom, rng, options: dict) -> Draft:
    """The sheet `name` with its alloying and defects."""
    sheet = SHEETS[name]
    _check_elements(options)
    sites = sheet_sites(_alloyed(sheet, options), sheet.thickness, size_angstrom)
    n = len(sites.metal)
    symbols = np.array([sheet.metal] * n + [sheet.chalcogen] * 2 * n, dtype="U2")
    _substitute(symbols, rng.permutation(n), options["alloy_metal"], options["alloy_metal_share"])
    pairs = n + rng.permutation(2 * n)
    _substitute(symbols, pairs, options["alloy_chalcogen"], options["alloy_chalcogen_share"])
    lattice = sheet_lattice(sheet, _alloyed(sheet, options))
    return _with_defects(sheet, sites, symbols, rng, options)._replace(lattices=(lattice,))


def _check_elements(options: dict) -> None:
    known = require("ase.data", extra="simulate").atomic_numbers
    for option in ("metal_dopant", "chalcogen_dopant", "alloy_metal", "alloy_chalcogen"):
        if options[option] not in known:
            raise StructureError(f"{option} must be an element such as 'W' or 'Se', got {options[option]!r}.")


def _alloyed(sheet: Sheet, options: dict) -> float:
    """Lattice constant by Vegard's rule, where the pure sheet of the other chalcogen is known."""
    other = [s.a for s in SHEETS.values() if s.chalcogen == options["alloy_chalcogen"] and s.metal == sheet.metal]
    share = options["alloy_chalcogen_share"] if other else 0.0
    return sheet.a + share * ((other or [0.0])[0] - sheet.a)


def _substitute(symbols: np.ndarray, sites: np.ndarray, element: str, share: float) -> None:
    symbols[sites[: round(share * len(sites))]] = element


def _with_defects(sheet: Sheet, sites: Sites, symbols: np.ndarray, rng, options: dict) -> Draft:
    """Each defect on a formula unit of its own, so that none alters another; then what is round them relaxes."""
    n = len(sites.metal)
    total = sum(options[key] for key in EDITS)
    if total > n:
        raise StructureError(
            f"{total} defects do not fit on {n} formula units: ask for fewer, or for a larger size_angstrom."
        )
    positions = np.concatenate([sites.metal, sites.top, sites.bottom, sites.metal])
    model = Model(positions, np.append(symbols, symbols[:n]), np.arange(4 * n) < 3 * n, n, sheet, options)
    perfect = model._replace(positions=positions.copy(), symbols=model.symbols.copy())
    units = iter(rng.permutation(n).tolist())
    edits, defects = [], []
    for key, edit in EDITS.items():
        for _ in range(options[key]):
            unit = next(units)
            site = edit(model, unit, bool(rng.integers(2)))
            edits.append(site)
            x, y, _ = model.positions[site.atom]
            defects.append(Defect(site.kind, site.name, (float(y), float(x))))
    place = relaxed(perfect, model, edits, sites.lengths) if edits else positions
    atoms = require("ase", extra="simulate").Atoms(
        model.symbols[model.keep], place[model.keep], cell=sites.lengths, pbc=(True, True, False)
    )
    return Draft(atoms, tuple(defects))


def _kind(name: str, base: str, summary: str, values: dict) -> StructureKind:
    def builder(size_angstrom, rng, options):
        return build(base, size_angstrom, rng, options)

    return StructureKind(name, "tmd", summary, builder, with_defaults(SETTINGS, values=values))


KINDS = (
    *(_kind(name, name, f"{sheet.metal}{sheet.chalcogen}2 sheet", {}) for name, sheet in SHEETS.items()),
    _kind("mos2-w-alloy", "mos2", "random Mo1-xWxS2 sheet", {"alloy_metal_share": 0.3}),
    _kind("mose2-w-alloy", "mose2", "random Mo1-xWxSe2 sheet", {"alloy_metal_share": 0.3}),
    _kind("mos2-se-alloy", "mos2", "random MoS2-2xSe2x sheet", {"alloy_chalcogen_share": 0.3}),
    _kind("ws2-se-alloy", "ws2", "random WS2-2xSe2x sheet", {"alloy_chalcogen_share": 0.3}),
)
