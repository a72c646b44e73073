"""Whether atoms are bright or dark in an image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from scipy import ndimage

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
    smooth = ndimage.gaussian_filter(pixels.astype(np.float32), 2.0)
    smooth -= ndimage.gaussian_filter(pixels.astype(np.float32), 16.0)
    low, high = np.percentile(smooth, [0.5, 99.5])
    smooth = np.clip(smooth, low, high)
    centred = smooth - smooth.mean()
    return float((centred**3).mean() / (centred**2).mean() ** 1.5)
