"""Augmentation of batches on the device where they are: truth moves with the image, and nothing waits for the host."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from atomnb.errors import AtomnbError
from atomnb.simulate import noise
from atomnb.simulate.batch import Batch

FELT_SIGMA = 1.5
"""Rows over which a column feels the jitter, as a standard deviation in px: labels follow the jitter smoothed by it."""


Effect = tuple[float, float, float]
"""(share, low, high): in that share of the samples the effect is on, with a strength of its own from low to high."""

POSITIVE = ("zoom", "gamma")
"""Effects whose strength is a factor or an exponent: 1 does nothing."""


def _checked(name: str, effect) -> Effect:
    try:
        share, low, high = (float(v) for v in effect)
    except (TypeError, ValueError):
        raise AtomnbError(f"{name} must be (share of the samples, low, high), got {effect!r}.") from None
    if not (0 <= share <= 1 and low <= high and math.isfinite(low) and math.isfinite(high)):
        raise AtomnbError(f"{name} must be (share from 0 to 1, low, high) with low ≤ high, got {effect!r}.")
    if (name in POSITIVE and low <= 0) or (name != "rotation_rad" and low < 0):
        raise AtomnbError(f"{name} must be {'positive' if name in POSITIVE else 'not negative'}, got {effect!r}.")
    return share, low, high


@dataclass(frozen=True)
class AugmentConfig:
    """Which effects, how often and how strong; all are drawn for each sample by itself.

    rotation_rad : angle
    zoom : magnification
    drift_px : the sample's movement during the frame, in any direction
    jitter_px : standard deviation of the rows' shifts
    contamination : height of smooth bright patches, in standard deviations of the image
    blur_px : standard deviation of a Gaussian
    noise : standard deviation of white noise, in standard deviations of the image
    gamma : exponent of the contrast
    cutout_px : side of squares that are wiped out and teach nothing
    cutouts : how many of them
    contamination_scale_px : over which length the patches vary
    """

    rotation_rad: Effect = (0.3, -0.2, 0.2)
    zoom: Effect = (0.3, 0.9, 1.1)
    drift_px: Effect = (0.3, 0.5, 4.0)
    jitter_px: Effect = (0.3, 0.05, 0.3)
    contamination: Effect = (0.2, 0.2, 1.5)
    blur_px: Effect = (0.2, 0.3, 1.0)
    noise: Effect = (0.4, 0.05, 0.6)
    gamma: Effect = (0.3, 0.7, 1.4)
    cutout_px: Effect = (0.2, 8.0, 32.0)
    cutouts: int = 2
    contamination_scale_px: float = 25.0

    def __post_init__(self) -> None:
        for name in EFFECTS:
            object.__setattr__(self, name, _checked(name, getattr(self, name)))
        if self.cutouts < 1 or not self.contamination_scale_px >= 1:
            raise AtomnbError(
                "cutouts must be at least 1 and contamination_scale_px at least 1 px, got "
                f"{self.cutouts} and {self.contamination_scale_px}; switch an effect off by a share of 0."
            )

    def to_dict(self) -> dict[str, Any]:
        """The config as JSON can hold it."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}


EFFECTS = tuple(field.name for field in fields(AugmentConfig) if isinstance(field.default, tuple))
"""Names of the effects."""

NO_EFFECTS = AugmentConfig(**{name: (0.0, 1.0, 1.0) for name in EFFECTS})
"""Everything off; `dataclasses.replace(NO_EFFECTS, noise=(1, 0.1, 0.3))` has noise alone."""


@torch.no_grad()
def augment(batch: Batch, config: AugmentConfig, generator: torch.Generator) -> Batch:
    """The batch seen by microscopes that differ a little more.

    Rotation, zoom, drift and jitter move labels and weights with the image, in one interpolation; what comes into view
    from outside weighs nothing. Labels keep their width under zoom.

    Parameters
    ----------
    batch : Batch
        On any device; not modified.
    config : AugmentConfig
    generator : torch.Generator
        On the same device; the only source of chance.

    Raises
    ------
    AtomnbError
        If the parts of the batch do not fit one another, or the generator is on another device.
    """
    _check(batch, generator)
    moved = _moved(batch, config, generator)
    images = _contaminated(moved.images, config, generator)
    images = _blurred(images, config, generator)
    images = _noisy(images, config, generator)
    images = _bent(images, config, generator)
    return _cut_out(moved._replace(images=images), config, generator)


def augmented(
    batches: Callable[[int], Iterator[Batch]], config: AugmentConfig, *, seed: int, device: str = "cpu"
) -> Callable[[int], Iterator[Batch]]:
    """The batches of `batches(first)` augmented on `device`: number i is the same in every run and after every resume.

    Parameters
    ----------
    batches : as `atomnb.train.loop.fit` takes them
    config : AugmentConfig
    seed : int
    device : where to augment, usually where the network is
    """

    def stream(first: int) -> Iterator[Batch]:
        generator = torch.Generator(device=device)
        for number, batch in enumerate(batches(first), start=first):
            state = np.random.SeedSequence([seed, number]).generate_state(1, np.uint64)
            generator.manual_seed(int(state[0] >> np.uint64(1)))
            yield augment(Batch(*(part.to(device, non_blocking=True) for part in batch)), config, generator)

    return stream


def _drawn(config: AugmentConfig, name: str, images: torch.Tensor, generator) -> torch.Tensor:
    """The strength (B,) of an effect in each sample; where it is off, the one that does nothing."""
    share, low, high = getattr(config, name)
    on, at = torch.rand(2, len(images), generator=generator, device=images.device)
    if name in POSITIVE:
        return torch.where(on < share, torch.exp(math.log(low) + at * math.log(high / low)), 1.0)
    return torch.where(on < share, low + at * (high - low), 0.0)


def _moved(batch: Batch, config: AugmentConfig, generator) -> Batch:
    geometric = ("rotation_rad", "zoom", "drift_px", "jitter_px")
    if not any(getattr(config, name)[0] for name in geometric):
        return batch
    angle, zoom, drift, size = (_drawn(config, name, batch.images, generator) for name in geometric)
    n, height, _ = batch.images.shape
    device = batch.images.device
    direction = 2 * math.pi * torch.rand(n, generator=generator, device=device)
    jitter = size[:, None] * torch.randn(n, height, generator=generator, device=device)
    drift_yx = drift[:, None] * torch.stack([torch.sin(direction), torch.cos(direction)], dim=1)
    shape = batch.images.shape[1:]
    seen = _grid(shape, angle, zoom, drift_yx, jitter)
    truth = _grid(shape, angle, zoom, drift_yx, _smooth_rows(jitter)) if config.jitter_px[0] else seen
    images = _sampled(batch.images[:, None], seen, mode="bicubic", padding_mode="reflection")[:, 0]
    labels = _sampled(batch.labels, truth, mode="bicubic", padding_mode="zeros").clamp(0, 1)
    weights = _sampled(batch.weights[:, None], truth, mode="bilinear", padding_mode="zeros")[:, 0]
    # A Gaussian of height 1, z times as wide, to the power z² has its old width again.
    return Batch(images, labels ** (zoom**2)[:, None, None, None], weights)


def _grid(shape, angle, zoom, drift_yx, row_shift) -> torch.Tensor:
    """Where each pixel of the result looks in the batch: (B, H, W, 2), x before y, in the units of grid_sample."""
    height, width = shape
    y = torch.arange(height, device=angle.device, dtype=torch.float32)[None, :, None]
    x = torch.arange(width, device=angle.device, dtype=torch.float32)[None, None, :]
    time = (y + x / width) / height - 0.5
    across_y = y - 0.5 * (height - 1) - drift_yx[:, 0, None, None] * time
    across_x = x - 0.5 * (width - 1) - drift_yx[:, 1, None, None] * time - row_shift[..., None]
    c, s = ((f(angle) / zoom)[:, None, None] for f in (torch.cos, torch.sin))
    right, down = s * across_y + c * across_x, c * across_y - s * across_x
    return torch.stack([right * (2 / width), down * (2 / height)], dim=-1)


def _sampled(maps: torch.Tensor, grid: torch.Tensor, *, mode: str, padding_mode: str) -> torch.Tensor:
    return F.grid_sample(maps, grid, mode=mode, padding_mode=padding_mode, align_corners=False)


def _smooth_rows(shift: torch.Tensor) -> torch.Tensor:
    """Shifts (B, H) averaged over the rows that a column spans."""
    reach = math.ceil(3 * FELT_SIGMA)
    x = torch.arange(-reach, reach + 1, device=shift.device, dtype=shift.dtype)
    kernel = torch.softmax(-0.5 * (x / FELT_SIGMA) ** 2, dim=0)
    return F.conv1d(F.pad(shift[:, None], (reach, reach), mode="replicate"), kernel[None, None])[:, 0]


def _spread(images: torch.Tensor) -> torch.Tensor:
    return images.std(dim=(1, 2), keepdim=True)


def _contaminated(images: torch.Tensor, config: AugmentConfig, generator) -> torch.Tensor:
    if not config.contamination[0]:
        return images
    strength = _drawn(config, "contamination", images, generator)
    field = noise.smooth_field(tuple(images.shape), config.contamination_scale_px, generator, images.device)
    return images + strength[:, None, None] * _spread(images) * (field - 0.3).clamp(min=0)


def _blurred(images: torch.Tensor, config: AugmentConfig, generator) -> torch.Tensor:
    if not config.blur_px[0]:
        return images
    sigma = _drawn(config, "blur_px", images, generator).clamp(min=0.05)
    reach = max(1, math.ceil(3 * config.blur_px[2]))
    x = torch.arange(-reach, reach + 1, device=images.device, dtype=images.dtype)
    kernel = torch.softmax(-0.5 * (x / sigma[:, None]) ** 2, dim=1)[:, None]
    padded = F.pad(images[None], (reach,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel[..., None], groups=len(images))
    return F.conv2d(rows, kernel[:, :, None], groups=len(images))[0]


def _noisy(images: torch.Tensor, config: AugmentConfig, generator) -> torch.Tensor:
    if not config.noise[0]:
        return images
    strength = _drawn(config, "noise", images, generator)
    white = torch.randn(images.shape, generator=generator, device=images.device)
    return images + strength[:, None, None] * _spread(images) * white


def _bent(images: torch.Tensor, config: AugmentConfig, generator) -> torch.Tensor:
    if not config.gamma[0]:
        return images
    gamma = _drawn(config, "gamma", images, generator)
    low, high = images.amin(dim=(1, 2), keepdim=True), images.amax(dim=(1, 2), keepdim=True)
    span = (high - low).clamp(min=1e-9)
    return low + span * ((images - low) / span) ** gamma[:, None, None]


def _cut_out(batch: Batch, config: AugmentConfig, generator) -> Batch:
    if not config.cutout_px[0]:
        return batch
    n, height, width = batch.images.shape
    device = batch.images.device
    side = _drawn(config, "cutout_px", batch.images, generator)
    middle = torch.rand(2, n, config.cutouts, generator=generator, device=device)
    inside = [
        (torch.arange(length, device=device) + 0.5 - length * at[..., None]).abs() < 0.5 * side[:, None, None]
        for length, at in zip((height, width), middle, strict=True)
    ]
    gone = (inside[0][..., None] & inside[1][..., None, :]).any(dim=1)
    mean = batch.images.mean(dim=(1, 2), keepdim=True)
    return Batch(torch.where(gone, mean, batch.images), batch.labels, batch.weights.masked_fill(gone, 0.0))


def _check(batch: Batch, generator: torch.Generator) -> None:
    images, labels, weights = batch
    if images.ndim != 3 or labels.ndim != 4 or weights.shape != images.shape or labels[:, 0].shape != images.shape:
        raise AtomnbError(
            "a batch holds images and weights (B, H, W) and labels (B, K, H, W), got "
            f"{tuple(images.shape)}, {tuple(weights.shape)} and {tuple(labels.shape)}."
        )
    if generator.device.type != images.device.type:
        raise AtomnbError(
            f"the generator is on {generator.device.type}, the batch on {images.device.type}: make the generator with "
            f"torch.Generator(device={images.device.type!r})."
        )
