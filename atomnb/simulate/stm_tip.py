"""What a tunnelling tip makes of a surface: the shape of molecules, double tips, the traces of a slow, noisy scan."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from atomnb.simulate import noise

MAX_LOBES = 12
"""Points that make up a molecule's shape."""

LARGEST_LOBE_DISTANCE = 2.3
"""px of the network's input; farther parts of a molecule would be features of their own, nearer ones are its inside."""


WIDEST = 0.36
"""Width (σ) of a molecule as seen, over the distance of neighbours, beyond which they would run together."""

COUNTS = (200.0, 100_000.0)
"""Range of the counts per atom that stand for the signal; their shot noise is the noise of the current."""


class Tip(NamedTuple):
    """Per-sample settings, each (B,) unless noted; lengths in px of the image, heights in those of a typical atom.

    lobes_yx (B, MAX_LOBES, 2) and weight (B, MAX_LOBES) shape the molecule; ghost_yx (B, 2) is where a second tip
    sees it again, with the share `ghost`.
    """

    lobes_yx: torch.Tensor
    weight: torch.Tensor
    ghost_yx: torch.Tensor
    ghost: torch.Tensor
    slowness: torch.Tensor
    tilt_yx: torch.Tensor  # (B, 2) heights over the whole image
    corrugation: torch.Tensor
    corrugation_scale: torch.Tensor
    step_height: torch.Tensor
    step_width: torch.Tensor
    row_noise: torch.Tensor
    line_noise: torch.Tensor
    streaks: torch.Tensor
    change: torch.Tensor


def random_tip(
    rng: np.random.Generator, spacing: np.ndarray, sigma: np.ndarray, *, factor: float = 1.0, device="cpu"
) -> Tip:
    """Draw the tips, molecules and scans of a batch.

    Parameters
    ----------
    rng : numpy.random.Generator
    spacing, sigma : (B,) px of the image
    factor : px of the network's input per px of the image
    device : torch device of the settings
    """
    n = len(spacing)

    def sometimes(probability, low, high):
        return np.where(rng.random(n) < probability, np.exp(rng.uniform(np.log(low), np.log(high), n)), 0.0)

    room = np.sqrt(np.clip((WIDEST * spacing) ** 2 - sigma**2, 0, None))
    shapes = [_shape(rng, d, r, factor) for d, r in zip(spacing, room, strict=True)]
    angle = rng.uniform(0, 2 * np.pi, n)
    reach = np.minimum(rng.uniform(0.15, 0.45, n) * spacing, 1.6 * room)
    values = dict(
        lobes_yx=np.stack([s[0] for s in shapes]),
        weight=np.stack([s[1] for s in shapes]),
        ghost_yx=np.stack([np.sin(angle), np.cos(angle)], axis=1) * reach[:, None],
        ghost=sometimes(0.25, 0.1, 0.5),
        slowness=sometimes(0.3, 0.1, 0.6) * sigma,
        tilt_yx=rng.normal(0, 1, (n, 2)) * sometimes(0.4, 0.1, 3.0)[:, None],
        corrugation=sometimes(0.6, 0.05, 0.7),
        corrugation_scale=np.maximum(rng.uniform(2.5, 8.0, n) * spacing, 26.0 / factor),
        step_height=sometimes(0.2, 0.5, 6.0) * rng.choice([-1.0, 1.0], n),
        step_width=rng.uniform(0.5, 3.0, n) / factor,
        row_noise=sometimes(0.5, 0.01, 0.2),
        line_noise=sometimes(0.6, 0.02, 0.25),
        streaks=sometimes(0.25, 0.2, 1.5),
        change=sometimes(0.1, 0.1, 0.8),
    )
    return Tip(**{k: torch.tensor(v, dtype=torch.float32, device=device) for k, v in values.items()})


def without_beam(optics, stm: np.ndarray, rng: np.random.Generator):
    """The optics of a batch (`atomnb.simulate.batch.Optics`) in which samples `stm` (indices) are recorded by a tip.

    No support, no thickness, no dirt, never inverted; more signal, because a tip counts nanoamperes, not electrons.
    """
    device = optics.counts.device
    counts = np.exp(rng.uniform(*np.log(COUNTS), len(stm)))
    changed = {"counts": torch.tensor(counts, dtype=torch.float32, device=device)}
    changed |= {"background": optics.background[stm].clamp(max=0.3), "texture": 0.4 * optics.texture[stm]}
    changed |= {name: torch.zeros(len(stm), device=device) for name in ("contamination", "inverted", "tail_share")}
    out = {name: getattr(optics, name).clone() for name in changed}
    for name, values in changed.items():
        out[name][stm] = values
    return optics._replace(**out)


def see_through_tip(images: torch.Tensor, tip: Tip) -> torch.Tensor:
    """The surface (B, H, W) as this tip follows it: molecules shaped, doubled, dragged along the scan; never below 0.

    One product in Fourier space, on an image mirrored at its edges; the total and the centre of mass are kept.
    """
    h, w = images.shape[-2:]
    pad = min(24, h - 1, w - 1)
    padded = F.pad(images[:, None], (pad,) * 4, mode="reflect")[:, 0]
    seen = torch.fft.irfft2(torch.fft.rfft2(padded) * _transfer(tip, padded.shape), s=padded.shape[-2:])
    return seen[:, pad : pad + h, pad : pad + w].clamp(min=0)


def typical_height(
    seen: torch.Tensor, positions_yx: torch.Tensor, spacing: torch.Tensor, *, otherwise: torch.Tensor
) -> torch.Tensor:
    """Height (B,) of the weaker atoms above their surroundings, half way to their neighbours.

    Parameters
    ----------
    seen : (B, H, W) noise-free, through the tip
    positions_yx : (B, N, 2) px; those outside the image do not count
    spacing : (B,) px
    otherwise : (B,) height where a sample shows no atom
    """
    h, w = seen.shape[-2:]
    turn = torch.arange(8, device=seen.device) * (torch.pi / 4)
    around = 0.5 * spacing[:, None, None] * torch.stack([torch.sin(turn), torch.cos(turn)], dim=1)
    offset = torch.cat([torch.zeros_like(around[:, :1]), around], dim=1)  # (B, 9, 2): the atom, then a ring
    points = positions_yx[:, :, None] + offset[:, None]
    grid = torch.stack([2 * (points[..., 1] + 0.5) / w - 1, 2 * (points[..., 0] + 0.5) / h - 1], dim=-1)
    sampled = F.grid_sample(seen[:, None], grid, mode="bilinear", padding_mode="border", align_corners=False)[:, 0]
    above = sampled[..., 0] - sampled[..., 1:].mean(dim=-1)
    inside = ((positions_yx >= 0) & (positions_yx <= torch.tensor([h - 1, w - 1], device=seen.device))).all(dim=-1)
    height = torch.nanquantile(torch.where(inside & (above > 0), above, torch.nan), 0.3, dim=1)
    return torch.where(height.isnan(), otherwise, height)


def add_stm_artifacts(images: torch.Tensor, height: torch.Tensor, tip: Tip, generator: torch.Generator) -> torch.Tensor:
    """Add to recorded images (B, H, W) what no atom causes, in units of `height` (B,), that of a typical atom.

    Tilt, slow corrugation, step edges, rows and lines off their level, bursts of noise, a tip that changes midway.
    """
    images = _tip_change(images, tip, generator)
    return images + height[:, None, None] * (_relief(images, tip, generator) + _scan_noise(images, tip, generator))


def _point() -> tuple[np.ndarray, np.ndarray]:
    """No shape: one lobe in the middle."""
    weight = np.zeros(MAX_LOBES)
    weight[0] = 1.0
    return np.zeros((MAX_LOBES, 2)), weight


def _shape(rng, spacing: float, room: float, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Lobes (MAX_LOBES, 2) px around the centre of mass, of width (σ) up to `room`, and their shares."""
    kind = rng.choice(["point", "rod", "disc", "cluster"], p=[0.4, 0.2, 0.2, 0.2])
    if kind == "point":
        return _point()
    angle, t = rng.uniform(0, 2 * np.pi), np.linspace(-1, 1, MAX_LOBES)
    if kind == "rod":
        half = min(0.3 * spacing, 1.7 * room) * rng.uniform(0.4, 1.0)
        lobes = half * t[:, None] * [np.sin(angle), np.cos(angle)]
        return lobes, np.full(MAX_LOBES, 1 / MAX_LOBES)
    if kind == "disc":  # a sunflower, so that the disc is evenly filled
        i = np.arange(MAX_LOBES) + 0.5
        radius = min(0.33 * spacing, 2 * room) * rng.uniform(0.4, 1.0) * np.sqrt(i / MAX_LOBES)
        turn = angle + np.pi * (1 + 5**0.5) * i
        lobes, weight = radius[:, None] * np.stack([np.sin(turn), np.cos(turn)], 1), np.ones(MAX_LOBES)
    else:
        n = int(rng.integers(2, 7))
        turn = angle + 2 * np.pi * np.arange(n) / n + rng.normal(0, 0.3, n)
        radius = min(0.28 * spacing, 1.4 * room, LARGEST_LOBE_DISTANCE / factor) * rng.uniform(0.5, 1.0)
        lobes, weight = np.zeros((MAX_LOBES, 2)), np.zeros(MAX_LOBES)
        lobes[:n] = radius * rng.uniform(0.7, 1.0, n)[:, None] * np.stack([np.sin(turn), np.cos(turn)], 1)
        weight[:n] = rng.uniform(0.5, 1.0, n)
    weight = weight / weight.sum()
    return lobes - weight @ lobes, weight


def _transfer(tip: Tip, shape) -> torch.Tensor:
    """What each spatial frequency (B, H, W // 2 + 1) is multiplied with."""
    device = tip.weight.device
    ky = 2 * torch.pi * torch.fft.fftfreq(shape[-2], device=device)
    kx = 2 * torch.pi * torch.fft.rfftfreq(shape[-1], device=device)

    def phases(yx):
        """Of a shift by `yx` (B, 2): along the rows (B, H, 1) and along the columns (B, 1, W // 2 + 1)."""
        return torch.exp(-1j * ky * yx[:, :1])[:, :, None], torch.exp(-1j * kx * yx[:, 1:])[:, None, :]

    along_y = torch.exp(-1j * ky * tip.lobes_yx[..., :1])  # (B, MAX_LOBES, H)
    along_x = torch.exp(-1j * kx * tip.lobes_yx[..., 1:])
    molecule = (tip.weight[..., None] * along_y).transpose(1, 2) @ along_x
    ghost = tip.ghost[:, None, None]
    ghost_y, ghost_x = phases(tip.ghost_yx)
    double = (1 + ghost * ghost_y * ghost_x) / (1 + ghost)
    slow = 1 / (1 + 1j * kx * tip.slowness[:, None, None])
    centre = tip.ghost_yx * (tip.ghost / (1 + tip.ghost))[:, None]
    centre = centre + torch.stack([torch.zeros_like(tip.slowness), tip.slowness], dim=1)
    back_y, back_x = phases(-centre)
    return molecule * double * slow * back_y * back_x


def _relief(images, tip: Tip, generator) -> torch.Tensor:
    """Tilt, corrugation and a staircase, in heights of an atom."""
    n, h, w = images.shape
    y = torch.linspace(-0.5, 0.5, h, device=images.device)[:, None]
    x = torch.linspace(-0.5, 0.5, w, device=images.device)[None, :]
    slope = tip.tilt_yx[:, 0, None, None] * y + tip.tilt_yx[:, 1, None, None] * x
    waves = torch.stack(
        [noise.smooth_field((1, h, w), float(s), generator, images.device)[0] for s in tip.corrugation_scale]
    )
    draw = torch.rand(n, 2, generator=generator, device=images.device)[..., None, None]
    across = h * (torch.sin(2 * torch.pi * draw[:, 0]) * y + torch.cos(2 * torch.pi * draw[:, 0]) * x)
    offset = (draw[:, 1] - 0.5) * 0.8 * h
    ragged = noise.smooth_field((n, h, w), h / 5, generator, images.device)
    step = torch.tanh((across - offset + 0.02 * h * ragged) / tip.step_width[:, None, None])
    return slope + tip.corrugation[:, None, None] * waves + 0.5 * tip.step_height[:, None, None] * step


def _scan_noise(images, tip: Tip, generator) -> torch.Tensor:
    """Rows off their level, noise that lasts along a line, short bursts; in heights of an atom."""
    n, h, w = images.shape

    def normal(*shape):
        return torch.randn(*shape, generator=generator, device=images.device)

    rows = normal(n, h, 1) * tip.row_noise[:, None, None]
    lasting = F.avg_pool1d(F.pad(normal(n, h, w), (4, 4), mode="replicate"), 9, 1) * 3  # SD 1, over 9 px of a line
    starts = torch.rand(n, 1, h, w, generator=generator, device=images.device) < 8.0 / (h * w)
    burst = F.max_pool2d(F.pad(starts.float(), (6, 0)), (1, 7), 1)[:, 0]
    sign = torch.sign(normal(n, h, 1))
    bursts = burst * (0.5 + normal(n, h, w).abs()) * sign * tip.streaks[:, None, None]
    return rows + lasting * tip.line_noise[:, None, None] + bursts


def _tip_change(images, tip: Tip, generator) -> torch.Tensor:
    """From some row on, another tip: weaker by up to the share `change`, and off the level it had."""
    n, h, _ = images.shape
    start = torch.rand(n, 1, generator=generator, device=images.device) * h
    after = (torch.arange(h, device=images.device)[None, :] >= start).float()[..., None]
    mean = images.mean(dim=(1, 2), keepdim=True)
    spread = images.std(dim=(1, 2), keepdim=True)
    jump = torch.randn(n, 1, 1, generator=generator, device=images.device) * spread
    weaker = (images - mean) * (1 - 0.7 * tip.change[:, None, None]) + mean + jump * tip.change[:, None, None]
    return images + after * (weaker - images)
