"""Layouts of what a tunnelling microscope sees: reconstructions, superlattices, molecules, islands, bare terraces."""

from __future__ import annotations

import numpy as np

from atomnb.simulate import lattice
from atomnb.simulate.layout import Layout, SceneConfig

KINDS = {"reconstruction": 0.15, "superlattice": 0.15, "lattice": 0.25, "molecules": 0.3, "sparse": 0.1, "bare": 0.05}
"""Share of each kind of surface among the scenes."""

RATIO = (2.5, 6.0)
"""Distance of neighbours over the width σ of a protrusion; the tip, not the atom, sets the width."""

ISLAND_SHARE = 0.3
"""Share of the layouts that cover only a part of the image, beside a bare terrace."""


def stm_layout(rng: np.random.Generator, config: SceneConfig) -> Layout:
    """Draw a surface as a tunnelling microscope resolves it, centred on (0, 0); heights stand for the amplitudes.

    A molecule is one position, its centre: `stm_tip` gives it its shape. Bare terraces have no position at all.
    """
    kind = rng.choice(list(KINDS), p=list(KINDS.values()))
    wide = 1.3 if kind == "molecules" else 1.0
    typical = np.log(wide * config.typical_spacing)
    spacing = float(np.clip(np.exp(rng.normal(typical, 0.35)), *config.spacing))
    sigma = float(np.clip(spacing / np.exp(rng.uniform(*np.log(RATIO))), *config.sigma))
    extent = 0.5 * config.size + max(10.0, 1.2 * spacing)
    points, height = _SURFACES[kind](rng, extent, spacing)
    if kind not in ("sparse", "bare"):
        points, height = _with_defects(rng, points, height, extent, spacing)
    points = _scanned(rng, points, spacing, extent)
    mean = height.mean() if len(height) else 1.0
    return Layout(points, height / mean, np.zeros(len(points), int), spacing, sigma, kind == "sparse")


def dimer_adatom_stacking_fault(n: int) -> lattice.Motif:
    """Adatoms of the n × n reconstruction of Si(111) or Ge(111), n odd; species 0 and 1 are the two half cells.

    Takayanagi et al., Surf. Sci. 164, 367 (1985): in each half cell a triangle of adatoms, 2a apart, stands on the
    half cell's centre; the corner of the cell is a hole. Lengths are in units of the 1 × 1 surface constant a.
    """
    if n < 5 or n % 2 == 0:
        raise ValueError(f"n must be odd and at least 5, got {n}.")
    cell = n * np.array([[1.0, 0.0], [0.5, 3**0.5 / 2]])
    per_side = (n - 1) // 2
    first, second = cell / n
    rows = [(i, j) for i in range(per_side) for j in range(per_side - i)]
    triangle = np.array([2 * (i * first + j * second) for i, j in rows])
    triangle -= triangle.mean(axis=0)
    centre = cell.sum(axis=0) / 3
    sites = np.concatenate([centre + triangle, 2 * centre - triangle])
    return lattice.Motif(cell, sites @ np.linalg.inv(cell), np.repeat([0, 1], len(triangle)))


def _any_motif(rng, *, max_sites: int = 4) -> lattice.Motif:
    simple = ("hexagonal", "hexagonal", "square", "rectangular", "honeycomb", "fcc110")
    named = rng.random() < 0.7
    motif = lattice.MOTIFS[rng.choice(simple)] if named else lattice.random_motif(rng, max_sites=max_sites)
    return motif._replace(cell=motif.cell @ lattice.strain_matrix(rng, 0.06)) if rng.random() < 0.5 else motif


def _laid_out(rng, motif: lattice.Motif, extent: float, spacing: float) -> lattice.Sites:
    angle, origin = rng.uniform(0, 2 * np.pi), rng.uniform(-spacing, spacing, 2)
    return lattice.lay_out(motif, extent, spacing=spacing, angle=angle, origin_yx=origin)


def _reconstruction(rng, extent, spacing):
    """Si(111)-7×7 and its relatives: the halves and the adatoms next to the corner holes differ in height."""
    motif = dimer_adatom_stacking_fault(int(rng.choice([5, 7, 7, 7, 9])))
    corners = np.array([(i, j) for i in (0, 1) for j in (0, 1)]) @ motif.cell
    to_hole = np.linalg.norm(motif.basis @ motif.cell - corners[:, None], axis=-1).min(axis=0)
    is_corner = to_hole < 1.01 * to_hole.min()
    height = np.where(motif.species == 0, 1.0, rng.uniform(0.5, 1.0)) * np.where(is_corner, 1.0, rng.uniform(0.6, 1.2))
    sites = _laid_out(rng, motif._replace(species=np.arange(len(height))), extent, spacing)
    return sites.positions_yx, height[sites.species]


def _superlattice(rng, extent, spacing):
    """A lattice of which every m-th × n-th site is missing, sunk or raised, as in ordered vacancies and √3-like cells.

    A missing site stays without label: a corner hole must not be filled.
    """
    motif = _any_motif(rng, max_sites=2)
    repeat = rng.integers(2, 5, 2)
    steps = np.array([(i, j) for i in range(repeat[0]) for j in range(repeat[1])])
    basis = ((motif.basis[None] + steps[:, None]) / repeat).reshape(-1, 2)
    height = np.ones(len(basis))
    height[0] = rng.choice([0.0, rng.uniform(0.2, 0.6), rng.uniform(1.3, 2.5)], p=[0.6, 0.2, 0.2])
    whole = lattice.Motif(motif.cell * repeat[:, None], basis, np.arange(len(basis)))
    sites = _laid_out(rng, whole, extent, spacing)
    kept = height[sites.species] > 0
    return sites.positions_yx[kept], height[sites.species][kept]


def _lattice(rng, extent, spacing):
    """An atomic lattice whose height follows a moiré or a charge-density wave."""
    sites = _laid_out(rng, _any_motif(rng), extent, spacing)
    height = np.exp(rng.normal(0, 0.25, 8))[sites.species % 8]
    if rng.random() < 0.5:
        height = height * _modulation(rng, sites.positions_yx, rng.uniform(2.5, 10) * spacing)
    return sites.positions_yx, height


def _modulation(rng, points, period: float) -> np.ndarray:
    """1 + waves along three directions 60° apart, never below 0.25."""
    turn = rng.uniform(0, np.pi) + np.deg2rad([0, 60, 120])
    waves = 2 * np.pi / period * np.stack([np.sin(turn), np.cos(turn)])
    return 1 + rng.uniform(0.05, 0.25) * np.cos(points @ waves + rng.uniform(0, 2 * np.pi, 3)).sum(axis=1)


def _molecules(rng, extent, spacing):
    """A molecular layer: oblique cells of one to four molecules of unlike height, or a disordered one."""
    if rng.random() < 0.2:
        points = lattice.poisson_disc(rng, extent, spacing=spacing)
        return points, np.exp(rng.normal(0, 0.1, len(points)))
    sites = _laid_out(rng, _any_motif(rng), extent, spacing)
    of_species = np.exp(rng.normal(0, rng.choice([0.0, 0.35]), 8))
    return sites.positions_yx, of_species[sites.species % 8]


def _sparse(rng, extent, spacing):
    """Single adatoms and molecules on a flat terrace."""
    points = lattice.poisson_disc(rng, extent, spacing=spacing * rng.uniform(1.0, 2.0))
    points = points[rng.random(len(points)) < rng.uniform(0.02, 0.4)]
    return points, np.exp(rng.normal(0, 0.15, len(points)))


def _bare(rng, extent, spacing):
    return np.empty((0, 2)), np.empty(0)


_SURFACES = {
    "reconstruction": _reconstruction,
    "superlattice": _superlattice,
    "lattice": _lattice,
    "molecules": _molecules,
    "sparse": _sparse,
    "bare": _bare,
}


def _with_defects(rng, points, height, extent, spacing):
    """Vacancies, brighter adsorbates on sites, adatoms between them, and islands that end."""
    keep = rng.random(len(points)) >= rng.uniform(0, 0.06) * (rng.random() < 0.7)
    if rng.random() < ISLAND_SHARE:
        normal = rng.uniform(0, 2 * np.pi)
        keep &= points @ [np.sin(normal), np.cos(normal)] < rng.uniform(-0.5, 0.6) * extent
    points, height = points[keep], height[keep] * np.exp(rng.normal(0, rng.uniform(0, 0.12), keep.sum()))
    if rng.random() < 0.4:
        changed = rng.random(len(points)) < rng.uniform(0, 0.05)
        height[changed] *= np.exp(rng.uniform(np.log(0.4), np.log(5.0)))
    if rng.random() < 0.2 and len(points):
        joined = np.concatenate([points, lattice.poisson_disc(rng, extent, spacing=7 * spacing)])
        free = lattice.far_apart(joined, 0.75 * spacing)
        added = np.full(len(joined) - len(points), np.median(height) * rng.uniform(0.8, 4.0))
        points, height = joined[free], np.concatenate([height, added])[free]
    return points, height


def _scanned(rng, points, spacing, extent):
    """Drift shears and stretches a slow scan by far more than a crystal's strain; creep bends its first rows."""
    points = points @ (np.eye(2) + np.array([rng.normal(0, 0.1, 2), [0.0, rng.normal(0, 0.04)]]))
    points = points + rng.normal(0, rng.uniform(0.0, 0.04) * spacing, points.shape)
    if rng.random() < 0.3:
        from_top = np.clip(points[:, :1] + extent, 0, None)
        creep = rng.normal(0, 0.5 * spacing, (1, 2)) * np.exp(-from_top / (rng.uniform(0.1, 0.6) * extent))
        points = points + creep
    return points
