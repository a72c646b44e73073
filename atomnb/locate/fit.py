"""Fisher scoring for all columns of an image at once: the state of the fit, and its steps.

Every column is a Gaussian on a background of its own; columns that overlap are fitted to their summed model, which is
a product of two small matrices for each window: one row for each column that reaches into it, and one or two for the
ground beneath.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.spatial import cKDTree

from atomnb.locate import gaussian
from atomnb.locate.gaussian import AMP as _A
from atomnb.locate.gaussian import GROUND as _B
from atomnb.locate.gaussian import SIGMA as _S
from atomnb.locate.gaussian import Basis, Window, profile, solve
from atomnb.locate.gaussian import X as _X
from atomnb.locate.gaussian import Y as _Y
from atomnb.locate.noise import NoiseModel, saturation_level

CHUNK = 512
"""Atoms fitted together; bounds the memory at any number of atoms."""

WINDOW_SIGMAS = 3.5
"""Radius of the fitting window: 98 % of the information on the position lies inside."""

NEIGHBOURS = 14
"""Columns that are looked at around each."""

_STILL = 0.05
"""Steps below this share of the standard error are not taken."""


def nearest_others(positions_yx) -> tuple[np.ndarray, np.ndarray]:
    """Distance (N,) of each atom to the nearest other, px, infinite for a single one; and the numbers (N, K) of the
    nearest others, at most `NEIGHBOURS`, nearest first."""
    n = len(positions_yx)
    k = min(NEIGHBOURS + 1, n)
    if k < 2:
        return np.full(n, np.inf), np.zeros((n, 0), np.int32)
    tree = cKDTree(positions_yx)
    spacing, nearest = np.empty(n), np.empty((n, k - 1), np.int32)
    for rows in np.array_split(np.arange(n), -(-n // 65536)):
        distance, near = tree.query(positions_yx[rows], k=k)
        others = near != rows[:, None]
        others[others.all(1), -1] = False  # more than k atoms in one place
        spacing[rows] = distance[others].reshape(-1, k - 1)[:, 0]
        nearest[rows] = near[others].reshape(-1, k - 1)
    return spacing, nearest


class Evaluated(NamedTuple):
    """The model in the windows of some columns: their basis, and (n, W, W) its values, misfit and variance."""

    basis: Basis
    model: np.ndarray
    residual: np.ndarray
    variance: np.ndarray


@dataclass
class Fit:
    """The state of a refinement: an image in electrons (nearly) and five parameters for each atom.

    `nearest` (N, K) are the numbers of the other atoms around each, nearest first. `theta` (N + 1, 5) holds y, x,
    amplitude, σ, background; its last row is a stand-in for "no neighbour" with amplitude zero. `line` is (slope,
    intercept) of the variance in the units of `work`, which are `scale` times smaller than those of `pixels` and begin
    at `zero`. `width` is the common width, about which that of each column may scatter by `scatter` (of its logarithm).
    """

    pixels: np.ndarray
    work: np.ndarray
    zero: float
    scale: float
    line: tuple[float, float]
    start: np.ndarray
    nearest: np.ndarray
    theta: np.ndarray
    spacing: np.ndarray
    width: float
    clip: float
    order: np.ndarray
    fisher: np.ndarray
    score: np.ndarray
    step: np.ndarray
    neighbours: np.ndarray | None = None
    scatter: float = 0.1
    width_range: tuple[float, float] = (0.0, np.inf)
    tilt: np.ndarray | None = None
    tail_height: float = 0.0

    @classmethod
    def begin(cls, pixels, start, noise: NoiseModel, sign: float, width: float, nearest, spacing) -> Fit:
        """The state before the first step: every column at its starting position, of common width, not yet scaled."""
        n = len(start)
        unit = abs(noise.gain) if noise.gain else np.sqrt(noise.read_variance)
        scale = sign * unit
        work = np.empty(pixels.shape, np.float32)
        for rows in range(0, len(pixels), 256):  # in bands: the difference needs double precision, not all at once
            work[rows : rows + 256] = (pixels[rows : rows + 256] - np.float64(noise.offset)) / scale
        line = (noise.gain / scale, noise.read_variance / unit**2)
        theta = np.zeros((n + 1, 5))
        theta[:n, :2] = start
        theta[:, _S] = width
        # neighbours in space are neighbours in memory: chunks are compact patches of the image
        band = max(1.0, np.sqrt(CHUNK) * float(np.median(spacing)))
        order = np.lexsort((start[:, 1], np.floor(start[:, 0] / band)))
        fit = cls(
            pixels, work, noise.offset, scale, line, start, nearest, theta, spacing, float(width),
            saturation_level(pixels), order, np.zeros((n, 5, 5), np.float32), np.zeros((n, 5), np.float32),
            np.full(n, np.inf),
        )  # fmt: skip
        # on a textured ground a widening column would take in ever more of the texture
        fit.width_range = (0.75 * fit.width, 1.3 * fit.width)
        fit.find_neighbours()
        fit._begin_linear()
        return fit

    def __len__(self) -> int:
        return len(self.start)

    @property
    def radius(self) -> np.ndarray:
        """Window radius of each atom (N,), px: where its information lies, not far beyond the next column."""
        s = self.theta[:-1, _S]
        return np.minimum(WINDOW_SIGMAS * s, np.maximum(2.3 * s, 1.1 * self.spacing))

    def chunks(self) -> list[np.ndarray]:
        """Numbers of the atoms that are fitted together."""
        return np.array_split(self.order, max(1, -(-len(self) // CHUNK)))

    def window(self, index) -> Window:
        """The windows of the atoms `index`."""
        limit = (self.clip - self.zero) / self.scale
        valid = (-np.inf, limit) if self.scale > 0 else (limit, np.inf)
        return Window.cut(self.work, self.theta[index], self.radius[index], valid)

    def find_neighbours(self) -> None:
        """Indices (N, K) of the columns that reach into each window; `len(self)` stands for none."""
        n, yx = len(self), self.theta[:-1, :2]
        reach = float((self.radius + 3.3 * self.width).max())
        found = np.full((n, max(1, self.nearest.shape[1])), n, np.int32)
        for index in self.chunks():
            near = self.nearest[index]
            apart = yx[near] - yx[index, None]
            near = np.where((apart * apart).sum(2) < reach**2, near, n)
            # the places of columns out of reach go to the end
            found[index, : near.shape[1]] = np.sort(near, axis=1)
        used = int((found < n).any(0).sum())
        self.neighbours = found[:, : max(used, 1)]

    def evaluate(self, window: Window, index) -> Evaluated:
        """The summed model of all columns in the windows of the atoms `index`, against the image.

        The floor of the variance keeps a stray count far from the column from ruling the fit.
        """
        basis = Basis.of(window, self.theta[index])
        model = self._model(window, index, basis)
        slope, intercept = (np.float32(v) for v in self.line)
        peak = slope * (self.theta[index, _A] + self.theta[index, _B]) + intercept
        floor = (0.005 * np.abs(peak) + 0.02).astype(np.float32)
        variance = model * slope
        variance += intercept
        np.maximum(variance, floor[:, None, None], out=variance)
        return Evaluated(basis, model, window.data - model, variance)

    def sweep(self, steps: int, *, then: Callable[[Window, np.ndarray], None] | None = None) -> None:
        """Improve all atoms, chunk after chunk, each against the newest model of its neighbours.

        `then` is called with the windows and the numbers of the atoms of each chunk when they have been improved.
        """
        for index in self.chunks():
            window = self.window(index)
            part, rows, before = window, index, np.zeros(len(index))
            for _ in range(steps):
                self._advance(part, rows)
                step = self.step[rows]
                # the next step, if the steps go on to shrink as they did
                to_come = step * np.minimum(step / np.maximum(before, 1e-9), 1)
                alive = (to_come > _STILL) | (step > 1)
                if not alive.any():
                    break
                if not alive.all():
                    part, rows = part.take(alive), rows[alive]
                before = step[alive]
            if then:
                then(window, index)

    def _begin_linear(self) -> None:
        """Amplitude and background of each atom by least squares at its starting position."""
        for index in self.chunks():
            window = self.window(index)
            basis = Basis.of(window, self.theta[index])
            square = gaussian.fisher(basis, window.mask)
            right = gaussian.score(basis, window.mask * window.data)
            area = square[:, _B, _B] + 1e-6
            mean_g, mean_d = square[:, _A, _B] / area, right[:, _B] / area
            amp = (right[:, _A] - mean_g * right[:, _B]) / (square[:, _A, _A] - mean_g * square[:, _A, _B] + 1e-9)
            noise = np.sqrt(np.abs(self.line[0] * mean_d) + self.line[1])
            self.theta[index, _A] = np.maximum(amp, 0.02 * noise + 1e-6)
            self.theta[index, _B] = mean_d - self.theta[index, _A] * mean_g

    def _model(self, window: Window, index, basis: Basis) -> np.ndarray:
        others = self.theta[self.neighbours[index]]
        first = 2 if self.tilt is None else 4
        left = np.empty((len(others), first + others.shape[1], window.data.shape[1]), np.float32)
        right = np.empty((*left.shape[:2], window.data.shape[2]), np.float32)
        own = self.theta[index].astype(np.float32)
        np.multiply(basis.y[:, 0], own[:, _A, None], out=left[:, 0])
        right[:, 0] = basis.x[:, 0]
        left[:, 1] = own[:, _B, None]
        right[:, 1] = 1
        if self.tilt is not None:
            dy, dx = window.distances(self.theta[index])
            np.multiply(self.tilt[index, 0, None], dy, out=left[:, 2])
            np.multiply(self.tilt[index, 1, None], dx, out=right[:, 3])
            right[:, 2] = left[:, 3] = 1
        ry, rx = window.offsets(others)
        np.multiply(profile(ry), others[:, :, _A, None].astype(np.float32), out=left[:, first:])
        right[:, first:] = profile(rx)
        return np.matmul(left.transpose(0, 2, 1), right)

    def _advance(self, window: Window, index) -> None:
        """One damped step of Fisher scoring for the atoms `index`."""
        basis, _, residual, variance = self.evaluate(window, index)
        weight = np.divide(window.mask, variance, out=variance)
        residual *= weight
        amp, width = self.theta[index, _A, None], self.theta[index, _S]
        fisher = gaussian.fisher(basis, weight) * (amp * amp)[:, :, None]
        score = gaussian.score(basis, residual) * amp
        self.score[index] = score
        fisher[:, _S, _S] += 1 / self.scatter**2
        score[:, _S] -= np.log(width / self.width) / self.scatter**2
        self.fisher[index] = fisher
        move = solve(fisher, score[:, :, None])[:, :, 0] * self._damping(index)[:, None]
        self._apply(index, move, fisher)

    def _damping(self, index) -> np.ndarray:
        """Step length that keeps simultaneous steps of overlapping columns from overshooting together."""
        near = self.theta[self.neighbours[index]]
        own = self.theta[index]
        d2 = (near[:, :, _Y] - own[:, None, _Y]) ** 2 + (near[:, :, _X] - own[:, None, _X]) ** 2
        coupling = np.exp(-d2 / (4 * own[:, None, _S] ** 2)) * (near[:, :, _A] > 0)
        return 1 / (1 + coupling.sum(1))

    def _apply(self, index, move, fisher) -> None:
        t = self.theta[index]
        shift = move[:, :2]
        length = np.hypot(*shift.T)
        shift *= np.minimum(1, 0.7 / np.maximum(length, 1e-12))[:, None]
        t[:, :2] += shift * t[:, _S, None]
        t[:, _B] += np.clip(move[:, _B], -2, 2) * t[:, _A]
        t[:, _A] *= np.clip(1 + move[:, _A], 0.3, 3)
        low, high = max(0.5, 0.6 * self.width), 1.6 * self.width
        t[:, _S] = np.clip(t[:, _S] * np.clip(1 + move[:, _S], 0.8, 1.25), low, high)
        height, breadth = self.work.shape
        t[:, _Y] = np.clip(t[:, _Y], -1, height)
        t[:, _X] = np.clip(t[:, _X], -1, breadth)
        self.theta[index] = t
        # step in standard errors, or in thousandths of a pixel where the error is smaller still
        error = 1 / np.sqrt(np.maximum(fisher[:, _Y, _Y], 1e-9))
        self.step[index] = length / np.maximum(error, 0.05 / t[:, _S])
