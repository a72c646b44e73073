"""What the layouts of all materials share: scale, a crystal to start from, and the end product."""

from __future__ import annotations

import numpy as np

from atomnb.simulate import lattice
from atomnb.simulate.layout import Layout, SceneConfig, deformed, hole

UNSEEN = -1
"""Label of an atom that is drawn but taught as background, as in contamination."""


def draw_scale(rng: np.random.Generator, config: SceneConfig) -> tuple[float, float, float]:
    """Spacing and width (σ) of the columns, and half the side of the square to fill; px."""
    spacing = float(np.clip(np.exp(rng.normal(np.log(config.typical_spacing), 0.16)), *config.spacing))
    ratio = np.exp(rng.uniform(*np.log(config.spacing_over_sigma)))
    sigma = float(np.clip(spacing / ratio, *config.sigma))
    return spacing, sigma, 0.5 * config.size + max(10.0, 1.2 * spacing)


def crystal(rng: np.random.Generator, motif: lattice.Motif, extent: float, spacing: float) -> lattice.Sites:
    """The crystal turned and shifted at random; sometimes two grains of it."""
    if rng.random() < 0.08:
        return lattice.polycrystal(rng, [motif, motif], extent, spacing=spacing)
    origin = rng.uniform(-spacing, spacing, 2)
    return lattice.lay_out(motif, extent, spacing=spacing, angle=rng.uniform(0, 2 * np.pi), origin_yx=origin)


def finished(rng, points, amplitude, label, *, spacing: float, sigma: float, extent: float, hop=None) -> Layout:
    """Cut edges and holes, strain and shake the sheet, and set the mean column to 1; `hop` as in `Layout`."""
    if rng.random() < 0.15:
        keep = ~hole(rng, points, extent)
        points, amplitude, label = points[keep], amplitude[keep], label[keep]
        hop = None if hop is None else hop[keep]
    filled = amplitude > 0
    mean = amplitude[filled].mean() if filled.any() else 1.0
    return Layout(deformed(rng, points, spacing, extent), amplitude / mean, label, spacing, sigma, False, hop_yx=hop)
