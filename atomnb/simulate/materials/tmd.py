"""Transition-metal dichalcogenide monolayers (1H, seen from above): metal, chalcogen pair, single chalcogen, vacancy.

MoS2, WS2, WSe2 and their alloys, with vacancies of one and of two chalcogens and of the metal, ragged holes,
antisites, substitutions and mirror-twin boundaries. No scene holds a V_MX3 or V_MX6: by these clusters
`benchmarks/unseen_defects.py` judges what a model makes of defects it was not taught (`benchmarks/held_out.py` counts
them). The metal is the brighter column: multislice gives metal over pair 1.9 for MoS2, 3.9 for WS2, 1.2 to 1.35 for
WSe2. MoSe2 (0.52) mirrors MoS2 so well that no image alone could tell them apart.
"""

from __future__ import annotations

import numpy as np
from scipy.spatial import cKDTree

from atomnb.simulate import lattice
from atomnb.simulate.layout import Layout, SceneConfig
from atomnb.simulate.materials.sheet import crystal, draw_scale, finished

LABELS = ("metal", "chalcogen pair", "single chalcogen", "vacancy")
METAL, PAIR, SINGLE, VACANCY = range(4)

METAL_OVER_PAIR = (1.08, 4.5)
"""Brightness of a metal column over that of two chalcogens."""

SINGLE_OVER_PAIR = (0.33, 0.5)
"""One chalcogen over two: less than half, because the upper atom focuses the beam on the lower one (abTEM: 0.35)."""

OTHER_METAL = (2.0, 3.0)
"""Tungsten over molybdenum."""


def lay_out(rng: np.random.Generator, config: SceneConfig) -> Layout:
    """One monolayer with its defects."""
    spacing, sigma, extent = draw_scale(rng, config)
    sites = _flake(rng, extent, spacing)
    metal_site = sites.species == 0
    pair, single = 1.0, rng.uniform(*SINGLE_OVER_PAIR)
    metal = _metals(rng, len(metal_site))
    label = np.where(metal_site, METAL, PAIR)
    amplitude = np.where(metal_site, metal, pair)
    draw = rng.random(len(label))
    some = rng.uniform(0, 0.35) if rng.random() < 0.6 else rng.uniform(0, 0.06)
    few = rng.uniform(0, 0.05)
    label[~metal_site & (draw < some)] = SINGLE
    label[(draw > 1 - few) & (rng.random(len(draw)) < 0.7)] = VACANCY
    if rng.random() < 0.35:
        label = _with_holes(rng, sites.positions_yx, label, metal_site, spacing)
    label = _without_held_out(sites.positions_yx, label, metal_site, spacing)
    amplitude[label == SINGLE] = single
    amplitude[label == VACANCY] = 0
    if rng.random() < 0.3:  # antisites: metal on a chalcogen's place, a pair on a metal's
        swapped = (label < SINGLE) & (rng.random(len(label)) < 0.02)
        amplitude[swapped] = np.where(metal_site[swapped], pair, metal[swapped])
        label[swapped] = np.where(metal_site[swapped], PAIR, METAL)
    amplitude *= np.exp(rng.normal(0, rng.uniform(0, 0.05), len(label)))
    points = _closed_up(rng, sites.positions_yx, label, spacing)
    return finished(rng, points, amplitude, label, spacing=spacing, sigma=sigma, extent=extent)


def _flake(rng, extent, spacing) -> lattice.Sites:
    """A crystal, or two mirror twins joined at a line of shared metal or chalcogen sites."""
    sites = crystal(rng, lattice.MOTIFS["honeycomb-2"], extent, spacing)
    if rng.random() > 0.12:
        return sites
    upright = lattice.lay_out(lattice.MOTIFS["honeycomb-2"], 1.5 * extent, spacing=spacing)
    points, kind = upright.positions_yx, upright.species
    axis = points[np.argmin(np.hypot(*points.T))][0]  # a zigzag row becomes the mirror line
    half = points[:, 0] >= axis - 0.01 * spacing
    points, kind = points[half] - [axis, 0], kind[half]
    mirror = points[:, 0] > 0.01 * spacing
    points = np.concatenate([points, points[mirror] * [-1, 1]])
    kind = np.concatenate([kind, kind[mirror]])
    free = lattice.far_apart(points, 0.7 * spacing)
    angle = rng.uniform(0, 2 * np.pi)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    points, kind = points[free] @ turn + rng.uniform(-0.4, 0.4) * extent, kind[free]
    inside = (np.abs(points) <= extent).all(axis=1)
    return lattice.Sites(points[inside], kind[inside])


def _metals(rng, n: int) -> np.ndarray:
    """Brightness of the metal on each site, in chalcogen pairs: one element, with impurities, or an alloy."""
    main = np.exp(rng.uniform(*np.log(METAL_OVER_PAIR)))
    factor = rng.uniform(*OTHER_METAL)
    other = main * factor if main * factor < 1.3 * METAL_OVER_PAIR[1] else main / factor
    share = rng.choice([0.0, rng.uniform(0, 0.04), rng.uniform(0.1, 0.9)], p=[0.6, 0.25, 0.15])
    return np.where(rng.random(n) < share, other, main)


def _with_holes(rng, points, label, metal_site, spacing) -> np.ndarray:
    """Labels (N,) after one to three groups of neighbouring sites were emptied and their rims thinned."""
    tree, label = cKDTree(points), label.copy()
    for _ in range(rng.integers(1, 4)):
        size = int(rng.integers(2, 15))
        group = [int(rng.integers(len(points)))]
        border = _beside(tree, points, group, spacing)
        while len(group) < size and len(border):
            group.append(int(rng.choice(border)))
            border = _beside(tree, points, group, spacing)
        rim = border[~metal_site[border] & (label[border] == PAIR)]
        thinned = rim[rng.random(len(rim)) < rng.choice([0.0, 0.3, 0.6])]
        label[group], label[thinned] = VACANCY, SINGLE
    return label


def _without_held_out(points, label, metal_site, spacing) -> np.ndarray:
    """Labels (N,) with the metal put back wherever it made a V_MX3 or a V_MX6 (there it is an adatom in the hole)."""
    tree, missing = cKDTree(points), np.flatnonzero(metal_site & (label == VACANCY))
    held_out = [i for i in missing if _is_held_out(tree, points, label, i, spacing)]
    label = label.copy()
    label[held_out] = METAL
    return label


def _is_held_out(tree, points, label, metal, spacing) -> bool:
    """Whether one chalcogen of each column round a missing metal is gone, or just these columns and no other metal."""
    around = _beside(tree, points, [metal], spacing)
    if (label[around] == SINGLE).all():
        return True
    beyond = _beside(tree, points, [metal, *around], spacing)
    return bool((label[around] == VACANCY).all() and not (label[beyond] == VACANCY).any())


def _beside(tree, points, group, spacing) -> np.ndarray:
    """Sites next to those of a group."""
    near = set().union(*tree.query_ball_point(points[group], 1.2 * spacing))
    return np.array(sorted(near.difference(group)), int)


def _closed_up(rng, points, label, spacing) -> np.ndarray:
    """The neighbours of a missing chalcogen move a little toward the gap."""
    gaps = points[label >= SINGLE]
    if not len(gaps):
        return points
    distance, nearest = cKDTree(gaps).query(points, distance_upper_bound=1.2 * spacing)
    beside = np.isfinite(distance) & (distance > 0.1 * spacing)
    moved = points.copy()
    moved[beside] += rng.uniform(0, 0.05) * (gaps[nearest[beside]] - points[beside])
    return moved
