"""Which columns a noisy image lets anybody see: what may be taught as an atom, and what must be left open."""

from __future__ import annotations

import torch
import torch.nn.functional as F

from atomnb.simulate.noise import gaussian_blur

VISIBLE_SNR = 3.0
"""Columns below this signal-to-noise ratio teach neither 'atom' nor 'no atom'."""

SHOULDER_CONTRAST, SHOULDER_REACH = 1.5, 1.6
"""How much brighter, and within how many spacings, a column is that may leave another no peak of its own."""


def visible(
    signal: torch.Tensor,
    expected: torch.Tensor,
    exposed: torch.Tensor,
    yx: torch.Tensor,
    amplitude: torch.Tensor,
    spacing: float,
    *,
    shoulders: bool,
) -> torch.Tensor:
    """Whether each column can be seen in this exposure: by signal, noise and a peak of its own.

    Parameters
    ----------
    signal : (H, W) counts of the columns alone
    expected, exposed : (H, W) counts with everything, before and after the contrast is inverted
    yx : (N, 2) px; those outside the image are not judged
    amplitude : (N,) 0 where a site is empty
    spacing : px
    shoulders : whether a shoulder of a brighter column beside it serves instead of a peak

    Returns
    -------
    (N,) 1 where it can (or is outside), -1 where it cannot, 0 where the site is empty
    """
    index = yx.round().long()
    within = ((index >= 0) & (index < expected.shape[0])).all(dim=1)
    rows, columns = index.clamp(0, expected.shape[0] - 1).T
    radius = max(1, round(0.3 * spacing))
    peak = (signal == running_max(signal, 1)) & (signal > 0)
    own = running_max(peak.float(), max(1, radius // 2))[rows, columns] > 0
    if shoulders:
        own |= _beside_brighter(yx, amplitude, own, SHOULDER_REACH * spacing)
    clear = _signal_to_noise(expected, exposed, radius, spacing)[rows, columns] >= VISIBLE_SNR
    return torch.where(clear & own | ~within, 1.0, -1.0) * (amplitude > 0)


def _signal_to_noise(expected: torch.Tensor, exposed: torch.Tensor, radius: int, spacing: float) -> torch.Tensor:
    """(H, W) counts in a disc above the darkest surroundings, over their noise."""
    offset = torch.arange(-radius, radius + 1, device=expected.device)
    disc = ((offset[:, None] ** 2 + offset**2) <= radius * radius).float()
    smooth = gaussian_blur(expected[None], max(0.5, 0.1 * spacing))[0]
    both = F.pad(torch.stack([expected, exposed])[:, None], (radius,) * 4, mode="reflect")
    inside, counted = F.conv2d(both, disc[None, None])[:, 0]
    floor = -running_max(-smooth, max(1, round(0.75 * spacing))) * disc.sum()
    return (inside - floor) / counted.clamp(min=1e-6).sqrt()


def _beside_brighter(yx, amplitude, own, reach) -> torch.Tensor:
    """(N,) whether a column without a peak lies within `reach` of one SHOULDER_CONTRAST times brighter that has one."""
    without, peaks = torch.nonzero(~own)[:, 0], torch.nonzero(own)[:, 0]
    brighter = amplitude[peaks] > SHOULDER_CONTRAST * amplitude[without, None]
    beside = torch.zeros_like(own)
    beside[without] = ((torch.cdist(yx[without], yx[peaks]) < reach) & brighter).any(dim=1)
    return beside


def running_max(image: torch.Tensor, reach: int) -> torch.Tensor:
    """Maximum of (H, W) in a square of side 2 reach + 1, by windows that double: cheap however wide."""
    image = F.pad(image, (reach,) * 4, value=-torch.inf)
    for axis in (0, 1):
        width = 1
        while width < 2 * reach + 1:
            step = min(width, 2 * reach + 1 - width)
            left = image.shape[axis] - step
            image = torch.maximum(image.narrow(axis, 0, left), image.narrow(axis, step, left))
            width += step
    return image
