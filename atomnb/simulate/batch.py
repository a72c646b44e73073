"""Training batches: layouts of atoms seen by microscopes of all kinds, with soft labels."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from atomnb.simulate import noise, render, stm_tip
from atomnb.simulate.layout import Layout, SceneConfig
from atomnb.simulate.materials import draw_layout, label_names
from atomnb.simulate.visible import visible


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


class Columns(NamedTuple):
    """The columns of one sample on its image; lengths in px of it."""

    positions_yx: torch.Tensor  # (N, 2)
    amplitude: torch.Tensor  # (N,), 0 where a site is empty
    label: torch.Tensor  # (N,), -1 for those of no class
    hop_yx: torch.Tensor | None  # (N, 2), how far off each is in the rows in which it has hopped
    spacing: float
    sigma: float


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
    samples = [_columns_of(layout, config.size, factor, device) for layout in layouts]
    spacing = torch.tensor([x.spacing for x in samples], device=device)
    stm = np.flatnonzero([x.by_tip for x in layouts])
    if len(stm):
        optics = stm_tip.without_beam(optics, stm, rng)
        sigma = np.array([x.sigma for x in samples], np.float32)
        tip = stm_tip.random_tip(rng, spacing[stm].cpu().numpy(), sigma[stm], factor=factor, device=device)
    expected, columns_only = _expected_counts(samples, optics, native, generator)
    if len(stm):
        expected[stm] = stm_tip.see_through_tip(expected[stm], tip)
        columns_only[stm] = stm_tip.see_through_tip(columns_only[stm], tip)
    moved = noise.shift_rows(expected, optics.row_shift)
    exposed = _exposed(rng, moved, optics)
    images = _counted(exposed, optics, generator)
    if len(stm):  # before the detector bends the contrast, after which a height in counts means nothing
        height = torch.stack([_height(samples[i], columns_only[i], optics.counts[i]) for i in stm])
        images[stm] = stm_tip.add_stm_artifacts(images[stm], height, tip, generator)
    images = _detected(rng, images, config, generator)
    if native != config.size:
        images = F.interpolate(images[:, None], size=(config.size,) * 2, mode="bicubic", antialias=True)[:, 0]
    views = (noise.shift_rows(columns_only, optics.row_shift), moved, exposed)
    taught = [_taught(sample, i, views, optics, factor, config) for i, sample in enumerate(samples)]
    return Batch(images, *(torch.stack(part) for part in zip(*taught, strict=True)))


def _columns_of(layout: Layout, size: int, factor: float, device) -> Columns:
    """The layout's columns on an image whose pixels measure `factor` px of the network's input of `size`."""

    def here(values):
        return torch.as_tensor(values, dtype=torch.float32, device=device)

    return Columns(
        positions_yx=(here(layout.positions_yx) + size / 2) / factor - 0.5,
        amplitude=here(layout.amplitude),
        label=torch.as_tensor(layout.label, device=device),
        hop_yx=None if layout.hop_yx is None else here(layout.hop_yx) / factor,
        spacing=layout.spacing / factor,
        sigma=layout.sigma / factor,
    )


def _height(sample: Columns, seen: torch.Tensor, counts: torch.Tensor) -> torch.Tensor:
    """Height of the weaker atoms of one sample, seen (H, W) through the tip."""
    peak = counts / (2 * torch.pi * sample.sigma**2)
    if not len(sample.amplitude):
        return peak
    spacing = torch.tensor([sample.spacing], device=seen.device)
    return stm_tip.typical_height(seen[None], sample.positions_yx[None], spacing, otherwise=peak[None])[0]


def _taught(sample: Columns, i: int, views, optics: Optics, factor: float, config: SceneConfig):
    """Soft labels (K, H, W) and weights (H, W) of sample `i`, on the network's pixels.

    `views` are images (B, H, W) of the columns alone, of all that is expected, and of what reaches the detector.
    """
    yx = sample.positions_yx.clone()
    yx[:, 1] += _shift_at(optics.row_shift[i], yx[:, 0], sample.sigma)
    seen = visible(*(v[i] for v in views), yx, sample.amplitude, sample.spacing, shoulders=config.shoulders)
    there = sample.amplitude > 0
    in_texture = sample.amplitude < config.visible_over_texture * optics.texture[i]
    seen = torch.where(in_texture, -there.float(), seen)
    yx[:, 1] += noise.dwell_lag(optics.dwell_decay[i : i + 1])
    yx = (yx + 0.5) * factor - 0.5
    shape = (config.size, config.size)
    kinds = torch.arange(len(label_names(config)), device=yx.device)[:, None]
    of_kind = ((seen > 0) | (~there & (sample.label >= 0))) & (sample.label == kinds)
    labels = render.render_heatmaps(yx[None], of_kind.float()[None], shape, sigma=render.LABEL_SIGMA)[0]
    doubtful = _discs(yx[(seen <= 0) & there], 0.3 * sample.spacing * factor, shape) > 0.5
    return labels, 1 - doubtful.float() * (labels.sum(dim=0) < 0.05).float()


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


def _expected_counts(samples: list[Columns], optics: Optics, size: int, generator):
    """Expected counts (B, H, W) with everything, and of the columns alone, none of which has hopped."""
    shape, device = (size, size), optics.counts.device
    at_home = torch.stack([_seen(x, x.positions_yx, optics, i, shape) for i, x in enumerate(samples)])
    columns = at_home.clone()
    for i, sample in enumerate(samples):
        if sample.hop_yx is not None and optics.hopped[i].any():
            away = _seen(sample, sample.positions_yx + sample.hop_yx, optics, i, shape)
            columns[i] = torch.where(optics.hopped[i][:, None], away, at_home[i])
    sigma = torch.tensor([x.sigma for x in samples], device=device)
    peak = optics.counts / (2 * torch.pi * sigma**2)
    slow = noise.smooth_field((len(samples), *shape), size / 3, generator, device)
    level = optics.background[:, None, None] * (1 + 0.15 * slow).clamp(min=0)
    for i in torch.nonzero(optics.contamination)[:, 0]:
        dirt = noise.smooth_field((1, *shape), size / 5, generator, device)[0]
        level[i] += optics.contamination[i] * (dirt - 0.3).clamp(min=0)
    for i in torch.nonzero(optics.texture)[:, 0]:
        grain = noise.smooth_field((1, *shape), float(optics.texture_scale[i]), generator, device)[0]
        level[i] = (level[i] + optics.texture[i] * (grain + 1.5)).clamp(min=0)
    thickness = (1 + 0.2 * slow).clamp(min=0.2)
    return columns * thickness + peak[:, None, None] * level, at_home


def _seen(sample: Columns, at: torch.Tensor, optics: Optics, i: int, shape) -> torch.Tensor:
    """(H, W) counts of the columns of sample `i` when they are `at` (N, 2) px."""
    one = slice(i, i + 1)
    intensity = (sample.amplitude * optics.counts[i])[None]
    return render.render_probe(
        at[None], intensity, torch.full_like(intensity, sample.sigma), shape,
        tail_share=optics.tail_share[one], tail_width=optics.tail_width[one], stretch_yx=optics.stretch_yx[one],
    )[0]  # fmt: skip


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
        return torch.tensor(rng.random(n) < probability, device=device)

    spread = images.std(dim=(1, 2), keepdim=True)
    white = torch.randn(images.shape, generator=generator, device=device)
    images = images + white * spread * (draw(0, 0.5) * chosen(0.25))[:, None, None]
    rows = torch.randn(n, images.shape[1], 1, generator=generator, device=device)
    images = images + rows * spread * (draw(0, 0.25) * chosen(0.2))[:, None, None]
    if rng.random() < 0.12:
        images = noise.gaussian_blur(images, float(rng.uniform(0.4, 1.4)))
    images = _some(images, chosen(0.2), noise.clip_quantiles, draw(0, 0.1), 1 - draw(0, 0.03))
    images = _some(images, chosen(config.share_bent), _bent, spread * 6, draw(0.55, 1.5))
    return _some(images, chosen(0.3), noise.quantize, draw(24, 255).round())


def _some(images: torch.Tensor, chosen: torch.Tensor, change, *settings: torch.Tensor) -> torch.Tensor:
    """`images` (B, H, W), those `chosen` (B,) changed by `change(images, *settings)`; settings have B entries each."""
    if chosen.any():
        images = images.clone()
        images[chosen] = change(images[chosen], *(setting[chosen] for setting in settings))
    return images


def _bent(images: torch.Tensor, span: torch.Tensor, gamma: torch.Tensor) -> torch.Tensor:
    """(B, H, W) above their minimum, in units of `span` (B, 1, 1), to the power of `gamma` (B,)."""
    above = images - images.amin(dim=(1, 2), keepdim=True)
    return (above / span.clamp(min=1e-6)) ** gamma[:, None, None]


def _shift_at(row_shift, rows, sigma: float) -> torch.Tensor:
    """The shift (N,) columns at `rows` (N,) feel: that of each row (H,) they span, weighted by their profile."""
    y = torch.arange(len(row_shift), device=rows.device, dtype=rows.dtype)
    weight = render.bell((rows[:, None].clamp(0, len(y) - 1) - y) / max(sigma, 0.7))
    return (weight @ row_shift) / weight.sum(dim=1)


def _discs(yx, radius: float, shape) -> torch.Tensor:
    """(H, W) > 0.5 within `radius` of a position (N, 2)."""
    width = radius / 1.18
    grid = [torch.arange(n, device=yx.device, dtype=yx.dtype) for n in shape]
    rows, columns = (render.bell((grid[axis] - yx[:, axis, None]) / width) for axis in (0, 1))
    return rows.T @ columns
