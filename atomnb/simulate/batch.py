"""Training batches: layouts of atoms seen by microscopes of all kinds, with soft labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from atomnb.simulate import noise, render, stm_tip
from atomnb.simulate.layout import Layout, SceneConfig
from atomnb.simulate.materials import draw_layout, label_names

VISIBLE_SNR = 3.0
"""Columns below this signal-to-noise ratio teach neither 'atom' nor 'no atom'."""


SHOULDER_CONTRAST, SHOULDER_REACH = 1.5, 1.6
"""How much brighter, and within how many spacings, a column is that may leave another no peak of its own."""


class Batch(NamedTuple):
    """A training batch, all float32: images and weights (B, H, W), soft labels (B, K, H, W) of the classes after the
    background."""

    images: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor


class Optics(NamedTuple):
    """Per-sample settings of a batch, each (B,) unless noted; drawn once, so that truth and image agree."""

    counts: torch.Tensor
    background: torch.Tensor
    tail_share: torch.Tensor
    tail_width: torch.Tensor
    stretch_yx: torch.Tensor  # (B, 2)
    texture: torch.Tensor
    texture_scale: torch.Tensor
    contamination: torch.Tensor
    inverted: torch.Tensor
    dwell_decay: torch.Tensor
    row_shift: torch.Tensor  # (B, H)
    hopped: torch.Tensor  # (B, H) bool, rows in which atoms that hop are away


def random_batch(rng: np.random.Generator, n: int, config: SceneConfig, *, device: str = "cpu") -> Batch:
    """`n` labelled images as the network will see them, before normalisation.

    Images are simulated on pixels of their own size and brought to the network's with the resampling that
    inference uses, so that the noise has the correlations of real, resampled frames.
    """
    factor = 1.0 if rng.random() < 0.45 else float(np.exp(rng.uniform(*np.log(config.resample))))
    native = round(config.size / factor)
    factor = config.size / native
    layouts = [draw_layout(rng, config) for _ in range(n)]
    generator = torch.Generator(device=device).manual_seed(int(rng.integers(2**62)))
    optics = _random_optics(rng, layouts, native, config, device)
    positions, amplitude, label = _padded(layouts, device)
    centre = (config.size - 1) / 2
    scaled = (positions + centre + 0.5) / factor - 0.5
    sigma = torch.tensor([x.sigma for x in layouts], device=device, dtype=torch.float32) / factor
    spacing = torch.tensor([x.spacing for x in layouts], device=device, dtype=torch.float32) / factor
    stm = np.flatnonzero([x.by_tip for x in layouts])
    if len(stm):
        optics = stm_tip.without_beam(optics, stm, rng)
        tip = stm_tip.random_tip(
            rng, spacing[stm].cpu().numpy(), sigma[stm].cpu().numpy(), factor=factor, device=device
        )
    hop = _padded_hops(layouts, positions) / factor
    expected, columns_only = _expected_counts(scaled, hop, amplitude, sigma, optics, native, generator)
    if len(stm):
        expected[stm] = stm_tip.see_through_tip(expected[stm], tip)
        columns_only[stm] = stm_tip.see_through_tip(columns_only[stm], tip)
    moved = noise.shift_rows(expected, optics.row_shift)
    exposed = _exposed(rng, moved, optics)
    images = _counted(exposed, optics, generator)
    if len(stm):  # before the detector bends the contrast, after which a height in counts means nothing
        peak = (optics.counts / (2 * torch.pi * sigma**2))[stm]
        height = stm_tip.typical_height(columns_only[stm], scaled[stm], spacing[stm], otherwise=peak)
        images[stm] = stm_tip.add_stm_artifacts(images[stm], height, tip, generator)
    images = _detected(rng, images, config, generator)
    truth = scaled.clone()
    truth[..., 1] += _shift_at(optics.row_shift, scaled[..., 0], sigma)
    signal = noise.shift_rows(columns_only, optics.row_shift)
    visible = _visible(signal, moved, exposed, truth, amplitude, spacing, shoulders=config.shoulders)
    visible = torch.where(
        amplitude < config.visible_over_texture * optics.texture[:, None], -(amplitude > 0).float(), visible
    )
    if native != config.size:
        images = F.interpolate(images[:, None], size=(config.size,) * 2, mode="bicubic", antialias=True)[:, 0]
    truth[..., 1] += noise.dwell_lag(optics.dwell_decay)[:, None]
    final = (truth + 0.5) * factor - 0.5
    shape = (config.size, config.size)
    shown = (visible > 0) | ((amplitude == 0) & (label >= 0))
    kinds = torch.arange(len(label_names(config)), device=device)[:, None]
    of_kind = (shown[:, None] & (label[:, None] == kinds)).float()
    labels = render.render_heatmaps(final, of_kind, shape, sigma=render.LABEL_SIGMA)
    doubtful = ((visible <= 0) & (amplitude > 0)).float()
    reach = 0.3 * spacing * factor
    weights = 1 - (_discs(final, doubtful, reach, shape) > 0.5).float() * (labels.sum(dim=1) < 0.05).float()
    return Batch(images, labels, weights)


def _padded(layouts: list[Layout], device) -> list[torch.Tensor]:
    """Positions, amplitudes and labels of all layouts; padding lies far outside, is empty and of no class."""
    longest = max(1, *(len(x.amplitude) for x in layouts))
    positions = np.full((len(layouts), longest, 2), -1e3, np.float32)
    amplitude = np.zeros((len(layouts), longest), np.float32)
    label = np.full((len(layouts), longest), -1)
    for i, layout in enumerate(layouts):
        filled = slice(len(layout.amplitude))
        positions[i, filled], amplitude[i, filled] = layout.positions_yx, layout.amplitude
        label[i, filled] = layout.label
    return [torch.from_numpy(part).to(device) for part in (positions, amplitude, label)]


def _padded_hops(layouts: list[Layout], positions: torch.Tensor) -> torch.Tensor:
    """Displacement (B, N, 2) px of every atom in the rows in which it has hopped; 0 for those that stay."""
    hop = torch.zeros_like(positions)
    for i, layout in enumerate(layouts):
        if layout.hop_yx is not None:
            hop[i, : len(layout.hop_yx)] = torch.as_tensor(layout.hop_yx, dtype=hop.dtype, device=hop.device)
    return hop


def _hopped_rows(rng, layouts: list[Layout], size: int) -> np.ndarray:
    """Rows (B, size), in runs of a few, in which the atoms of a layout that hop are elsewhere."""
    rows = np.zeros((len(layouts), size), bool)
    for i, layout in enumerate(layouts):
        if layout.hop_yx is not None:
            share, run = rng.uniform(0.05, 0.4), rng.uniform(1, 4)
            starts = rng.random(size) < share / run
            for start in np.flatnonzero(starts):
                rows[i, start : start + max(1, rng.poisson(run))] = True
    return rows


def _random_optics(rng, layouts: list[Layout], size: int, config: SceneConfig, device) -> Optics:
    n = len(layouts)
    sparse = np.array([x.sparse for x in layouts])
    sigma = np.array([x.sigma for x in layouts])

    def sometimes(probability, low, high):
        return np.where(rng.random(n) < probability, rng.uniform(low, high, n), 0.0)

    background = np.where(rng.random(n) < 0.55, rng.uniform(0, 0.3, n), rng.uniform(0.2, 2.5, n))
    texture = np.where(sparse, rng.uniform(0.03, 0.35, n), sometimes(0.25, 0.0, 0.2))
    angle, length = rng.uniform(0, np.pi, n), sometimes(0.35, 0.0, 0.45) * sigma
    jitter = np.abs(rng.normal(0, 0.16, n)) * (rng.random(n) < 0.8)
    shift = rng.normal(0, 1, (n, size)) * jitter[:, None] + np.cumsum(rng.normal(0, 0.02, (n, size)), axis=1)
    jumps = (rng.random((n, size)) < 0.01) & (rng.random(n) < 0.1)[:, None]
    shift += np.cumsum(jumps * rng.normal(0, 1.5, (n, size)), axis=1)
    shift -= shift.mean(axis=1, keepdims=True)
    hopped = torch.tensor(_hopped_rows(rng, layouts, size), device=device)
    values = dict(
        counts=np.where(
            rng.random(n) < config.share_low_dose,
            np.exp(rng.uniform(*np.log(config.low_dose), n)),
            np.exp(rng.uniform(*np.log(config.counts_per_column), n)),
        ),
        background=background,
        tail_share=sometimes(0.7, 0.0, 0.35),
        tail_width=rng.uniform(1.6, 3.2, n),
        stretch_yx=np.stack([np.sin(angle), np.cos(angle)], 1) * length[:, None],
        texture=texture,
        texture_scale=sigma * rng.uniform(1.0, 3.5, n),
        contamination=sometimes(0.25, 0.0, 2.0),
        inverted=(rng.random(n) < config.share_inverted).astype(float),
        dwell_decay=sometimes(0.15, 0.0, 0.55),
        row_shift=shift,
    )
    values = {k: torch.tensor(v, dtype=torch.float32, device=device) for k, v in values.items()}
    return Optics(**values, hopped=hopped)


def _expected_counts(positions, hop, amplitude, sigma, optics: Optics, size: int, generator):
    """Expected counts (B, H, W) with everything, and of the columns alone, none of which has hopped."""
    shape = (size, size)
    width = sigma[:, None].expand_as(amplitude)

    def seen(which, at):
        return render.render_probe(
            at[which], (amplitude * optics.counts[:, None])[which], width[which], shape,
            tail_share=optics.tail_share[which], tail_width=optics.tail_width[which],
            stretch_yx=optics.stretch_yx[which],
        )  # fmt: skip

    at_home = columns = seen(slice(None), positions)
    hopping = torch.nonzero(optics.hopped.any(dim=1))[:, 0]
    if len(hopping):
        away = seen(hopping, positions + hop)
        columns = at_home.clone()
        columns[hopping] = torch.where(optics.hopped[hopping][:, :, None], away, at_home[hopping])
    peak = optics.counts / (2 * torch.pi * sigma**2)
    batch = (len(amplitude), *shape)
    slow = noise.smooth_field(batch, size / 3, generator, amplitude.device)
    level = optics.background[:, None, None] * (1 + 0.15 * slow).clamp(min=0)
    dirt = noise.smooth_field(batch, size / 5, generator, amplitude.device)
    level = level + optics.contamination[:, None, None] * (dirt - 0.3).clamp(min=0)
    grain = torch.stack(
        [noise.smooth_field((1, *shape), float(s), generator, amplitude.device)[0] for s in optics.texture_scale]
    )
    level = (level + optics.texture[:, None, None] * (grain + 1.5)).clamp(min=0)
    thickness = (1 + 0.2 * slow).clamp(min=0.2)
    return columns * thickness + peak[:, None, None] * level, at_home


def _exposed(rng, expected: torch.Tensor, optics: Optics) -> torch.Tensor:
    """Counts that reach the detector: in inverted contrast (BF, ABF) atoms take away from a bright background."""
    headroom = torch.tensor(rng.uniform(1.0, 1.8, len(expected)), dtype=torch.float32, device=expected.device)
    ceiling = expected.amax(dim=(1, 2), keepdim=True) * headroom[:, None, None]
    return torch.where(optics.inverted[:, None, None] > 0, ceiling - expected, expected)


def _counted(exposed: torch.Tensor, optics: Optics, generator) -> torch.Tensor:
    """Counts as measured, turned so that atoms are bright, with the detector's afterglow."""
    images = noise.shot_noise(exposed, generator)
    images = torch.where(optics.inverted[:, None, None] > 0, -images, images)
    return noise.dwell_tail(images, optics.dwell_decay)


def _detected(rng, images: torch.Tensor, config: SceneConfig, generator) -> torch.Tensor:
    """What the detector's electronics and the software made of the counts."""
    n, device = len(images), images.device

    def draw(low, high):
        return torch.tensor(rng.uniform(low, high, n), dtype=torch.float32, device=device)

    def chosen(probability):
        return torch.tensor(rng.random(n) < probability, device=device)[:, None, None]

    spread = images.std(dim=(1, 2), keepdim=True)
    white = torch.randn(images.shape, generator=generator, device=device)
    images = images + white * spread * (draw(0, 0.5)[:, None, None] * chosen(0.25))
    rows = torch.randn(n, images.shape[1], 1, generator=generator, device=device)
    images = images + rows * spread * (draw(0, 0.25)[:, None, None] * chosen(0.2))
    if rng.random() < 0.12:
        images = gaussian_blur(images, float(rng.uniform(0.4, 1.4)))
    images = torch.where(chosen(0.2), noise.clip_quantiles(images, draw(0, 0.1), 1 - draw(0, 0.03)), images)
    bent = (images - images.amin(dim=(1, 2), keepdim=True)) / (spread * 6).clamp(min=1e-6)
    images = torch.where(chosen(config.share_bent), bent ** draw(0.55, 1.5)[:, None, None], images)
    return torch.where(chosen(0.3), noise.quantize(images, draw(24, 255).round()), images)


def gaussian_blur(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """(B, H, W) blurred by a Gaussian of `sigma` px, edges mirrored."""
    radius = max(1, round(3 * sigma))
    x = torch.arange(-radius, radius + 1, device=images.device, dtype=images.dtype)
    kernel = torch.exp(-0.5 * (x / sigma) ** 2)
    kernel = kernel / kernel.sum()
    padded = F.pad(images[:, None], (radius,) * 4, mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel[None, None, None]), kernel[None, None, :, None])[:, 0]


def _shift_at(row_shift, rows, sigma):
    """The row shift a column feels: averaged over the rows it spans, weighted by its profile."""
    y = torch.arange(row_shift.shape[1], device=rows.device, dtype=rows.dtype)
    width = sigma[:, None, None].clamp(min=0.7)
    weight = render.bell((rows[..., None].clamp(0, len(y) - 1) - y) / width)
    return (weight * row_shift[:, None]).sum(-1) / weight.sum(-1)


def _visible(columns, total, exposed, positions, amplitude, spacing, *, shoulders: bool):
    """+1 where a column can be seen in this exposure, -1 where it cannot: by signal, noise and a peak of its own, or,
    with `shoulders`, one of a brighter column beside it."""
    verdicts = []
    for image, signal_only, seen_by, yx, weight, d in zip(
        total, columns, exposed, positions, amplitude, spacing, strict=True
    ):
        radius = max(1, round(0.3 * float(d)))
        offset = torch.arange(-radius, radius + 1, device=image.device)
        disc = ((offset[:, None] ** 2 + offset**2) <= radius * radius).float()
        smooth = gaussian_blur(image[None], max(0.5, 0.1 * float(d)))[0]
        both = F.pad(torch.stack([image, seen_by])[:, None], (radius,) * 4, mode="reflect")
        inside, counted = F.conv2d(both, disc[None, None])[:, 0]
        reach = max(1, round(0.75 * float(d)))
        floor = -_running_max(-smooth, reach) * disc.sum()
        snr = (inside - floor) / counted.clamp(min=1e-6).sqrt()
        index = yx.round().long()
        within = ((index >= 0) & (index < image.shape[0])).all(dim=1)
        index = index.clamp(0, image.shape[0] - 1)
        peak = (signal_only == _running_max(signal_only, 1)) & (signal_only > 0)
        own = _running_max(peak.float(), max(1, radius // 2))[index[:, 0], index[:, 1]] > 0
        if shoulders:
            own |= _beside_brighter(yx, weight, own, SHOULDER_REACH * d)
        seen = (snr[index[:, 0], index[:, 1]] >= VISIBLE_SNR) & own
        verdicts.append(torch.where(seen | ~within, 1.0, -1.0) * (weight > 0))
    return torch.stack(verdicts)


def _beside_brighter(yx, weight, own, reach) -> torch.Tensor:
    """(N,) whether a column lies within `reach` of one SHOULDER_CONTRAST times brighter that has a peak of its own."""
    brighter = (weight[None] > SHOULDER_CONTRAST * weight[:, None]) & own[None]
    return ((torch.cdist(yx, yx) < reach) & brighter).any(dim=1)


def _running_max(image: torch.Tensor, reach: int) -> torch.Tensor:
    """Maximum of (H, W) in a square of side 2 reach + 1; along one axis at a time, which is far cheaper."""
    rows = F.max_pool2d(image[None, None], (2 * reach + 1, 1), 1, (reach, 0))
    return F.max_pool2d(rows, (1, 2 * reach + 1), 1, (0, reach))[0, 0]


def _discs(positions, present, radius, shape):
    """(B, H, W) > 0.5 within `radius` (B,) of a present position."""
    width = (radius[:, None] / 1.18).expand_as(present)
    grid = [torch.arange(n, device=present.device, dtype=present.dtype) for n in shape]
    rows, columns = (render.bell((grid[a] - positions[..., a, None]) / width[..., None]) for a in (0, 1))
    return torch.bmm((rows * present[..., None]).transpose(1, 2), columns)
