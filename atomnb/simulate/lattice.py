"""Where the atoms are: crystals of every 2-D symmetry, random networks, polycrystals and their defects.

Everything here is in units of the nearest-neighbour spacing or in pixels, never in Å: the network sees pixels.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.spatial import Voronoi, cKDTree


class Motif(NamedTuple):
    """A 2-D crystal: cell vectors as rows (2, 2), basis in fractions of them (K, 2), species of each (K,)."""

    cell: np.ndarray
    basis: np.ndarray
    species: np.ndarray


class Sites(NamedTuple):
    """Positions (N, 2) in px and the species index (N,) of each."""

    positions_yx: np.ndarray
    species: np.ndarray


def _motif(cell, basis, species) -> Motif:
    return Motif(np.asarray(cell, float), np.asarray(basis, float), np.asarray(species, int))


_H = 3**0.5 / 2

MOTIFS: dict[str, Motif] = {
    "square": _motif([[1, 0], [0, 1]], [[0, 0]], [0]),
    "hexagonal": _motif([[1, 0], [0.5, _H]], [[0, 0]], [0]),
    "rectangular": _motif([[1, 0], [0, 1.45]], [[0, 0]], [0]),
    "fcc110": _motif([[1, 0], [0, 2**0.5]], [[0, 0], [0.5, 0.5]], [0, 0]),
    "honeycomb": _motif([[1, 0], [0.5, _H]], [[1 / 3, 1 / 3], [2 / 3, 2 / 3]], [0, 0]),
    "honeycomb-2": _motif([[1, 0], [0.5, _H]], [[1 / 3, 1 / 3], [2 / 3, 2 / 3]], [0, 1]),
    "hexagonal-3": _motif([[1, 0], [0.5, _H]], [[0, 0], [1 / 3, 1 / 3], [2 / 3, 2 / 3]], [0, 1, 2]),
    "rocksalt": _motif([[1, 0], [0, 1]], [[0, 0], [0.5, 0.5]], [0, 1]),
    "perovskite": _motif([[1, 0], [0, 1]], [[0, 0], [0.5, 0.5], [0.5, 0], [0, 0.5]], [0, 1, 2, 2]),
    "rutile": _motif(
        [[1, 0], [0, 1]], [[0, 0], [0.5, 0.5], [0.3, 0.3], [0.7, 0.7], [0.8, 0.2], [0.2, 0.8]], [0, 0, 1, 1, 1, 1]
    ),
    "dumbbell": _motif([[1, 0], [0, 2**0.5]], [[0, 0], [0, 0.25], [0.5, 0.5], [0.5, 0.75]], [0, 1, 0, 1]),
    "puckered": _motif([[1, 0], [0, 1.33]], [[0, 0], [0.0, 0.27], [0.5, 0.5], [0.5, 0.77]], [0, 0, 0, 0]),
}  # fmt: skip
"""Crystals met in STEM and STM, as seen along the beam; spacings are set when they are laid out."""


def motif_spacing(motif: Motif) -> float:
    """Shortest distance between two sites of the crystal, in the units of its cell."""
    around = np.array([(i, j) for i in (-1, 0, 1) for j in (-1, 0, 1)])
    images = (motif.basis[None] + around[:, None]).reshape(-1, 2) @ motif.cell
    return float(cKDTree(images).query(motif.basis @ motif.cell, k=2)[0][:, 1].min())


def random_motif(rng: np.random.Generator, *, max_sites: int = 5) -> Motif:
    """A crystal nobody chose: random cell, random sites no closer than about one spacing, random species."""
    n_sites = int(rng.integers(1, max_sites + 1))
    side = (n_sites * rng.uniform(0.9, 1.5)) ** 0.5
    stretch = np.exp(rng.normal(0, 0.2))
    angle = np.deg2rad(rng.choice([90.0, 60.0, rng.uniform(62, 118)]))
    cell = side * np.array([[stretch, 0], [np.cos(angle) / stretch, np.sin(angle) / stretch]])
    basis = [rng.random(2)]
    for _ in range(60):
        if len(basis) == n_sites:
            break
        candidate = rng.random(2)
        gap = candidate - np.array(basis)
        gap = (gap - np.round(gap)) @ cell
        if np.hypot(*gap.T).min() > 0.8:
            basis.append(candidate)
    return Motif(cell, np.array(basis), rng.integers(0, min(3, len(basis)), len(basis)))


def lay_out(motif: Motif, extent: float, *, spacing: float, angle: float = 0.0, origin_yx=(0.0, 0.0)) -> Sites:
    """Fill the square [-extent, extent]² (px) with the crystal, turned by `angle` (rad), sites `spacing` px apart."""
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    cell = motif.cell @ turn * (spacing / motif_spacing(motif))
    corners = np.array([(i, j) for i in (-1, 1) for j in (-1, 1)]) * extent
    reach = np.ceil(np.abs(corners @ np.linalg.inv(cell)).max(axis=0)).astype(int) + 1
    steps = np.stack(np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), -1).reshape(-1, 1, 2)
    points = ((steps + motif.basis) @ cell).reshape(-1, 2) + np.asarray(origin_yx)
    species = np.tile(motif.species, len(steps))
    inside = (np.abs(points) <= extent).all(axis=1)
    return Sites(points[inside], species[inside])


def poisson_disc(rng: np.random.Generator, extent: float, *, spacing: float) -> np.ndarray:
    """Random points (N, 2) in [-extent, extent]², no two closer than `spacing` px, nearly as dense as that allows."""
    n = int(2.5 * (2 * extent / spacing) ** 2)
    points = rng.uniform(-extent, extent, (n, 2))
    return points[far_apart(points, spacing)]


def random_network(rng: np.random.Generator, extent: float, *, spacing: float) -> np.ndarray:
    """A three-fold network without periodicity (N, 2): Voronoi vertices of random points, relaxed once.

    After Madsen et al., arXiv:1802.03008: the vertices of a Voronoi tessellation have three neighbours each.
    """
    seeds = poisson_disc(rng, extent + 3 * spacing, spacing=1.35 * spacing)
    for _ in range(2):
        diagram = Voronoi(seeds)
        cells = [diagram.regions[r] for r in diagram.point_region]
        corners, sides = np.concatenate(cells), np.array([len(c) for c in cells])
        first = np.cumsum(sides) - sides
        closed = np.minimum.reduceat(corners, first) >= 0  # -1 stands for a corner at infinity
        middles = np.add.reduceat(diagram.vertices[corners], first) / sides[:, None]
        seeds = np.where(closed[:, None], middles, seeds)
    vertices = Voronoi(seeds).vertices
    vertices = vertices[(np.abs(vertices) <= extent).all(axis=1)]
    return vertices[far_apart(vertices, 0.72 * spacing)]


def polycrystal(rng: np.random.Generator, motifs: list[Motif], extent: float, *, spacing: float) -> Sites:
    """Grains of the given crystals side by side, each turned its own way, no two atoms closer than 0.7 spacings."""
    centres = rng.uniform(-extent, extent, (len(motifs), 2))
    grains = [
        lay_out(
            m, extent, spacing=spacing, angle=rng.uniform(0, 2 * np.pi), origin_yx=rng.uniform(-spacing, spacing, 2)
        )
        for m in motifs
    ]
    keep = [cKDTree(centres).query(g.positions_yx)[1] == i for i, g in enumerate(grains)]
    points = np.concatenate([g.positions_yx[k] for g, k in zip(grains, keep, strict=True)])
    species = np.concatenate([g.species[k] for g, k in zip(grains, keep, strict=True)])
    free = far_apart(points, 0.7 * spacing)
    return Sites(points[free], species[free])


def far_apart(points: np.ndarray, distance: float) -> np.ndarray:
    """Mask (N,) of a subset of the points in which no two are closer than `distance`; earlier points win."""
    keep = np.ones(len(points), bool)
    earlier, later = cKDTree(points).query_pairs(distance, output_type="ndarray").T
    while len(later):
        sure = np.ones(len(points), bool)  # no earlier point is left that could push it out
        sure[later] = False
        keep[later[sure[earlier]]] = False
        both = keep[earlier] & keep[later]
        earlier, later = earlier[both], later[both]
    return keep


def smooth_displacement(
    rng: np.random.Generator, points: np.ndarray, *, amplitude: float, wavelength: float
) -> np.ndarray:
    """Displacements (N, 2) of standard deviation `amplitude` px that vary over `wavelength` px, as strain fields do."""
    out = np.zeros_like(points)
    for _ in range(6):
        k = rng.normal(0, 2 * np.pi / wavelength, 2)
        out += np.sin(points @ k + rng.uniform(0, 2 * np.pi))[:, None] * rng.normal(0, 1, 2)
    return out * amplitude / 3**0.5


def strain_matrix(rng: np.random.Generator, magnitude: float) -> np.ndarray:
    """A random symmetric strain (2, 2) to multiply positions with: identity plus entries of SD `magnitude`."""
    xx, yy, xy = rng.normal(0, magnitude, 3)
    return np.array([[1 + yy, xy], [xy, 1 + xx]])
