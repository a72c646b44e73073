"""The noise of an image from the image itself: how its variance grows with its brightness."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

SAMPLE_PIXELS = 1 << 19
"""At most about this many pixels are looked at: the noise line needs no more."""

_HIGH_PASS = np.array([1.0, -4.0, 6.0, -4.0, 1.0])
_BINS = 40
_TOGETHER = 1 << 15
_BAND = 64
_LOST = 4
"""Rows and columns at each border that the filters have no values for."""


class NoiseModel(NamedTuple):
    """value = gain × Poisson counts + offset + additive noise, so variance = gain × (mean − offset) + read_variance.

    `gain` is in image units per detected electron (0: no shot noise was seen; negative: the image is shown
    inverted), `offset` the value of an empty pixel, `read_variance` in image units squared.
    """

    gain: float
    offset: float
    read_variance: float

    def variance(self, mean):
        """Variance of a pixel whose expected value is `mean` (image units)."""
        return np.maximum(self.gain * (np.asarray(mean) - self.offset), 0) + self.read_variance


def estimate_noise(image) -> NoiseModel:
    """Gain, offset and additive noise of one image.

    A fourth-difference filter at the scale of single pixels removes the lattice and leaves noise of known weight;
    its variance, in bins of brightness, is a straight line in the mean: the slope is the gain, its zero the offset.
    Values that sit on a comb (counts, or counts times a constant) then give both without error.

    Parameters
    ----------
    image : array (H, W)
        Raw image, any units.

    Returns
    -------
    NoiseModel
    """
    pixels = np.asarray(image)
    order, mean, square = (np.concatenate(part) for part in zip(*map(_residuals, _bands(pixels)), strict=True))
    return model_from_line(binned_line(order, mean, square), comb=find_comb(pixels))


def correlate_valid(stack, kernel) -> np.ndarray:
    """Correlate (..., H, W) with kernel ⊗ kernel, an odd and symmetric one, where it lies wholly inside the stack."""
    reach = len(kernel) // 2
    for axis in (-2, -1):
        n = stack.shape[axis] - 2 * reach
        views = [stack[..., i : i + n, :] if axis == -2 else stack[..., i : i + n] for i in range(len(kernel))]
        out = views[reach] * stack.dtype.type(kernel[reach])
        for i in range(reach):
            pair = views[i] + views[-1 - i]
            pair *= stack.dtype.type(kernel[i])
            out += pair
        stack = out
    return stack


class Line(NamedTuple):
    """variance = slope × mean + intercept, with the slope's standard error.

    At `centre` the variance is known best, whatever the slope; `lowest` is the smallest mean.
    """

    slope: float
    intercept: float
    slope_error: float
    centre: float
    lowest: float


def binned_line(order, mean, square) -> Line:
    """Fit squared residuals against their expected mean, both averaged in bins of equal width in `order`.

    Equal population would sort an empty ground by its own noise and flatten the line.
    """
    low, high = (float(q) for q in np.quantile(order[:: max(1, len(order) // 20000)], (0.01, 0.999)))
    sums = np.zeros((3, _BINS))
    for at in range(0, len(order), _TOGETHER):
        part = slice(at, at + _TOGETHER)
        bins = np.clip((order[part] - low) * (_BINS / max(high - low, 1e-30)), 0, _BINS - 1).astype(np.intp)
        for total, values in zip(sums, (None, mean[part], square[part]), strict=True):
            total += np.bincount(bins, weights=values, minlength=_BINS)
    number, x, v = sums[:, sums[0] > 0]
    x, v = x / number, v / number
    slope, intercept, slope_error = 0.0, float(np.average(v, weights=number)), np.inf
    centre = float(np.average(x, weights=number))
    fitted = np.full_like(v, max(intercept, 1e-30))
    for _ in range(6):
        # the variance of a squared Gaussian residual is twice its square
        w = number / np.maximum(fitted, 1e-3 * fitted.max()) ** 2 / 2
        centre = np.average(x, weights=w)
        spread = (w * (x - centre) ** 2).sum()
        if not spread > 0:
            break
        slope = (w * (x - centre) * v).sum() / spread
        intercept = np.average(v, weights=w) - slope * centre
        slope_error = np.sqrt(1 / spread)
        fitted = np.maximum(slope * x + intercept, 1e-3 * v.max())
    return Line(float(slope), float(intercept), float(slope_error), float(centre), float(x.min()))


class Comb(NamedTuple):
    """Values at first + k × step only; `step` is the gain when each count makes one step."""

    first: float
    step: float
    values: np.ndarray
    counts: np.ndarray


def find_comb(pixels) -> Comb | None:
    """The comb on which all values sit, or None for continuous values."""
    some = pixels[:: max(1, pixels.size // (1 << 17))]
    values, counts = np.unique(some, return_counts=True)
    values = values.astype(float)
    if len(values) < 2 or len(values) > max(256, some.size // 8):
        return None
    gaps = np.diff(values)
    step = gaps.min()
    for _ in range(8):  # Euclid on the gaps, as 2 and 3 make a comb of 1
        rest = gaps - step * np.round(gaps / step)
        left = np.abs(rest)[np.abs(rest) > 1e-3 * step + 1e-6 * np.abs(values).max()]
        if not len(left):
            return Comb(float(values[0]), float(np.median(gaps / np.round(gaps / step))), values, counts)
        step = left.min()
    return None


def model_from_line(line: Line, comb: Comb | None) -> NoiseModel:
    """The noise model of a variance line, made exact where the comb of values allows it."""
    slope, intercept = line.slope, line.intercept
    if slope < 0 and -slope > 2 * line.slope_error:
        # an image shown inverted: its counts grow downwards
        mirrored = line._replace(slope=-slope, centre=-line.centre, lowest=-line.lowest)
        turned = comb and Comb(-float(comb.values[-1]), comb.step, -comb.values[::-1], comb.counts[::-1])
        model = model_from_line(mirrored, turned)
        return model._replace(gain=-model.gain, offset=-model.offset)
    if slope <= 2 * line.slope_error:
        level = max(slope * line.centre + intercept, 1e-30)
        return NoiseModel(0.0, line.lowest, float(level))
    step = _step_near(comb, slope, line.slope_error) if comb is not None else None
    if step is None:
        return NoiseModel(slope, -intercept / slope, 0.0)
    offset = line.centre - (slope * line.centre + intercept) / step
    nearest = comb.first + step * np.round((offset - comb.first) / step)
    return NoiseModel(step, float(nearest if abs(offset - nearest) < 0.35 * step else offset), 0.0)


def _step_near(comb: Comb, slope: float, error: float) -> float | None:
    """A comb step that the slope allows: the exact one, or the blurred one of counts rescaled and rounded."""
    allowed = max(3 * error, 0.06 * slope)
    if abs(comb.step - slope) <= allowed:
        return comb.step
    if comb.step > 0.5 * slope or len(comb.values) > 4096:
        return None
    steps = np.linspace(slope - allowed, slope + allowed, 401)
    steps = steps[steps > 2.2 * comb.step]
    if not len(steps):
        return None
    phase = np.exp(2j * np.pi * (comb.values - comb.first)[:, None] / steps)
    contrast = np.abs(comb.counts @ phase) / comb.counts.sum()
    best = int(contrast.argmax())
    return float(steps[best]) if contrast[best] > 0.75 else None


def saturation_level(image) -> float:
    """The value at which the detector clips (infinite where the brightest pixels are no pile-up)."""
    pixels = np.asarray(image)
    pixels = pixels[:: -(-pixels.size // SAMPLE_PIXELS)].astype(np.float32)
    if (pixels == pixels.max()).sum() < 4:
        return np.inf
    values, counts = np.unique(pixels, return_counts=True)
    if len(values) < 16:
        return np.inf
    near = max(4, int((values > values[-1] - 0.02 * (values[-1] - np.median(pixels))).sum()))
    return float(values[-1]) if counts[-1] >= 4 and counts[-1] > counts[-near:-1].sum() else np.inf


def _bands(image: np.ndarray) -> list[np.ndarray]:
    """Bands of rows, float32: the whole image, or about `SAMPLE_PIXELS` spread over it; few rows stay in the cache."""
    starts = range(0, max(1, len(image) - 2 * _LOST), _BAND)
    most = max(8, SAMPLE_PIXELS // (_BAND * image.shape[1]))
    return [image[s : s + _BAND + 2 * _LOST].astype(np.float32) for s in starts[:: -(-len(starts) // most)]]


def _residuals(band: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Brightness to bin by, expected mean and squared high-pass residual of the pixels whose surroundings are inside.

    The mean to bin by is a wider one, so that a pixel's own noise does not choose its bin.
    """
    high = correlate_valid(band, _HIGH_PASS / np.sqrt(70))[2:-2, 2:-2]
    mean = correlate_valid(band, _HIGH_PASS**2 / 70)
    order = correlate_valid(mean, np.full(5, 0.2))
    return order.ravel(), mean[2:-2, 2:-2].ravel(), (high * high).ravel()
