"""Graphene with silicon: one to four Si in holes of one to six sites, bare vacancies, edges and contamination.

The clusters are drawn, not listed: any connected hole, any number of Si in it, then relaxed by springs. The published
classes (Si1C3 … Si4C6, Ziatdinov et al., arXiv:1809.04256) are among them, and so are many that were never seen.
Silicon moves under the beam: in some scenes it is elsewhere in some rows of the scan, which draws it out into streaks.
"""

from __future__ import annotations

import numpy as np
from scipy.sparse import csr_array
from scipy.spatial import cKDTree

from atomnb.simulate import lattice
from atomnb.simulate.layout import Layout, SceneConfig
from atomnb.simulate.materials.sheet import UNSEEN, crystal, draw_scale, finished

LABELS = ("C", "Si")
C, SI = range(2)

BOND = np.array([[1.42, 1.78], [1.78, 2.25]]) / 1.42
"""Rest lengths C–C, C–Si, Si–Si in the plane, in C–C bonds."""

OUT_OF_PLANE = (0.82, 1.03)
"""Bonds C–Si by their rest length: silicon that rises out of the sheet is seen nearer to its carbons."""

NEXT, NEXT_BUT_ONE = 1.2, 1.85
"""Bonds from a site within which its three neighbours lie, and those beyond them, which share a neighbour with it."""

RELAXING_STEPS, SAME_NEIGHBOURS_STEPS = 40, 8
"""Of the springs round silicon, and after how many of them neighbours are looked for anew."""


def lay_out(rng: np.random.Generator, config: SceneConfig) -> Layout:
    """One sheet with its defects."""
    spacing, sigma, extent = draw_scale(rng, config)
    sites = crystal(rng, lattice.MOTIFS["honeycomb"], extent, spacing).positions_yx / spacing
    label = np.full(len(sites), C)
    for _ in range(rng.integers(0, 7)):
        sites, label = _with_cluster(rng, sites, label)
    sites = _relaxed(sites, label, rng.uniform(*OUT_OF_PLANE))
    contrast = (14 / 6) ** rng.uniform(1.45, 1.95)
    amplitude = np.where(label == SI, contrast, 1.0) * np.exp(rng.normal(0, rng.uniform(0, 0.08), len(sites)))
    points = sites * spacing
    if rng.random() < 0.3:
        points, amplitude, label = _contaminated(rng, points, amplitude, label, spacing, extent)
    hop = _hops(rng, label, spacing) if rng.random() < 0.3 else None
    return finished(rng, points, amplitude, label, spacing=spacing, sigma=sigma, extent=extent, hop=hop)


def _hops(rng, label, spacing) -> np.ndarray:
    """Displacements (N, 2) px of silicon, and of a few carbon atoms, in the rows in which they have hopped."""
    moves = (label == SI) | ((label == C) & (rng.random(len(label)) < 0.01))
    angle, length = rng.uniform(0, 2 * np.pi, len(label)), rng.uniform(0.15, 1.1, len(label)) * spacing * moves
    return np.stack([np.sin(angle), np.cos(angle)], axis=1) * length[:, None]


def _with_cluster(rng, sites, label):
    """Take out a connected group of carbon atoms and put silicon, fewer or as many, or nothing in its place."""
    carbon = np.flatnonzero(label == C)
    if len(carbon) < 20:
        return sites, label
    tree = cKDTree(sites)
    size = rng.choice([1, 2, 3, 4, 5, 6], p=[0.34, 0.24, 0.14, 0.18, 0.06, 0.04])
    sharing = rng.random() < 0.25  # silicon atoms that share a carbon: each on a site of its own
    reach, size = (NEXT_BUT_ONE, min(size, 3)) if sharing else (NEXT, size)
    hole = [int(rng.choice(carbon))]
    while len(hole) < size:
        # stars (a site and its three neighbours) are what trimers and tetramers of Si sit in
        seed = hole[0] if rng.random() < 0.6 else hole[rng.integers(len(hole))]
        free = [i for i in tree.query_ball_point(sites[seed], reach) if i not in hole and label[i] == C]
        if not free:
            break
        hole.append(int(rng.choice(free)))
    n_silicon = 0 if rng.random() < 0.12 else int(rng.integers((len(hole) + 1) // 2, len(hole) + 1))
    n_silicon = len(hole) if sharing else n_silicon
    new = _shared_out(rng, sites[hole], n_silicon)
    keep = np.ones(len(sites), bool)
    keep[hole] = False
    return np.concatenate([sites[keep], new]), np.concatenate([label[keep], np.full(len(new), SI)])


def _shared_out(rng, hole: np.ndarray, n: int) -> np.ndarray:
    """Places (n, 2) of silicon in a hole (m, 2): each takes one or two of the sites, whichever lie together."""
    groups = [[p] for p in rng.permutation(hole)]
    while len(groups) > n > 0:
        if len(groups) >= 4 and rng.random() < 0.4:  # the middle of a star is left empty: a trimer
            groups.pop(int(np.argmin([np.hypot(*(g[0] - hole.mean(0))) for g in groups])))
            continue
        centres = np.array([np.mean(g, axis=0) for g in groups])
        apart = np.hypot(*(centres[:, None] - centres[None]).transpose(2, 0, 1)) + np.diag(np.full(len(groups), 9.0))
        i, j = np.unravel_index(np.argmin(apart + rng.uniform(0, 0.2, apart.shape)), apart.shape)
        groups[i] += groups[j]
        groups.pop(j)
    return np.array([np.mean(g, axis=0) for g in groups]).reshape(-1, 2) if n else np.zeros((0, 2))


def _relaxed(points: np.ndarray, label: np.ndarray, foreshortened: float) -> np.ndarray:
    """Positions after the bonds near silicon have found their lengths, those of C–Si by the factor `foreshortened`;
    carbon elsewhere stays where it is."""
    if not (label == SI).any():
        return points
    distance = cKDTree(points[label == SI]).query(points)[0]
    near = np.flatnonzero(distance < 4.0)
    bond = BOND * np.array([[1.0, foreshortened], [foreshortened, 1.0]])
    free, kind, home = points[near].copy(), label[near], points[near].copy()
    hold = np.clip((distance[near] - 1.5) / 2.5, 0.02, 1.0)[:, None]  # the sheet around holds the outer atoms
    for step in range(RELAXING_STEPS):
        if step % SAME_NEIGHBOURS_STEPS == 0:
            pairs = cKDTree(free).query_pairs(2.2, output_type="ndarray")
            rest = bond[kind[pairs[:, 0]], kind[pairs[:, 1]]]
            ends = _ends(pairs, len(free))
        gap = free[pairs[:, 1]] - free[pairs[:, 0]]
        length = np.hypot(*gap.T) + 1e-9
        bonded = length < 1.22 * rest
        pull = (0.25 * (length - rest) * bonded / length)[:, None] * gap
        free += ends @ pull + 0.15 * hold * (home - free)
    out = points.copy()
    out[near] = free
    return out


def _ends(pairs: np.ndarray, n: int) -> csr_array:
    """(n, pairs) that gives each atom what pulls at it: +1 where it is the first of a pair, -1 where the second."""
    number = np.arange(len(pairs))
    sign = np.repeat([1.0, -1.0], len(pairs))
    return csr_array((sign, (pairs.T.ravel(), np.tile(number, 2))), shape=(n, len(pairs)))


def _contaminated(rng, points, amplitude, label, spacing, extent):
    """Amorphous dirt on part of the sheet: many atoms on top of one another, none of them taught as an atom."""
    centre, radius = rng.uniform(-1, 1, 2) * extent, rng.uniform(0.2, 0.9) * extent
    grains = lattice.poisson_disc(rng, extent, spacing=rng.uniform(0.45, 0.9) * spacing)
    offset = grains - centre
    angle = np.arctan2(*offset.T)
    ragged = radius * (1 + 0.3 * np.sin(2 * angle + rng.uniform(0, 6)) + 0.2 * np.sin(5 * angle + rng.uniform(0, 6)))
    grains = grains[np.hypot(*offset.T) < ragged]
    weight = np.exp(rng.normal(np.log(rng.uniform(0.6, 2.5)), 0.6, len(grains)))
    under = np.hypot(*(points - centre).T) < 0.8 * radius
    label = np.where(under & (label == C) & (len(grains) > 0), UNSEEN, label)
    return (
        np.concatenate([points, grains]),
        np.concatenate([amplitude, weight]),
        np.concatenate([label, np.full(len(grains), UNSEEN)]),
    )
