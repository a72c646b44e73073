"""Maximum-likelihood refinement of all atoms of an image at once, with a standard error for each.

Every column is a Gaussian on a background of its own; columns that overlap are fitted to their summed model. The
score and the Fisher matrix of a separable Gaussian are moments of the weighted residual, so each step is a few
batched matrix products over all atoms. Weights are those of the Poisson likelihood at the image's own gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.ndimage import maximum_filter
from scipy.spatial import cKDTree

from atomnb.data.flags import Flag
from atomnb.errors import AtomnbError
from atomnb.locate import glow
from atomnb.locate.gaussian import AMP as _A
from atomnb.locate.gaussian import GROUND as _B
from atomnb.locate.gaussian import SIGMA as _S
from atomnb.locate.gaussian import Window, coupling, derivatives, invert, moments, solve
from atomnb.locate.gaussian import X as _X
from atomnb.locate.gaussian import Y as _Y
from atomnb.locate.noise import (
    Line,
    NoiseModel,
    binned_line,
    estimate_noise,
    find_comb,
    model_from_line,
    saturation_level,
)

CHUNK = 2048
"""Atoms fitted together; bounds the memory at any number of atoms."""

WINDOW_SIGMAS = 3.5
"""Radius of the fitting window: 98 % of the information on the position lies inside."""

LOW_SIGNAL_SHARE = 0.08
"""Above this error, in nearest-neighbour distances, an unbiased fit would only scatter the position."""

_OVERLAP_SIGMAS = 4.2
_MAX_NEIGHBOURS = 14
_SECOND_ORDER = 3.5
_TILT_ATOMS = 15
_LAGS = 3
_STILL = 0.05
"""A step below this share of the standard error is the last."""


class Refined(NamedTuple):
    """What the refinement found, one row per atom in the order of the input.

    `positions_yx` and `errors_yx` (N, 2) in px, 1σ per axis; `intensity` (N,) the integrated signal above the
    background in image units × px, positive for dark atoms too; `sigma` (N,) px; `background` (N,) in image
    units; `flags` (N,) of `Flag`; `noise` the noise model that was used.
    """

    positions_yx: np.ndarray
    errors_yx: np.ndarray
    intensity: np.ndarray
    sigma: np.ndarray
    background: np.ndarray
    flags: np.ndarray
    noise: NoiseModel


def refine_positions(
    image,
    positions_yx,
    *,
    sigma: float | None = None,
    max_move: float | None = None,
    noise: NoiseModel | None = None,
    dark: bool | None = None,
    iterations: int = 20,
) -> Refined:
    """Refine positions to the maximum of the likelihood of the raw image.

    Parameters
    ----------
    image : array (H, W)
        Raw image in any units: no filter, no resampling, so that its noise is that of the detector.
    positions_yx : array (N, 2)
        Starting positions, px, within about one σ of the truth.
    sigma : float, optional
        Typical standard deviation of a column, px; estimated from the image if None.
    max_move : float, optional
        Largest move that is believed, px; by default 3 σ, and at most 0.45 nearest-neighbour distances.
    noise : NoiseModel, optional
        Gain, offset and read noise; estimated from the image and the residuals of the fit if None.
    dark : bool, optional
        Atoms are darker than their surroundings (ABF, BF); looked up in the image if None.
    iterations : int
        Steps at most.

    Returns
    -------
    Refined
        Problems are flagged, never raised: a position that could not be improved is the one given.

    Examples
    --------
    >>> import numpy as np
    >>> y, x = np.mgrid[:32, :32]
    >>> spot = np.random.default_rng(0).poisson(50 * np.exp(-((y - 15.3) ** 2 + (x - 16.2) ** 2) / 8))
    >>> refine_positions(spot, [[15, 16]]).positions_yx.round(1)
    array([[15.3, 16.2]])
    """
    pixels = np.asarray(image)
    start = np.array(positions_yx, float).reshape(-1, 2)
    _check(pixels, start)
    known = noise is not None
    first = noise if known else estimate_noise(pixels)
    if len(start) == 0:
        none = np.zeros(0)
        return Refined(start, start.copy(), none, none, none, np.zeros(0, np.int64), first)
    spacing = nearest_distances(start)
    typical = float(np.median(spacing[np.isfinite(spacing)])) if len(start) > 1 else min(pixels.shape) / 2.0
    spacing = np.where(np.isfinite(spacing), spacing, typical)
    scales, response = _blob_response(pixels, start, typical)
    if dark is None:
        dark = bool(response[np.abs(response).argmax()] < 0)
    sign = -1.0 if dark else 1.0
    fit = _Fit.begin(pixels, start, first, sign, sigma or _first_peak(scales, sign * response), spacing)
    # on a textured ground a widening column would take in ever more of the texture
    fit.width_range = (0.75 * fit.width, 1.3 * fit.width)
    fit.begin_linear()
    for _ in range(4):
        fit.sweep(4)
        if fit.settle_width(sigma) < 0.01:
            break
    fit.settle_glow()
    fit.settle_tilt()
    fit.sweep(max(iterations - 9, 4), learn_noise=not known)
    fit.settle_width(sigma)
    model = first if known else fit.relearn_noise(first)
    fit.sweep(5, finish=True)
    fit.settle_colour()
    return fit.result(model, max_move)


def nearest_distances(positions_yx) -> np.ndarray:
    """Distance of each point to its nearest neighbour (N,), px; infinite for a single point."""
    yx = np.asarray(positions_yx, float).reshape(-1, 2)
    if len(yx) < 2:
        return np.full(len(yx), np.inf)
    return cKDTree(yx).query(yx, k=2)[0][:, 1]


@dataclass
class _Fit:
    """The state of a refinement: an image in electrons (nearly) and five parameters for each atom.

    `theta` (N + 1, 5) holds y, x, amplitude, σ, background; its last row is a stand-in for "no neighbour" with
    amplitude zero. `line` is (slope, intercept) of the variance in the units of `work`.
    """

    pixels: np.ndarray
    work: np.ndarray
    zero: float
    scale: float
    line: tuple[float, float]
    start: np.ndarray
    theta: np.ndarray
    spacing: np.ndarray
    width: float
    clip: float
    order: np.ndarray
    fisher: np.ndarray
    score: np.ndarray
    step: np.ndarray
    excess: np.ndarray
    excess_error: np.ndarray
    neighbours: np.ndarray | None = None
    samples: list | None = None
    scatter: float = 0.1
    width_range: tuple[float, float] = (0.0, np.inf)
    tilt: np.ndarray | None = None
    tail_height: float = 0.0
    colour: tuple[float, float] = (1.0, 1.0)

    @classmethod
    def begin(cls, pixels, start, noise, sign, sigma, spacing) -> _Fit:
        n = len(start)
        unit = abs(noise.gain) if noise.gain else np.sqrt(noise.read_variance)
        scale = sign * unit
        work = np.empty(pixels.shape, np.float32)
        for rows in range(0, len(pixels), 256):  # in bands: the difference needs double precision, not all at once
            work[rows : rows + 256] = (pixels[rows : rows + 256] - np.float64(noise.offset)) / scale
        line = (noise.gain / scale, noise.read_variance / unit**2)
        theta = np.zeros((n + 1, 5))
        theta[:n, :2] = start
        theta[:, _S] = sigma
        level = saturation_level(pixels)
        # neighbours in space are neighbours in memory: chunks are compact patches of the image
        band = max(1.0, np.sqrt(CHUNK) * float(np.median(spacing)))
        order = np.lexsort((start[:, 1], np.floor(start[:, 0] / band)))
        return cls(
            pixels, work, noise.offset, scale, line, start, theta, spacing, float(sigma), level, order,
            np.zeros((n, 5, 5), np.float32), np.zeros((n, 5), np.float32), np.full(n, np.inf), np.ones(n), np.ones(n),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.start)

    @property
    def radius(self) -> np.ndarray:
        """Window radius of each atom (N,), px: where its information lies, not far beyond the next column."""
        s = self.theta[:-1, _S]
        return np.minimum(WINDOW_SIGMAS * s, np.maximum(2.3 * s, 1.1 * self.spacing))

    def chunks(self):
        return np.array_split(self.order, max(1, -(-len(self) // CHUNK)))

    def begin_linear(self) -> None:
        """Amplitude and background of each atom by least squares at its starting position."""
        self._find_neighbours()
        for index in self.chunks():
            window = self._window(index)
            gy, gx = window.profiles(self.theta[index])
            shape = gy[:, :, None] * gx[:, None, :]
            mask = window.mask
            area = mask.sum((1, 2)) + 1e-6
            mean_d = (mask * window.data).sum((1, 2)) / area
            mean_g = (mask * shape).sum((1, 2)) / area
            centred = mask * (shape - mean_g[:, None, None])
            amp = (centred * window.data).sum((1, 2)) / ((centred * shape).sum((1, 2)) + 1e-9)
            noise = np.sqrt(np.abs(self.line[0] * mean_d) + self.line[1])
            self.theta[index, _A] = np.maximum(amp, 0.02 * noise + 1e-6)
            self.theta[index, _B] = mean_d - self.theta[index, _A] * mean_g
        self.theta[-1, _S] = self.width

    def sweep(self, steps: int, *, learn_noise: bool = False, finish: bool = False) -> None:
        """Improve all atoms, chunk after chunk, each against the newest model of its neighbours."""
        self.samples = [] if learn_noise or finish else None
        for index in self.chunks():
            window = self._window(index)
            alive = np.ones(len(index), bool)
            for _ in range(steps):
                if alive.all():
                    part, rows = window, index
                else:
                    part, rows = window.take(alive), index[alive]
                self._advance(part, rows)
                alive[alive] = self.step[rows] > _STILL
                if not alive.any():
                    break
            if learn_noise:
                self._sample_residuals(window, index)
            if finish:
                self._measure(window, index)

    def settle_width(self, sigma: float | None) -> float:
        """Set the common width, around which each column's own is sought, and how far the columns scatter about it.

        Empirical Bayes: a column's own width counts as far as the image tells it apart from the others. Returns
        the relative change of the common width.
        """
        some = self.order[:: max(1, len(self) // 20000)]
        log_width = np.log(self.theta[some, _S] / self.width)
        precision = 1 / self.scatter**2
        covariance = np.diagonal(invert(self.fisher[some].astype(float)), axis1=1, axis2=2)
        information = np.maximum(np.nan_to_num(1 / covariance[:, _S]) - precision, 1e-3)
        # a fitted position follows the noise, which makes the column look narrower by its own variance
        narrowed = np.log1p(np.clip(np.nan_to_num(covariance[:, :2].mean(1)), 0, 0.3)) / 2
        if np.median(information) > 100:
            # what the data alone would have said, without the pull of the common width
            free = np.clip(log_width * (1 + precision / information), -1, 1)
            centre = _weighted_median(free + narrowed, information)
            spread = _weighted_median(np.abs(free + narrowed - centre), information) * 1.4826
            excess = spread**2 - 1 / np.median(information)
        else:
            # too faint one by one: one step of scoring for the sum of all columns
            fisher = self.fisher[some].sum(0, dtype=float)
            fisher[_S, _S] -= precision * len(some)
            move = solve(fisher[None], self.score[some].sum(0, dtype=float)[None, :, None])[0, _S, 0]
            centre, excess = move + float(np.median(narrowed)) + float(log_width.mean()), 0.03**2
        self.scatter = float(np.sqrt(np.clip(excess, 0.005**2, 0.15**2)))
        if sigma is not None:
            return 0.0
        change = float(np.clip(centre, -0.5, 0.5))
        before, self.width = self.width, float(np.clip(self.width * np.exp(change), *self.width_range))
        change = np.log(self.width / before)
        self.theta[-1, _S] = self.width
        if abs(change) > 0.01:
            self._find_neighbours()
        return abs(change)

    def settle_glow(self) -> None:
        """Take the tails of uneven columns out of the image, at the height that leaves the least misfit."""
        if not glow.matters(self.theta[:-1, _A]):
            return
        whole, begin = self.work, self.theta.copy()
        tails = glow.glow_image(begin[:-1, :2], begin[:-1, _A], self.width, whole.shape)
        tails -= np.median(tails)  # the level they share is background, and counts in the variance
        misfits = []
        for height in glow.TRIED:
            self.work, self.theta = whole - np.float32(height) * tails, begin.copy()
            self.sweep(3)
            misfits.append(self._misfit())
        self.tail_height = glow.best_height(misfits)
        self.work, self.theta = whole - np.float32(self.tail_height) * tails, begin

    def _misfit(self) -> float:
        """χ² of all windows."""
        total = 0.0
        for index in self.chunks():
            window = self._window(index)
            _, _, model, weight = self._evaluate(window, index)
            total += float(np.einsum("nyx,nyx,nyx->", weight, window.data - model, window.data - model))
        return total

    def settle_tilt(self) -> None:
        """The slope of the background under each atom, from the backgrounds of the atoms around it.

        A slope of its own would cost each position much of its precision; a shared one costs little and keeps
        thickness and contamination from pulling the atoms uphill. Slopes that may be chance are drawn to zero.
        """
        if len(self) < 2 * _TILT_ATOMS:
            return
        yx, ground = self.theta[:-1, :2], self.theta[:-1, _B]
        tree = cKDTree(yx)
        tilt = np.zeros((len(self), 2), np.float32)
        for index in self.chunks():
            near = tree.query(yx[index], k=_TILT_ATOMS)[1]
            around = ground[near]
            middle = np.median(around, axis=1, keepdims=True)
            spread = np.median(np.abs(around - middle), axis=1, keepdims=True)
            around = np.clip(around - middle, -5 * spread, 5 * spread)
            offset = yx[near] - yx[near].mean(1, keepdims=True)
            around -= around.mean(1, keepdims=True)
            square = np.einsum("nki,nkj->nij", offset, offset)
            square += 1e-3 * np.trace(square, axis1=1, axis2=2)[:, None, None] * np.eye(2)
            slope = np.linalg.solve(square, np.einsum("nki,nk->ni", offset, around)[:, :, None])
            plane = (offset @ slope)[:, :, 0]
            chance = ((around - plane) ** 2).sum(1) / (_TILT_ATOMS - 3)
            belief = np.maximum(0, 1 - 6 * chance / np.maximum((plane**2).sum(1), 1e-12))
            tilt[index] = slope[:, :, 0] * belief[:, None]
        self.tilt = tilt if tilt.any() else None

    def relearn_noise(self, first: NoiseModel) -> NoiseModel:
        """Noise line of the residuals of the fit, where neither lattice nor shape is mistaken for noise."""
        mean, square = (np.concatenate(part) for part in zip(*self.samples, strict=True))
        self.samples = None
        if len(mean) < 2000:
            return first
        # in the units of the image, where a comb of values can be recognised
        line = binned_line(mean, mean, square)
        turned = Line(
            line.slope * self.scale, line.intercept * self.scale**2 - line.slope * self.scale * self.zero,
            line.slope_error * abs(self.scale), line.centre * self.scale + self.zero, first.offset,
        )  # fmt: skip
        model = model_from_line(turned, find_comb(self.pixels))
        unit = self.scale
        self.line = (
            model.gain / unit,
            (model.read_variance + model.gain * (self.zero - model.offset)) / unit**2,
        )
        return model

    def result(self, noise: NoiseModel, max_move: float | None) -> Refined:
        theta = self.theta[:-1]
        flags = np.zeros(len(self), np.int64)
        variance, height_variance, overlap = self._covariance()
        factor = _shrunk(self.excess, self.excess_error) * self._believed_height(height_variance)
        # next order of the maximum-likelihood error: a fit that wanders by a good part of σ does so in a
        # likelihood that is no parabola, and finds too high a column (factor from the simulated columns)
        wander = np.minimum(variance.mean(1) / self.theta[:-1, _S] ** 2, 0.2)
        with np.errstate(invalid="ignore"):
            errors = np.sqrt(variance * self.colour * (factor * (1 + _SECOND_ORDER * wander))[:, None])
        moved = np.hypot(*(theta[:, :2] - self.start).T)
        limit = np.minimum(3 * theta[:, _S], 0.45 * self.spacing) if max_move is None else max_move
        bad = ~np.isfinite(errors).all(1)
        errors = np.where(np.isfinite(errors), errors, self.spacing[:, None] / 2)
        low = errors.max(1) > LOW_SIGNAL_SHARE * self.spacing
        far = ~low & (moved > np.maximum(limit, 3 * errors.max(1)))
        # the last step, in units of the error that is stated
        step = self.step / np.sqrt(np.maximum(factor * min(self.colour), 1))
        lost = ~low & ~far & (bad | (step > 0.3))
        flags[low] |= int(Flag.LOW_SIGNAL)
        flags[far] |= int(Flag.MOVED_FAR)
        flags[lost] |= int(Flag.NOT_CONVERGED)
        flags[overlap] |= int(Flag.OVERLAP)
        flags[self._at_border()] |= int(Flag.BORDER)
        flags[self._clipped()] |= int(Flag.SATURATED)
        kept = low | far | lost
        positions = np.where(kept[:, None], self.start, theta[:, :2])
        width = np.sqrt(np.maximum(theta[:, _S] ** 2 - 1 / 12, 0.01))
        intensity = 2 * np.pi * theta[:, _A] * theta[:, _S] ** 2 * abs(self.scale)
        intensity *= 1 + self.tail_height * glow.REACH**2
        return Refined(positions, errors, intensity, width, theta[:, _B] * self.scale + self.zero, flags, noise)

    def _find_neighbours(self) -> None:
        """Indices (N, K) of the columns that reach into each window; `len(self)` stands for none."""
        n = len(self)
        reach = float((self.radius + 3.3 * self.width).max())
        k = min(_MAX_NEIGHBOURS + 1, n)
        if k < 2:
            self.neighbours = np.full((n, 1), n)
            return
        yx = self.theta[:-1, :2]
        tree = cKDTree(yx)
        found = np.empty((n, k), np.int32)
        for index in self.chunks():
            near = tree.query(yx[index], k=k, distance_upper_bound=reach)[1]
            near[near == index[:, None]] = n
            # the atom itself, usually first, sorts to the end with the empty places
            rank = np.argsort(near == n, axis=1, kind="stable")
            found[index] = np.take_along_axis(near, rank, 1)
        used = int((found < n).any(0).sum())
        self.neighbours = found[:, : max(used, 1)]

    def _window(self, index) -> Window:
        limit = (self.clip - self.zero) / self.scale
        valid = (-np.inf, limit) if self.scale > 0 else (limit, np.inf)
        return Window.cut(self.work, self.theta[index], self.radius[index], valid)

    def _model(self, window, index, gy, gx):
        """Summed model of the own column and its neighbours in each window, without background."""
        others = self.theta[self.neighbours[index]]
        ny, nx = window.profiles(others)
        own = (gy * self.theta[index, _A, None].astype(np.float32))[:, None]
        left = np.concatenate([own, ny * others[:, :, _A, None].astype(np.float32)], 1)
        right = np.concatenate([gx[:, None], nx], 1)
        return np.matmul(left.transpose(0, 2, 1), right)

    def _weights(self, model, window, index):
        """Inverse variances; their floor keeps a stray count far from the column from ruling the fit."""
        slope, intercept = self.line
        peak = slope * (self.theta[index, _A] + self.theta[index, _B]) + intercept
        floor = 0.005 * np.abs(peak) + 0.02 + 1e-6
        variance = np.float32(slope) * model + np.float32(intercept)
        np.maximum(variance, floor.astype(np.float32)[:, None, None], out=variance)
        return window.mask / variance

    def _evaluate(self, window, index):
        gy, gx = window.profiles(self.theta[index])
        model = self._model(window, index, gy, gx)
        model += self.theta[index, _B].astype(np.float32)[:, None, None]
        if self.tilt is not None:
            dy, dx = window.distances(self.theta[index])
            model += (self.tilt[index, 0, None] * dy)[:, :, None]
            model += (self.tilt[index, 1, None] * dx)[:, None, :]
        return gy, gx, model, self._weights(model, window, index)

    def _advance(self, window, index) -> None:
        """One damped step of Fisher scoring for the atoms `index`."""
        gy, gx, model, weight = self._evaluate(window, index)
        fisher, score = moments(window, self.theta[index], gy, gx, weight, weight * (window.data - model))
        amp = self.theta[index, _A]
        fisher *= (amp**2)[:, None, None]
        score *= amp[:, None]
        self.score[index] = score
        fisher[:, _S, _S] += 1 / self.scatter**2
        score[:, _S] -= np.log(self.theta[index, _S] / self.width) / self.scatter**2
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

    def _sample_residuals(self, window, index) -> None:
        """Expected means and squared pixel-scale residuals of a share of the windows."""
        some = slice(None, None, max(1, len(self) // 500))
        part, rows = window.take(some), index[some]
        _, _, model, _ = self._evaluate(part, rows)
        inside = part.mask > 0
        kernel = np.array([1.0, -2.0, 1.0], np.float32)
        residual = _correlate3(part.data - model, kernel) / 6
        mean = _correlate3(model, kernel**2) / 36
        whole = _correlate3(inside.astype(np.float32), np.ones(3, np.float32)) > 8.5
        self.samples.append((mean[whole], residual[whole] ** 2))

    def _measure(self, window, index) -> None:
        """Fisher matrix of each atom, and the variance of its residual against the expected one."""
        gy, gx, model, weight = self._evaluate(window, index)
        residual = window.data - model
        fisher, _ = moments(window, self.theta[index], gy, gx, weight, weight * residual)
        fisher *= (self.theta[index, _A] ** 2)[:, None, None]
        fisher[:, _S, _S] += 1 / self.scatter**2
        self.fisher[index] = fisher
        expected = window.mask / np.maximum(weight, 1e-12)
        share = np.maximum(gy[:, :, None] * gx[:, None, :], 0.02)
        share *= window.mask
        total = np.einsum("nyx,nyx->n", share, expected) + 1e-12
        square = share * share
        effective = share.sum((1, 2)) ** 2 / (square.sum((1, 2)) + 1e-12) + 1e-6
        freed = np.maximum(1 - 3 / effective, 0.5)
        self.excess[index] = np.einsum("nyx,nyx,nyx->n", share, residual, residual) / total / freed
        square *= expected
        spread = 2 * np.einsum("nyx,nyx->n", square, expected) + abs(self.line[0]) * square.sum((1, 2))
        self.excess_error[index] = np.sqrt(spread) / total
        if len(index):
            some = slice(None, None, max(1, len(self) // 64))
            self.samples.append(self._autocovariance(window.take(some), index[some], residual[some], weight[some]))

    def _autocovariance(self, window, index, residual, weight) -> np.ndarray:
        """Sums over windows for lags (0…3, −3…3): residual products, those that the fit itself causes, pairs.

        Five fitted numbers leave residuals of white noise slightly anticorrelated, by the hat matrix of the fit.
        """
        root = np.sqrt(weight)
        jac = derivatives(window, self.theta[index]) * root[:, None]
        inverse = np.nan_to_num(invert(self.fisher[index].astype(float))).astype(np.float32)
        spread = np.einsum("nab,nbyx->nayx", inverse, jac)
        # what all columns share is their shape, not noise
        height = self.theta[index, _A, None, None]
        shape = (residual / height).mean(0) if len(index) > 8 else 0
        white, inside = (residual - shape * height) * root, window.mask
        sums = np.zeros((3, _LAGS + 1, 2 * _LAGS + 1))
        for dy in range(_LAGS + 1):
            for dx in range(-_LAGS, _LAGS + 1):
                here, there = _shifted(dy, dx)
                sums[0, dy, dx + _LAGS] = (white[here] * white[there]).sum()
                sums[1, dy, dx + _LAGS] = -np.einsum("nayx,nayx->", spread[(..., *here[1:])], jac[(..., *there[1:])])
                sums[2, dy, dx + _LAGS] = (inside[here] * inside[there]).sum()
        return sums

    def settle_colour(self) -> None:
        """How much larger the position variances are (along y, x) because neighbouring pixels share their noise."""
        product, caused, pairs = sum(self.samples)
        self.samples = None
        dy, dx = np.mgrid[0 : _LAGS + 1, -_LAGS : _LAGS + 1] / self.width
        # autocorrelation of the derivative of a Gaussian, along y and along x, each pair of lags counted once
        shape = 2 * np.exp(-(dy**2 + dx**2) / 4)
        overlap = np.stack([shape * (1 - dy**2 / 2), shape * (1 - dx**2 / 2)])
        overlap[:, 0, : _LAGS + 1] = 0
        power = np.ones(2)
        for _ in range(30):
            # coloured noise is fitted away as much more as it exceeds white noise in what the fit can follow
            gone = caused * power.mean()
            variance = product[0, _LAGS] / max(pairs[0, _LAGS] + gone[0, _LAGS], 0.3 * pairs[0, _LAGS] + 1)
            correlation = (product / max(variance, 1e-9) - gone) / np.maximum(pairs, 1)
            correlation[np.abs(correlation) < 3 / np.sqrt(np.maximum(pairs, 1))] = 0
            power = np.clip(1 + (overlap * correlation).sum((1, 2)), 0.5, 20)
        area = 4 * np.pi * self.width**2
        freed = max(1 - 3 / area, 0.5) / max(1 - 3 * power.mean() / area, 0.3)
        self.colour = tuple(float(p) for p in power * freed)

    def _covariance(self):
        """Variances of the positions (N, 2) in px² from the joint Fisher matrix of overlapping columns."""
        diagonal = np.empty((len(self), 3))
        overlap = np.zeros(len(self), bool)
        for index in self.chunks():
            joint = self.fisher[index].astype(float)
            rows, partners = self._pairs(index)
            for a in range(0, len(rows), CHUNK):
                row, j = rows[a : a + CHUNK], partners[a : a + CHUNK]
                i = index[row]
                block = self._coupling(i, j)[:, :, :3]
                own = self.fisher[j, :3, :3].astype(float)
                np.subtract.at(joint, row, block @ solve(own, block.transpose(0, 2, 1)))
                shared = np.abs(block[:, :2, :2]).max((1, 2)) ** 2
                overlap[i[shared > 0.02 * self.fisher[i, _Y, _Y] * own[:, _Y, _Y]]] = True
            diagonal[index] = np.diagonal(invert(joint), axis1=1, axis2=2)[:, :3]
        return diagonal[:, :2] * self.theta[:-1, _S, None] ** 2, diagonal[:, _A], overlap

    def _believed_height(self, variance) -> np.ndarray:
        """Factor on the position variance for an amplitude that is itself uncertain (relative `variance`).

        A column that came out bright by chance would claim too small an error, and one that came out faint too
        large a one: the amplitudes are drawn to their median as far as their scatter is only chance.
        """
        height = self.theta[:-1, _A]
        error = height * np.sqrt(np.where(np.isfinite(variance), variance, 1))
        believed = _shrunk(height, error)
        slope, intercept = self.line
        ground = np.abs(slope * self.theta[:-1, _B] + intercept)
        # the variance goes as 1/A on an empty ground, as 1/A² on a bright one
        power = 1 + ground / (ground + np.abs(slope) * height + 1e-9)
        return (height / np.maximum(believed, 0.1 * height)) ** power

    def _pairs(self, index):
        """Pairs of columns near enough to share information: places in `index`, and the partners' numbers."""
        near = self.neighbours[index]
        d = np.hypot(*(self.theta[near][:, :, :2] - self.theta[index][:, None, :2]).transpose(2, 0, 1))
        row, col = np.nonzero((near < len(self)) & (d < _OVERLAP_SIGMAS * self.width))
        return row, near[row, col]

    def _coupling(self, i, j) -> np.ndarray:
        """Fisher blocks (pairs, 5, 5) between columns i and j over the window of i, in scaled parameters."""
        window = self._window(i)
        weight = self._evaluate(window, i)[3]
        block = coupling(window, self.theta[i], self.theta[j], weight)
        return block * (self.theta[i, _A] * self.theta[j, _A])[:, None, None]

    def _at_border(self) -> np.ndarray:
        y, x = self.theta[:-1, _Y], self.theta[:-1, _X]
        height, breadth = self.work.shape
        edge = np.minimum(np.minimum(y, height - 1 - y), np.minimum(x, breadth - 1 - x))
        return edge < np.minimum(self.radius, 2.5 * self.theta[:-1, _S])

    def _clipped(self) -> np.ndarray:
        if not np.isfinite(self.clip):
            return np.zeros(len(self), bool)
        near = maximum_filter(self.pixels >= self.clip, 2 * int(np.ceil(self.width)) + 1)
        at = np.clip(np.round(self.theta[:-1, :2]).astype(int), 0, np.array(self.pixels.shape) - 1)
        return near[at[:, 0], at[:, 1]]


def _shrunk(ratio, error) -> np.ndarray:
    """Ratios of found to expected variance, drawn to their median as far as their scatter is only chance."""
    centre = float(np.median(ratio))
    spread = (1.4826 * float(np.median(np.abs(ratio - centre)))) ** 2
    chance = np.minimum(1, error**2 / max(spread, 1e-12))
    return np.maximum(centre + (1 - chance) * (ratio - centre), 0.3 * centre + 1e-9)


def _shifted(dy: int, dx: int):
    """Slices of (n, H, W) stacks: each pixel, and the one (dy, dx) away, dy not negative."""
    rows = slice(None, -dy or None), slice(dy, None)
    left, right = slice(None, -abs(dx) or None), slice(abs(dx), None)
    columns = (left, right) if dx >= 0 else (right, left)
    return (slice(None), rows[0], columns[0]), (slice(None), rows[1], columns[1])


def _weighted_median(values, weights) -> float:
    order = np.argsort(values)
    total = np.cumsum(weights[order])
    return float(values[order][np.searchsorted(total, total[-1] / 2)])


def _correlate3(stack, kernel):
    """Correlate (n, H, W) with kernel ⊗ kernel, valid part only."""
    a, b, c = kernel
    rows = a * stack[:, :-2] + b * stack[:, 1:-1] + c * stack[:, 2:]
    return a * rows[:, :, :-2] + b * rows[:, :, 1:-1] + c * rows[:, :, 2:]


def _blob_response(pixels, start, spacing):
    """Scales σ (px), and the normalised Laplacian-of-Gaussian response of the mean atom at each.

    The response of a Gaussian column peaks at its own σ, and a level or a slope beneath it adds nothing.
    """
    at = np.round(start[:: max(1, len(start) // 1000)]).astype(int)
    size = np.array(pixels.shape)
    room = np.minimum(at, size - 1 - at).min(1)
    half = int(np.clip(np.ceil(1.2 * spacing), 6, 32))
    # atoms nearer to the border than this are left out, unless most of them are
    half = max(min(half, int(np.quantile(room, 0.75))), 1)
    at = np.clip(at[room >= half] if (room >= half).any() else at, half, size - 1 - half)
    views = np.lib.stride_tricks.sliding_window_view(pixels, (2 * half + 1, 2 * half + 1))
    mean = views[at[:, 0] - half, at[:, 1] - half].mean(0, dtype=float)
    scales = np.geomspace(0.7, max(1.0, min(0.45 * spacing, half / 2.2)), 40)
    grid = np.arange(-half, half + 1)
    t = scales[:, None, None] ** 2
    half_r2 = (grid[:, None] ** 2 + grid**2) / (2 * t)
    kernel = (1 - half_r2) * np.exp(-half_r2) / t
    window = np.exp(-half_r2)
    kernel -= window * (kernel.sum((1, 2)) / window.sum((1, 2)))[:, None, None]
    return scales, (kernel * mean).sum((1, 2))


def _first_peak(scales, response) -> float:
    """The smallest scale at which the response peaks: a broader ground beneath the atoms peaks later."""
    inner = response[1:-1]
    peaks = np.flatnonzero((inner >= response[:-2]) & (inner > response[2:]) & (inner > 0.3 * response.max())) + 1
    return float(scales[peaks[0] if len(peaks) else response.argmax()])


def _check(pixels, start) -> None:
    if pixels.ndim != 2:
        raise AtomnbError(f"image must be one frame (H, W), got shape {pixels.shape}: pass the frames one by one.")
    if not np.isfinite(start).all():
        raise AtomnbError("positions_yx holds NaN or infinite values: drop those rows first.")
    if len(start):
        inside = ((start >= -0.5) & (start <= np.array(pixels.shape) - 0.5)).all()
        if not inside:
            raise AtomnbError(f"positions_yx must lie inside the image of {pixels.shape} px, in the order y, x.")
