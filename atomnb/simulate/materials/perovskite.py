"""Perovskites along [001]: A columns, B columns (with their oxygen), and the faint columns of oxygen alone.

Titanates, manganites and their like: cations displaced against each other as in ferroelectrics, mixed A sites,
antiphase and composition steps, in HAADF (contrast Z^1.5 to Z^2) and in ABF, where oxygen shows.
"""

from __future__ import annotations

import numpy as np

from atomnb.simulate import lattice
from atomnb.simulate.layout import Layout, SceneConfig
from atomnb.simulate.materials.sheet import crystal, draw_scale, finished

LABELS = ("A", "B", "O")
A, B, O = range(3)  # noqa: E741  the names of the sites

A_SITES = {"Ca": 20, "Sr": 38, "Ba": 56, "La": 57, "Nd": 60, "Pb": 82, "Bi": 83}
B_SITES = {"Ti": 22, "Mn": 25, "Fe": 26, "Co": 27, "Zr": 40, "Nb": 41, "Ru": 44}
OXYGEN = 8


def lay_out(rng: np.random.Generator, config: SceneConfig) -> Layout:
    """One crystal; `spacing` is that of B and O, half a unit cell."""
    spacing, sigma, extent = draw_scale(rng, config)
    motif = lattice.MOTIFS["perovskite"]
    tetragonal = np.diag([rng.uniform(0.97, 1.07), 1.0])
    sites = crystal(rng, motif._replace(cell=motif.cell @ tetragonal), extent, spacing)
    label = sites.species.copy()
    points = sites.positions_yx + _polar(rng, sites, spacing)
    power = rng.uniform(0.7, 1.1) if rng.random() < 0.3 else rng.uniform(1.5, 2.0)
    amplitude = _strength(rng, points, label, power)
    amplitude *= np.exp(rng.normal(0, rng.uniform(0, 0.1), len(label)))
    # enough empty sites that a site is not taken for filled because the lattice asks for it
    keep = rng.random(len(label)) > (rng.uniform(0, 0.08) if rng.random() < 0.7 else 0)
    return finished(rng, points[keep], amplitude[keep], label[keep], spacing=spacing, sigma=sigma, extent=extent)


def _polar(rng, sites: lattice.Sites, spacing) -> np.ndarray:
    """Displacements (N, 2) px: one vector for B, one for O, reversed across a domain wall."""
    if rng.random() < 0.4:
        return np.zeros_like(sites.positions_yx)
    angle = rng.uniform(0, 2 * np.pi)
    along = np.array([np.sin(angle), np.cos(angle)])
    b, o = rng.uniform(0, 0.1) * spacing, rng.uniform(-0.15, 0.05) * spacing
    size = np.array([0.0, b, o])[sites.species]
    normal = rng.uniform(0, 2 * np.pi)
    wall = sites.positions_yx @ [np.sin(normal), np.cos(normal)] > rng.uniform(-60, 60)
    return size[:, None] * np.where(wall, -1, 1)[:, None] * along


def _strength(rng, points, label, power) -> np.ndarray:
    """Scattering of each column: Z^power, with mixed A sites and sometimes another material beyond an interface."""
    strength = _of_material(rng, len(label), label, power)
    if rng.random() < 0.25:
        normal = rng.uniform(0, 2 * np.pi)
        beyond = points @ [np.sin(normal), np.cos(normal)] > rng.uniform(-50, 50)
        strength = np.where(beyond, _of_material(rng, len(label), label, power), strength)
    return strength


def _of_material(rng, n: int, label, power) -> np.ndarray:
    first, second = rng.choice(list(A_SITES.values()), 2)
    mixed = rng.random(n) < (rng.uniform(0, 0.5) if rng.random() < 0.3 else 0)
    a = np.where(mixed, second, first).astype(float) ** power
    oxygen = float(OXYGEN) ** power
    b = float(rng.choice(list(B_SITES.values()))) ** power + oxygen
    return np.select([label == A, label == B], [a, np.full(n, b)], oxygen)
