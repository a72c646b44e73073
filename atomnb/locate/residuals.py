"""What the residuals of a fit tell of the noise: its line, its colour, and where it exceeds what was expected."""

from __future__ import annotations

import numpy as np
from scipy import fft

from atomnb.locate import gaussian
from atomnb.locate.fit import Fit
from atomnb.locate.gaussian import AMP as _A
from atomnb.locate.gaussian import SIGMA as _S
from atomnb.locate.gaussian import derivatives, invert
from atomnb.locate.noise import Line, NoiseModel, binned_line, correlate_valid, find_comb, model_from_line

_LAGS = 3


class NoiseSamples:
    """Residuals of a share of the windows against the expected mean, gathered while the fit sweeps over the image."""

    def __init__(self, fit: Fit):
        self._fit = fit
        self._means: list[np.ndarray] = []
        self._squares: list[np.ndarray] = []

    def add(self, window, index) -> None:
        """Add expected means and squared pixel-scale residuals."""
        some = slice(None, None, max(1, len(self._fit) // 500))
        part, rows = window.take(some), index[some]
        _, model, residual, _ = self._fit.evaluate(part, rows)
        kernel = np.array([1.0, -2.0, 1.0])
        whole = correlate_valid(part.mask, np.ones(3)) > 8.5
        self._means.append(correlate_valid(model, kernel**2)[whole] / 36)
        self._squares.append((correlate_valid(residual, kernel)[whole] / 6) ** 2)

    def learn(self, first: NoiseModel) -> NoiseModel:
        """The noise line of the residuals, where neither lattice nor shape is mistaken for noise; set in the fit.

        `first`, the estimate from the image alone, stays when there are too few of them.
        """
        fit = self._fit
        mean, square = np.concatenate(self._means), np.concatenate(self._squares)
        if len(mean) < 2000:
            return first
        # in the units of the image, where a comb of values can be recognised
        line = binned_line(mean, mean, square)
        unit, zero = fit.scale, fit.zero
        turned = Line(
            line.slope * unit, line.intercept * unit**2 - line.slope * unit * zero,
            line.slope_error * abs(unit), line.centre * unit + zero, first.offset,
        )  # fmt: skip
        model = model_from_line(turned, find_comb(fit.pixels))
        fit.line = (model.gain / unit, (model.read_variance + model.gain * (zero - model.offset)) / unit**2)
        return model


class Excess:
    """How much larger the errors are than the model's: variances of the residuals, and correlations of their noise.

    `excess` (N,) is the variance of each atom's residual over the expected one, `error` (N,) its standard error.
    """

    def __init__(self, fit: Fit):
        self._fit = fit
        self.excess, self.error = np.ones(len(fit)), np.ones(len(fit))
        self._lags = np.zeros((3, _LAGS + 1, 2 * _LAGS + 1))

    def add(self, window, index) -> None:
        """Measure the atoms `index`, and their Fisher matrices at the end of the fit."""
        fit = self._fit
        basis, _, residual, variance = fit.evaluate(window, index)
        weight = window.mask / variance
        fisher = gaussian.fisher(basis, weight) * fit.theta[index, _A, None, None] ** 2
        fisher[:, _S, _S] += 1 / fit.scatter**2
        fit.fisher[index] = fisher
        share = np.maximum(basis.y[:, 0, :, None] * basis.x[:, 0, None, :], np.float32(0.02))
        share *= window.mask
        expected = share * variance
        total = expected.sum((1, 2)) + 1e-12
        effective = share.sum((1, 2)) ** 2 / (_dot(share, share) + 1e-12) + 1e-6
        freed = np.maximum(1 - 3 / effective, 0.5)
        self.excess[index] = _dot(share * residual, residual) / total / freed
        spread = 2 * _dot(expected, expected) + abs(fit.line[0]) * _dot(share, expected)
        self.error[index] = np.sqrt(spread) / total
        some = slice(None, None, max(1, len(fit) // 64))
        part = gaussian.Basis(basis.y[some], basis.x[some])
        self._add_lags(index[some], part, residual[some], weight[some], window.mask[some])

    def _add_lags(self, index, basis, residual, weight, inside) -> None:
        """Sums over windows for lags (0…3, −3…3): residual products, those that the fit itself causes, pairs.

        Five fitted numbers leave residuals of white noise slightly anticorrelated, by the hat matrix of the fit.
        """
        root = np.sqrt(weight)
        height = self._fit.theta[index, _A]
        jac = derivatives(basis, height) * root[:, None]
        inverse = np.nan_to_num(invert(self._fit.fisher[index].astype(float))).astype(np.float32)
        spread = (inverse @ jac.reshape(*inverse.shape[:2], -1)).reshape(jac.shape)
        # what all columns share is their shape, not noise
        height = height[:, None, None].astype(np.float32)
        shape = (residual / height).mean(0) if len(index) > 8 else 0
        white = (residual - shape * height) * root
        self._lags += [_lagged(white, white), -_lagged(spread, jac), _lagged(inside, inside)]

    def colour(self) -> tuple[float, float]:
        """How much larger the position variances are (along y, x) because neighbouring pixels share their noise."""
        product, caused, pairs = self._lags
        width = self._fit.width
        dy, dx = np.mgrid[0 : _LAGS + 1, -_LAGS : _LAGS + 1] / width
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
            correlation *= _beyond_chance(correlation, 3 / np.sqrt(np.maximum(pairs, 1)))
            power = np.clip(1 + (overlap * correlation).sum((1, 2)), 0.5, 20)
        area = 4 * np.pi * width**2
        freed = max(1 - 3 / area, 0.5) / max(1 - 3 * power.mean() / area, 0.3)
        return tuple(float(p) for p in power * freed)


def _beyond_chance(value: np.ndarray, chance: np.ndarray) -> np.ndarray:
    """Share of each value to believe: none within `chance`, and nearly all far beyond it, without a step between."""
    return np.maximum(0, 1 - (chance / np.maximum(np.abs(value), 1e-12)) ** 4)


def _dot(a, b) -> np.ndarray:
    """Σ a·b over each window of two stacks (n, H, W): (n,)."""
    return np.vecdot(a.reshape(len(a), -1), b.reshape(len(b), -1))


def _lagged(a, b) -> np.ndarray:
    """Σ a(p)·b(p + lag) over the pixels p of all windows (..., H, W), for lags (0…3, −3…3)."""
    size = [fft.next_fast_len(n + _LAGS, real=True) for n in a.shape[-2:]]
    product = np.conj(fft.rfft2(a, size)) * fft.rfft2(b, size)
    sums = fft.irfft2(product.reshape(-1, *product.shape[-2:]).sum(0), size)
    return sums[: _LAGS + 1][:, np.arange(-_LAGS, _LAGS + 1)]
