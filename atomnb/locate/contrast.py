"""Whether atoms are bright or dark in an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import ndimage

MIDDLE = 256
"""px; so much of the middle of an image tells its contrast."""

DARK_DETECTORS = ("abf", "bf", "bright field", "bright-field", "brightfield")


def is_dark(pixels: np.ndarray, metadata: Mapping[str, Any]) -> bool:
    """True when the detector's name says bright field, or, without one, when the image's spots are dark.

    Spots on a lattice are narrower than the space between them: after smoothing, the side with the longer tail is the
    side of the atoms.
    """
    detector = str(metadata.get("detector") or "").lower()
    if detector:
        return any(name in detector.replace("haadf", "").replace("maadf", "") for name in DARK_DETECTORS)
    return spot_skewness(pixels) < -0.3


def spot_skewness(pixels: np.ndarray) -> float:
    """Skewness of the image after removing slow changes and pixel noise; positive when spots are bright."""
    cut = tuple(slice((n - min(n, MIDDLE)) // 2, (n + min(n, MIDDLE)) // 2) for n in pixels.shape)
    part = pixels[cut].astype(np.float32)
    smooth = ndimage.gaussian_filter(part, 2.0) - ndimage.gaussian_filter(part, 16.0, truncate=3)
    low, high = np.percentile(smooth, [0.5, 99.5])
    smooth = np.clip(smooth, low, high)
    centred = smooth - smooth.mean()
    return float((centred**3).mean() / (centred**2).mean() ** 1.5)
