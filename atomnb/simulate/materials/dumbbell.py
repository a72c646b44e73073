"""Diamond and zinc blende along [110]: dumbbells, alike in Si and Ge, of unlike columns in III–V and II–VI crystals.

With stacking faults, twins, amorphous parts and vacancies. In compounds the brighter column of a dumbbell is taught as
"heavier" and the other as "lighter", which is the polarity of the crystal.
"""

from __future__ import annotations

import numpy as np

from atomnb.simulate import lattice
from atomnb.simulate.layout import Layout, SceneConfig
from atomnb.simulate.materials.sheet import UNSEEN, draw_scale, finished

LABELS = ("column", "heavier", "lighter")
COLUMN, HEAVIER, LIGHTER = range(3)

PAIRS = {"GaAs": (31, 33), "InAs": (49, 33), "InP": (49, 15), "GaP": (31, 15), "GaSb": (31, 51),
         "AlAs": (13, 33), "CdTe": (48, 52), "ZnSe": (30, 34), "ZnTe": (30, 52), "InSb": (49, 51)}  # fmt: skip


def lay_out(rng: np.random.Generator, config: SceneConfig) -> Layout:
    """One crystal built from {111} double layers, so that faults and twins are a matter of their order."""
    spacing, sigma, extent = draw_scale(rng, config)
    points, kind = _layers(rng, extent, spacing)
    angle = rng.uniform(0, 2 * np.pi)
    points = points @ np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    inside = (np.abs(points) <= extent).all(axis=1)
    points, kind = points[inside], kind[inside]
    amplitude, label = _contrast(rng, kind)
    amplitude = amplitude * np.exp(rng.normal(0, rng.uniform(0, 0.1), len(kind)))
    keep = rng.random(len(kind)) > (rng.uniform(0, 0.03) if rng.random() < 0.3 else 0)
    points, amplitude, label = points[keep], amplitude[keep], label[keep]
    if rng.random() < 0.2:
        points, amplitude, label = _part_amorphous(rng, points, amplitude, label, spacing, extent)
    return finished(rng, points, amplitude, label, spacing=spacing, sigma=sigma, extent=extent)


def _layers(rng, extent, spacing):
    """Columns of stacked {111} double layers, and which of the two atoms of the cell each is (0 or 1).

    In the [110] projection of a cubic cell `a` a layer repeats every a √(3/8) and the layers are a/√3 apart. The
    second atom lies a third of the repeat aside and a quarter of a layer below the first, so that dumbbells are a/4
    long, and straight above the first atom of the layer beneath. A layer of the other orientation makes a twin.
    """
    a = 4 * spacing
    period, height = a * (3 / 8) ** 0.5, a / 3**0.5
    n = int(1.5 * extent / height) + 2
    side = np.ones(2 * n + 1, int)
    if rng.random() < 0.35:
        for at in rng.integers(n // 2, len(side) - n // 2, rng.integers(1, 4)):
            side[at : at + rng.choice([1, len(side)])] *= -1  # a fault of one layer, or a twin from here on
    start = np.cumsum(-side) / 3.0
    along = (np.arange(-n - 2, n + 3)[None] + (start % 1.0)[:, None]) * period
    up = np.broadcast_to(((np.arange(2 * n + 1) - n) * height)[:, None], along.shape)
    first = np.stack([up, along], -1).reshape(-1, 2)
    second = np.stack([up - height / 4, along + (side / 3.0 * period)[:, None]], -1).reshape(-1, 2)
    shift = rng.uniform(-0.5, 0.5, 2) * a
    return np.concatenate([first, second]) + shift, np.repeat([0, 1], len(first))


def _contrast(rng, kind):
    """Amplitudes and labels of the two columns of each dumbbell."""
    power = rng.uniform(1.5, 2.0)
    if rng.random() < 0.45:
        return np.ones(len(kind)), np.full(len(kind), COLUMN)
    first, second = rng.permutation(PAIRS[rng.choice(list(PAIRS))])
    amplitude = np.where(kind == 0, float(first) ** power, float(second) ** power)
    return amplitude, np.where((kind == 0) == (first > second), HEAVIER, LIGHTER)


def _part_amorphous(rng, points, amplitude, label, spacing, extent):
    """Beyond a line the columns dissolve into a texture without atoms, as in amorphous silicon."""
    normal, at = rng.uniform(0, 2 * np.pi), rng.uniform(-0.5, 0.8) * extent
    direction = [np.sin(normal), np.cos(normal)]
    kept = points @ direction < at + rng.normal(0, spacing, len(points))
    grains = lattice.poisson_disc(rng, extent, spacing=0.6 * spacing)
    grains = grains[grains @ direction > at]
    weight = 0.4 * np.median(amplitude) * np.exp(rng.normal(0, 0.5, len(grains)))
    return (
        np.concatenate([points[kept], grains]),
        np.concatenate([amplitude[kept], weight]),
        np.concatenate([label[kept], np.full(len(grains), UNSEEN)]),
    )
