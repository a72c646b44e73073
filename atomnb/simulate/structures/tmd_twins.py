"""Mirror-twin lines in dichalcogenide sheets: a strip of the other orientation between a 4|4P and a 4|4E line."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.optimize import minimize_scalar

from atomnb._require import require
from atomnb.simulate.structures.base import Defect
from atomnb.simulate.structures.kinds import Draft, StructureKind
from atomnb.simulate.structures.network import Network, minimum_image, pairs_within, relax, spring_energy
from atomnb.simulate.structures.tmd import SHEETS, VACUUM, Sheet, sheet_lattice

FACING_GAP = 2.80
"""Natural distance (Å) of two metals that face each other across a line, as in the bulk metal."""

BOND_STRENGTH, FACING_STRENGTH, LIKE_STRENGTH, COLUMN_STRENGTH = 8.0, 10.0, 2.0, 4.0
"""eV/Å²: bonds; metals that face each other across 4|4P; other atoms of one kind; the two chalcogens of a column."""

EDGE_BOND_STRENGTH, EDGE_METAL_STRENGTH = 3.35, 14.0
"""eV/Å² across 4|4E, where squares share edges: bonds, metals.

On a line of the lattice's period a square whose metals are 2.6 Å apart cannot have four bonds of the usual length, so
the bonds across the line give way, to 1.13 to 1.17 times a bond, and the metals of both sides stand as in the bulk
metal. Zhou et al., Nano Lett. 13, 2615 (2013) name the lines; Enyashin et al., J. Phys. Chem. C 117, 10842 (2013) find
metal–metal bonds along one of them. Relaxation by the neural potential CHGNet 0.3 (flat sheets of MoS2, WS2, MoSe2 and
MoTe2) ends there too: bonds along the line as in the bulk, metals 2.5 to 2.7 Å apart across it, M–X across it 3.0 Å and
more.
"""

LINE_LOSS = 2.0
"""Å by which the two lines may shorten the box against perfect rows."""

STRIP_CELLS = 3
"""Cells along x that are relaxed together: as many as make every spring shorter than half the box."""


class Rows(NamedTuple):
    """Rows of atoms along x, bottom to top.

    what : (R,) 'M' or 'X'
    shift : (R,) 0 or 1, place along x in half lattice constants
    height : (R,) y in Å, and `period`, where the first row comes again
    """

    what: list[str]
    shift: list[int]
    height: np.ndarray
    period: float


def twin_rows(a: float, lower: int, upper: int) -> Rows:
    """Rows of a sheet with `lower` metal rows of one orientation and `upper` of the other.

    Reading up, one grain repeats M short X long (slanted bonds, straight bond), the other X short M long. They meet
    in a row of chalcogens with slanted bonds to both sides (4|4P: squares that share corners), and where two zigzag
    rows face each other with straight bonds (4|4E: squares that share edges). The sheet closes on itself in a box
    only when `lower` + `upper` is odd. Steps at the lines are laid out near what relaxation makes of them.
    """
    what = ["M", "X"] * lower + ["M", "X"] * (upper - 1) + ["M"]
    step = ["short", "long"] * (lower - 1) + ["corner", "corner"] + ["long", "short"] * (upper - 1) + ["edge"]
    step[0] = step[-2] = "flat"
    rise = {"short": 0.29, "long": 0.58, "corner": 0.42, "flat": 0.12, "edge": 0.50}
    height = a * np.cumsum([0.0, *(rise[walk] for walk in step)])
    turns = np.cumsum([0, *(walk != "long" for walk in step)])
    shift = (turns[:-1] % 2).tolist()
    return Rows(what, shift, height[:-1], float(height[-1]))


def build(name: str, size_angstrom: tuple[float, float], rng: np.random.Generator, options: dict) -> Draft:
    """A sheet with one line of each kind, along x."""
    sheet = SHEETS[name]
    row = sheet.a * 3**0.5 / 2
    metals = max(int(np.ceil((size_angstrom[0] + LINE_LOSS) / row)), 7)
    metals += 1 - metals % 2
    rows = twin_rows(sheet.a, metals // 2, metals - metals // 2)
    found, symbols, lines = _relaxed_strip(sheet, rows, metals // 2)
    one = len(symbols) // STRIP_CELLS
    repeats = max(int(np.ceil(size_angstrom[1] / sheet.a - 1e-6)), 1)
    steps = np.arange(repeats)[:, None, None] * np.array([sheet.a, 0, 0])
    place = (found.positions[:one] + steps).reshape(-1, 3)
    lengths = np.array([repeats * sheet.a, found.lengths[1], sheet.thickness + 2 * VACUUM])
    place[:, 2] += lengths[2] / 2
    atoms = require("ase", extra="simulate").Atoms(
        symbols[:one] * repeats, place, cell=lengths, pbc=(True, True, False)
    )
    middle = lengths[0] / 2
    defects = tuple(Defect("boundary", label, (float(y % lengths[1]), float(middle))) for label, y in lines.items())
    # grains that are mirror images of each other have one and the same set of spots
    return Draft(atoms, defects, (sheet_lattice(sheet, sheet.a),))


def _relaxed_strip(sheet: Sheet, rows: Rows, lower: int) -> tuple[Network, list[str], dict[str, float]]:
    """A few cells along x, relaxed in the height of least energy; its symbols; the height of each line."""

    def at(stretch: float) -> Network:
        strip, _ = _strip(sheet, rows, stretch)
        return strip._replace(positions=relax(strip, force=5e-3))

    best = minimize_scalar(
        lambda stretch: spring_energy(found := at(stretch), found.positions)[0],
        bounds=(-2.0, 4.0), method="bounded", options={"xatol": 0.05},
    ).x  # fmt: skip
    _, symbols = _strip(sheet, rows, best)
    found = at(best)
    per_row = np.array([1 if what == "M" else 2 for what in rows.what])
    first = np.concatenate([[0], np.cumsum(per_row)])[:-1]
    corner = found.positions[first[2 * lower - 1], 1]
    edge = (found.positions[first[-1], 1] + found.positions[0, 1] + found.lengths[1]) / 2
    return found, symbols, {"4|4P": float(corner), "4|4E": float(edge)}


def _strip(sheet: Sheet, rows: Rows, stretch: float) -> tuple[Network, list[str]]:
    """STRIP_CELLS cells of the rows along x and their springs; the box is `stretch` Å higher than laid out."""
    positions, symbols = [], []
    for cell in range(STRIP_CELLS):
        for what, shift, y in zip(rows.what, rows.shift, rows.height, strict=True):
            x = (cell + shift / 2 + 0.25) * sheet.a
            for z in (0.0,) if what == "M" else (sheet.thickness / 2, -sheet.thickness / 2):
                positions.append((x, y, z))
                symbols.append(sheet.metal if what == "M" else sheet.chalcogen)
    place = np.array(positions)
    laid_out = np.array([STRIP_CELLS * sheet.a, rows.period, np.inf])
    springs = _springs(sheet, place, np.array(symbols) == sheet.metal, laid_out)
    # which atoms a spring joins depends on the rows alone, not on how far the box is stretched
    place[:, 1] *= 1 + stretch / rows.period
    return springs._replace(positions=place, lengths=np.add(laid_out, [0, stretch, 0])), symbols


def _springs(sheet: Sheet, place: np.ndarray, metal: np.ndarray, lengths: np.ndarray) -> Network:
    """Bonds M–X; springs between like atoms beside each other, between the two of a column, and across the lines."""
    bond = (sheet.a**2 / 3 + sheet.thickness**2 / 4) ** 0.5
    pairs = pairs_within(place, lengths, 1.25 * sheet.a)
    gap = minimum_image(place[pairs[:, 0]] - place[pairs[:, 1]], lengths)
    far = np.linalg.norm(gap, axis=1)
    like = metal[pairs[:, 0]] == metal[pairs[:, 1]]
    column = like & (np.hypot(gap[:, 0], gap[:, 1]) < 0.1)
    bonded = ~like & (far < 1.3 * bond)
    level = like & (np.abs(gap[:, 2]) < 0.1) & ~column
    edge = np.abs(place[pairs[:, 0], 1] - place[pairs[:, 1], 1]) > lengths[1] / 2  # 4|4E is where the box closes
    facing = edge | (np.abs(gap[:, 0]) < 0.1)
    across = level & metal[pairs[:, 0]] & facing & (far < 0.92 * sheet.a)
    beside = level & ~edge & ~across & (far < 1.08 * sheet.a)
    rest = np.select([bonded, column, across], [bond, sheet.thickness, FACING_GAP], sheet.a)
    keep = bonded | column | across | beside
    strength = np.select(
        [bonded & edge, across & edge, bonded, across, column],
        [EDGE_BOND_STRENGTH, EDGE_METAL_STRENGTH, BOND_STRENGTH, FACING_STRENGTH, COLUMN_STRENGTH],
        LIKE_STRENGTH,
    )[keep]
    none = np.zeros((0, 3), int)
    return Network(place, lengths, pairs[keep], rest[keep], strength, none, np.zeros(0), none[:, :2])


def _kind(name: str) -> StructureKind:
    def builder(size_angstrom, rng, options):
        return build(name, size_angstrom, rng, options)

    sheet = SHEETS[name]
    summary = f"{sheet.metal}{sheet.chalcogen}2 with the mirror-twin lines 4|4P and 4|4E"
    return StructureKind(f"{name}-mirror-twin", "tmd", summary, builder)


KINDS = tuple(_kind(name) for name in SHEETS)
