"""Whether a place at which an atom seems to be missing is empty: the raw image is asked, not the network.

In noise a network misses atoms, and a missed atom looks like a vacancy to whoever sees the positions alone.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.spatial import cKDTree
from scipy.special import softmax

VACANT = 0.01
"""Share of the sites of a crystal that are empty, beforehand."""

COMPARED, LOOKED_AT = 24, 240
"""Nearest columns of the same kind with which a place is compared, and among how many of all kinds they are sought."""

LEAST_SPREAD = 0.12
"""Of a column's intensity over that of its neighbours: what was missed stands a little off the place where it is looked
for, and no Gaussian is quite the probe."""

WINDOW = 1.35
"""Distances of neighbours round a place within which the image is fitted."""

TAILS = 3.5
"""Widths (σ) from which on columns outside that window do not count."""


HALF_FULL = 0.42
"""Intensity of one atom in a column made for two: less than half, as the upper one focuses the beam on the lower; abTEM
gives 0.35 to 0.5."""


class FittedColumns:
    """The columns fitted in an image, against which a place is held that seems to be empty.

    Parameters
    ----------
    image : (H, W) raw, columns bright or dark
    positions_yx : (N, 2) px
    intensity, sigma : (N,) as from `atomnb.locate.refine.refine_positions`; columns without either are left out
    """

    def __init__(self, image, positions_yx, intensity, sigma):
        self.fitted = np.isfinite(intensity) & np.isfinite(sigma) & (np.asarray(sigma, float) > 0)
        self.positions_yx = np.asarray(positions_yx, float)[self.fitted]
        self.intensity, self.sigma = (np.asarray(v, float)[self.fitted] for v in (intensity, sigma))
        self.usable = len(self.intensity) >= COMPARED
        if not self.usable:
            return
        self.tree = cKDTree(self.positions_yx)
        self.reach = WINDOW * float(np.median(self.tree.query(self.positions_yx, k=2)[0][:, 1]))
        self.width = float(np.median(self.sigma))
        self.pixels = self._bright(np.asarray(image, float))

    def _bright(self, pixels: np.ndarray) -> np.ndarray:
        """The image turned so that columns are brighter than what is round them, wherever that is bright or dark."""
        at = np.clip(np.round(self.positions_yx).astype(int), 0, np.array(pixels.shape) - 1)
        above = pixels - gaussian_filter(pixels, self.reach)
        return pixels if above[at[:, 0], at[:, 1]].mean() > 0 else -pixels

    def empty_probability(self, place_yx, alike, *, half_full: bool = False) -> float:
        """Probability that there is no column at a place, against one as bright as those of its kind nearby.

        How much these differ among themselves, and how well the image determines an intensity at the place, tell what
        noise does to it. NaN where there is too little to compare with.

        Parameters
        ----------
        place_yx : (2,) px
        alike : (N,) bool, the columns like which the missing one would be
        half_full : whether there may be a column of half the atoms as well, as likely as none
        """
        if not self.usable:
            return np.nan
        near = self.tree.query(place_yx, k=min(LOOKED_AT, len(self.intensity)))[1]
        near = near[np.asarray(alike)[self.fitted][near]][:COMPARED]
        typical = float(np.median(self.intensity[near])) if len(near) == COMPARED else 0.0
        if typical <= 0:
            return np.nan
        spread = 1.48 * float(np.median(np.abs(self.intensity[near] - typical)))
        found, error = self._intensity_at(np.asarray(place_yx, float))
        share, variance = found / typical, max(spread, error) ** 2 / typical**2 + LEAST_SPREAD**2
        fillings = np.array([0.0, 1.0, *([HALF_FULL] if half_full else [])])
        beforehand = np.array([VACANT, 1 - VACANT, *([VACANT] if half_full else [])])
        return float(softmax(np.log(beforehand) - (share - fillings) ** 2 / (2 * variance))[0])

    def significance(self, place_yx) -> float:
        """Intensity of a column at a place over its standard error; NaN where pixels lack or columns are too few.

        The background may be curved: what the probe's tails, which no Gaussian has, leave of the columns around is
        wider than a column. An empty place between bright columns, which would seem to hold a faint one, has none.
        """
        if not self.usable:
            return np.nan
        found, error = self._intensity_at(np.asarray(place_yx, float), curved=True)
        return found / error if error > 0 else np.nan

    def _intensity_at(self, place, *, curved: bool = False) -> tuple[float, float]:
        """Integrated intensity of a column at the place and its standard error, by least squares with the columns
        within `reach` and a plane, or a paraboloid; NaN where pixels lack."""
        low = np.maximum(np.ceil(place - self.reach).astype(int), 0)
        high = np.minimum(np.floor(place + self.reach).astype(int) + 1, self.pixels.shape)
        y, x = np.mgrid[low[0] : high[0], low[1] : high[1]]
        part = self.pixels[low[0] : high[0], low[1] : high[1]]
        used = (np.hypot(y - place[0], x - place[1]) <= self.reach) & np.isfinite(part)
        y, x, part = y[used], x[used], part[used]
        near = self.tree.query_ball_point(place, self.reach)
        around = self.tree.query_ball_point(place, self.reach + TAILS * self.width)
        for i in set(around).difference(near):
            part = part - self.intensity[i] * _column(y, x, self.positions_yx[i], self.sigma[i])
        shapes = [_column(y, x, self.positions_yx[i], self.sigma[i]) for i in near]
        ground = [np.ones_like(part), y - place[0], x - place[1]]
        if curved:
            ground.append((y - place[0]) ** 2 + (x - place[1]) ** 2)
        matrix = np.stack([_column(y, x, place, self.width), *shapes, *ground], axis=1)
        if len(part) < 2 * matrix.shape[1]:
            return np.nan, np.nan
        inverse = np.linalg.pinv(matrix.T @ matrix)
        fitted = inverse @ (matrix.T @ part)
        variance = ((part - matrix @ fitted) ** 2).sum() / (len(part) - matrix.shape[1])
        return float(fitted[0]), float(np.sqrt(variance * inverse[0, 0]))


def _column(y, x, place, sigma: float) -> np.ndarray:
    """Gaussian of unit integral at pixels (P,)."""
    return np.exp(-0.5 * ((y - place[0]) ** 2 + (x - place[1]) ** 2) / sigma**2) / (2 * np.pi * sigma**2)
