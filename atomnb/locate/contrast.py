"""Whether atoms are bright or dark in an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import fft, ndimage

from atomnb.resample import resample
from atomnb.scale import dominant_period

MIDDLE = 256
"""px; so much of the middle of an image tells its contrast."""

DARK_DETECTORS = ("abf", "bf", "bright field", "bright-field", "brightfield")

RING_WIDTH = 0.08
"""Width (σ) of a ring of the spectrum over its radius."""

SURE_SIGN = 2.0
"""Standard errors above zero from which the second order of the lattice says that the atoms are bright."""


def is_dark(pixels: np.ndarray, metadata: Mapping[str, Any]) -> bool:
    """True when the detector's name says bright field, or, without one, when the image's spots are dark.

    Spots on a lattice are narrower than the space between them: after smoothing, the side with the longer tail is the
    side of the atoms. The rings of a honeycomb are the exception: their dark middles look like spots, and only the
    second order of the lattice tells them from dark atoms (`honeycomb_sign`).
    """
    detector = str(metadata.get("detector") or "").lower()
    if detector:
        return any(name in detector.replace("haadf", "").replace("maadf", "") for name in DARK_DETECTORS)
    return spot_skewness(pixels) < -0.3 and honeycomb_sign(pixels) < SURE_SIGN


def spot_skewness(pixels: np.ndarray) -> float:
    """Skewness of the image after removing slow changes and pixel noise; positive when spots are bright."""
    part = _middle(pixels)
    quarter = resample(part, tuple(max(1, n // 4) for n in part.shape))
    slow = resample(ndimage.gaussian_filter(quarter, 4.0, truncate=3), part.shape)
    smooth = ndimage.gaussian_filter(part, 2.0) - slow
    low, high = np.percentile(smooth, [0.5, 99.5])
    smooth = np.clip(smooth, np.float32(low), np.float32(high))
    centred = smooth - smooth.mean()
    square = centred * centred
    return float((square * centred).mean() / square.mean() ** 1.5)


def honeycomb_sign(pixels: np.ndarray) -> float:
    """How clearly the lattice's waves of second order add up where those of first order meet, in standard errors.

    Waves g₁ and g₂ of a hexagonal lattice at 120° beat with the wave vector g₁ - g₂, √3 times as long. The third moment
    F(g₁) F*(g₂) F*(g₁ - g₂) is positive for bright spots on any such lattice, a honeycomb included, and negative for
    dark ones, while the moment of the skewness, F(g₁) F(g₂) F(g₃), is negative for bright honeycombs as well. It is
    taken in real space, as the mean of u² v of the two rings of the spectrum, so that grains and drift do no harm. Zero
    where there is no lattice or none of hexagonal order.
    """
    part = _middle(pixels)
    period = dominant_period(part)
    if period is None:
        return 0.0
    first, second = _ring(part, 1 / period), _ring(part, 3**0.5 / period)
    product = first**2 * second
    spread = float(product.std())
    independent = product.size / (0.5 * period) ** 2
    return float(product.mean()) / spread * independent**0.5 if spread > 0 else 0.0


def _ring(part: np.ndarray, frequency: float) -> np.ndarray:
    """The waves of an image (H, W) with about this frequency (1/px)."""
    taper = np.hanning(part.shape[0])[:, None] * np.hanning(part.shape[1])
    spectrum = fft.rfft2((part - part.mean()) * taper)
    fy, fx = fft.fftfreq(part.shape[0])[:, None], fft.rfftfreq(part.shape[1])
    weight = np.exp(-(((np.hypot(fy, fx) / frequency - 1) / RING_WIDTH) ** 2) / 2)
    return fft.irfft2(spectrum * weight, s=part.shape)


def _middle(pixels: np.ndarray) -> np.ndarray:
    cut = tuple(slice((n - min(n, MIDDLE)) // 2, (n + min(n, MIDDLE)) // 2) for n in pixels.shape)
    return pixels[cut].astype(np.float32)
