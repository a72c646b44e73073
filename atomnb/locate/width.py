"""The width of the columns of an image before any fit, and whether they are bright or dark."""

from __future__ import annotations

import numpy as np


def blob_response(pixels, start, spacing: float):
    """Scales σ (px), and the normalised Laplacian-of-Gaussian response of the mean atom at each.

    The response of a Gaussian column peaks at its own σ, and a level or a slope beneath it adds nothing.
    """
    at = np.round(start[:: max(1, len(start) // 400)]).astype(int)
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


def first_peak(scales, response) -> float:
    """The smallest scale at which the response peaks: a broader ground beneath the atoms peaks later."""
    inner = response[1:-1]
    peaks = np.flatnonzero((inner >= response[:-2]) & (inner > response[2:]) & (inner > 0.3 * response.max())) + 1
    if not len(peaks):
        return float(scales[response.argmax()])
    before, top, after = response[peaks[0] - 1 : peaks[0] + 2]
    # the top of the parabola through the three, on the geometric scale
    beyond = 0.5 * (before - after) / (before - 2 * top + after)
    return float(scales[peaks[0]] * (scales[1] / scales[0]) ** beyond)
