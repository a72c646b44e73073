"""Graphene with tilt boundaries between two grains, and ribbons with zigzag or armchair edges."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import Delaunay, cKDTree

from atomnb.simulate.structures.base import Defect, StructureError, wrap
from atomnb.simulate.structures.kinds import Draft, Option, StructureKind
from atomnb.simulate.structures.network import Network, relax
from atomnb.simulate.structures.sheet import BOND_LENGTHS, BondedSheet, honeycomb, honeycomb_lattice

SPACING = BOND_LENGTHS["CC"] * 3**0.5
"""Lattice constant of graphene, Å: distance of the centres of two hexagons."""

BOUNDARIES = {"9.4": (4, 3), "13.2": (3, 2), "17.9": (5, 3), "21.8": (2, 1), "27.8": (5, 2), "32.2": (3, 1)}
"""Angle between the grains in degrees -> lattice vector both share along the boundary."""


OFF_GRID = 0.0137
"""Å by which the box is shifted when its triangles are counted, so that none lies on its edge."""


class Rings(NamedTuple):
    """Centres of the rings of a carbon sheet (N, 2) x, y Å, in a box (2,) that repeats."""

    centres: np.ndarray
    lengths: np.ndarray


def build_boundary(size_angstrom, rng, options: dict) -> Draft:
    """Two grains turned against each other, a boundary at x = 0 and one in the middle.

    The rings' centres are laid out and relaxed first; each triangle of them then is a carbon atom, so that every
    atom has three bonds and the boundary consists of pentagons and heptagons (the dual of a triangulation, as in
    Ophus et al., Phys. Rev. B 92, 205402 (2015)).
    """
    rings = _bicrystal(BOUNDARIES[options["angle_degrees"]], size_angstrom)
    sheet, sizes = sheet_of_rings(rings)
    middle, half = sheet.lengths[0] / 2, sheet.lengths[1] / 2
    sheet.relax()
    name = f"tilt-{options['angle_degrees']}"
    defects = [Defect("boundary", name, (float(half), float(x))) for x in (0.0, middle)]
    for (x, y), size in zip(rings.centres, sizes, strict=True):
        if size != 6:
            defects.append(Defect("ring", str(size), (float(y), float(x))))
    lattice = honeycomb_lattice(BOND_LENGTHS["CC"], ("C", "C"))
    turn = _turn(BOUNDARIES[options["angle_degrees"]])
    return Draft(sheet.atoms(), tuple(defects), (lattice.turned(turn), lattice.turned(np.pi - turn)))


def _turn(vector: tuple[int, int]) -> float:
    """Angle (rad) from x of the left grain's rows, whose lattice vector (m, n) lies along y."""
    m, n = vector
    return float(np.pi / 2 - np.arctan2(n * 3**0.5 / 2, m + n / 2))


def _bicrystal(vector: tuple[int, int], size_angstrom) -> Rings:
    """Rings of both grains: the left one has its lattice vector along y, the right one is its mirror image."""
    m, n = vector
    along = SPACING * (m * m + m * n + n * n) ** 0.5
    row = SPACING**2 * 3**0.5 / 2 / along
    height = max(int(np.ceil(size_angstrom[0] / along - 1e-6)), 1) * along
    rows = max(int(np.ceil(size_angstrom[1] / 2 / row - 1e-6)), 6)
    angle = _turn(vector)
    basis = SPACING * np.array([[np.cos(angle), np.sin(angle)], [np.cos(angle + np.pi / 3), np.sin(angle + np.pi / 3)]])
    reach = int(2 * (height + rows * row) / SPACING) + 2
    steps = np.stack(np.meshgrid(*[np.arange(-reach, reach + 1)] * 2, indexing="ij"), -1).reshape(-1, 2)
    points = steps @ basis
    inside = (points[:, 0] > -1e-6) & (points[:, 0] < rows * row + 1e-6)
    inside &= (points[:, 1] > -1e-6) & (points[:, 1] < height - 1e-6)
    left = points[inside]
    inner = left[(left[:, 0] > 1e-6) & (left[:, 0] < rows * row - 1e-6)]
    lengths = np.array([2 * rows * row, height])
    return _relaxed(Rings(_merged(np.concatenate([left, inner * [-1, 1]]), lengths), lengths))


def _merged(points: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """Points nearer than 0.72 lattice constants put together in their middle."""
    points = wrap(points, lengths)
    while True:
        pairs = cKDTree(points, boxsize=lengths).query_pairs(0.72 * SPACING, output_type="ndarray")
        if not len(pairs):
            return points
        gap = points[pairs[:, 1]] - points[pairs[:, 0]]
        gap -= lengths * np.round(gap / lengths)
        k = np.argmin((gap**2).sum(axis=1))
        i, j = pairs[k]
        points[i] = wrap(points[i] + gap[k] / 2, lengths)
        points = np.delete(points, j, axis=0)


def _relaxed(rings: Rings) -> Rings:
    """Centres moved until neighbours stand one lattice constant apart as nearly as they can."""
    centres = rings.centres
    for _ in range(4):
        pairs = np.unique(np.sort(_edges(_triangles(Rings(centres, rings.lengths))), axis=1), axis=0)
        none = np.zeros((0, 3), int)
        network = Network(
            np.column_stack([centres, np.zeros(len(centres))]), np.array([*rings.lengths, np.inf]),
            pairs, np.full(len(pairs), SPACING), np.full(len(pairs), 10.0), none, np.zeros(0), none[:, :2],
        )  # fmt: skip
        centres = wrap(relax(network)[:, :2], rings.lengths)
    return Rings(centres, rings.lengths)


class Triangles(NamedTuple):
    """Triangulation in a box that repeats: corners (T, 3) as numbers of points, middles (T, 2), sides shared (M, 2)."""

    corners: np.ndarray
    middles: np.ndarray
    neighbours: np.ndarray


def _triangles(rings: Rings) -> Triangles:
    margin = 5 * SPACING
    shifts = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)]) * rings.lengths
    points = (rings.centres + shifts[:, None]).reshape(-1, 2)
    number = np.tile(np.arange(len(rings.centres)), len(shifts))
    near = ((points > -margin) & (points < rings.lengths + margin)).all(axis=1)
    points, number = points[near], number[near]
    found = Delaunay(points)
    middles = points[found.simplices].mean(axis=1)
    home = np.flatnonzero(((middles >= -OFF_GRID) & (middles < rings.lengths - OFF_GRID)).all(axis=1))
    tree = cKDTree(wrap(middles[home], rings.lengths), boxsize=rings.lengths)
    beside = found.neighbors[home]
    partner = tree.query(wrap(middles[beside.ravel()], rings.lengths))[1].reshape(-1, 3)
    pairs = np.column_stack([np.repeat(np.arange(len(home)), 3), partner.ravel()])
    return Triangles(number[found.simplices[home]], middles[home], np.unique(np.sort(pairs, axis=1), axis=0))


def _edges(triangles: Triangles) -> np.ndarray:
    corners = triangles.corners
    return np.concatenate([corners[:, [0, 1]], corners[:, [1, 2]], corners[:, [0, 2]]])


def sheet_of_rings(rings: Rings) -> tuple[BondedSheet, np.ndarray]:
    """The carbon sheet whose rings have these centres, not yet relaxed, and the size (N,) of each ring."""
    triangles = _triangles(rings)
    sizes = np.bincount(triangles.corners.ravel(), minlength=len(rings.centres))
    if sizes.min() < 4 or sizes.max() > 8:
        raise StructureError(
            f"the grains do not join: rings of {sizes.min()} to {sizes.max()} atoms. Take another size_angstrom."
        )
    positions = np.column_stack([triangles.middles, np.zeros(len(triangles.middles))])
    lengths = np.array([*rings.lengths, 1.0])
    return BondedSheet(positions, ["C"] * len(positions), lengths, triangles.neighbours), sizes


def build_edge(size_angstrom, rng, options: dict) -> Draft:
    """A ribbon in vacuum: zigzag edges run along x, armchair edges along y."""
    sheet = honeycomb(BOND_LENGTHS["CC"], ("C", "C"), size_angstrom)
    across = 1 if options["edge"] == "zigzag" else 0
    width, length = sheet.lengths[across], sheet.lengths[1 - across]
    low, high = (1 - options["fill"]) / 2 * width, (1 + options["fill"]) / 2 * width
    place, step = sheet.positions[:, across], sheet.positions[:, 1 - across]
    rough = [_profile(step / length, options["roughness_angstrom"], rng) for _ in range(2)]
    for atom in np.flatnonzero((place < low + rough[0]) | (place > high + rough[1])).tolist():
        sheet.remove(atom)
    _prune(sheet)
    kept = [i for i in range(len(sheet.symbols)) if i not in sheet.removed]
    if not kept:
        raise StructureError(f"a ribbon of {high - low:.1f} Å is too narrow: raise fill or size_angstrom.")
    ends = place[kept].min(), place[kept].max()
    sheet.relax()
    centres = [(length / 2, end) if across == 0 else (end, length / 2) for end in ends]
    defects = tuple(Defect("edge", options["edge"], (float(y), float(x))) for y, x in centres)
    lattice = honeycomb_lattice(BOND_LENGTHS["CC"], ("C", "C"))
    return Draft(sheet.atoms(pbc=(across == 1, across == 0, False)), defects, (lattice,))


def _profile(share: np.ndarray, roughness: float, rng: np.random.Generator) -> np.ndarray:
    """A random edge line (N,) Å that repeats, of standard deviation `roughness`."""
    line = np.zeros_like(share)
    for wave in range(1, 6):
        line += rng.normal() * np.sin(2 * np.pi * (wave * share + rng.random())) * (2 / 5) ** 0.5
    return roughness * line


def _prune(sheet: BondedSheet) -> None:
    """Take out atoms that hang on a single bond."""
    loose = [i for i, others in enumerate(sheet.neighbours) if len(others) < 2 and i not in sheet.removed]
    while loose:
        for atom in loose:
            sheet.remove(atom)
        loose = [i for i, others in enumerate(sheet.neighbours) if len(others) < 2 and i not in sheet.removed]


KINDS = (
    StructureKind(
        "graphene-grain-boundary",
        "graphene",
        "two grains of graphene and the tilt boundaries between them",
        build_boundary,
        (Option("angle_degrees", "21.8", "angle between the grains, degrees", tuple(BOUNDARIES)),),
    ),
    StructureKind(
        "graphene-edge",
        "graphene",
        "graphene ribbon with zigzag or armchair edges",
        build_edge,
        (
            Option("edge", "zigzag", "form of the edges", ("zigzag", "armchair")),
            Option("fill", 0.6, "share of the box that the ribbon takes", low=0.1, high=0.9),
            Option("roughness_angstrom", 0.0, "standard deviation of the edge line, Å", low=0.0, high=10.0),
        ),
    ),
)
