"""Label-free adaptation: one frame of a movie labels itself, and a small network learns its defects for the others."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np

from atomnb.data.labelled_scene import IGNORED_CLASS, LabelledScene
from atomnb.errors import ImageError
from atomnb.nets.checkpoint import Model, ModelCard
from atomnb.nets.registry import create_net, describe_net
from atomnb.simulate.batch import Batch
from atomnb.train.augment import NO_EFFECTS, AugmentConfig, augmented
from atomnb.train.finetune import turned
from atomnb.train.from_set import CropConfig, batch_of, random_crop
from atomnb.train.loop import TrainConfig, fit
from atomnb.train.losses import focal_cross_entropy
from atomnb.train.residual import BORDER, Defects, find_defects, remove_lattice

PERIOD_PX = 8.0
"""Distance of the lattice planes in the network's input, px."""

DOUBT = 0.75
"""Extremes between this share of the threshold and the threshold teach neither 'defect' nor 'none'."""

LEAST = 4
"""Fewer defects in the frame teach nothing."""


def _mild() -> AugmentConfig:
    """The frames of one movie differ in drift, noise and focus, hardly in scale."""
    return AugmentConfig(
        **{name: getattr(NO_EFFECTS, name) for name in ("gamma", "cutout_px", "contamination", "blur_px")},
        noise=(0.5, 0.05, 0.3),
    )


@dataclass(frozen=True)
class AdaptConfig:
    """How to adapt; the defaults take a few minutes on two cores.

    threshold : least height of a defect in the residual, robust standard deviations
    classes : most kinds of defects, missing and added ones together
    size : side of the crops, px of the network's input
    """

    threshold: float = 5.0
    classes: int = 4
    steps: int = 300
    batch_size: int = 8
    learning_rate: float = 3e-3
    size: int = 96
    widths: tuple[int, ...] = (16, 24, 32)
    augment: AugmentConfig = field(default_factory=_mild)
    seed: int = 0


class Adapted(NamedTuple):
    """A network for the defects of one movie.

    model : classes 'background', then 'missing', 'missing-2', …, 'added', …, those that occur
    zoom : magnification at which it wants the movie's frames
    labels : the defects that the frame told of itself
    """

    model: Model
    zoom: float
    labels: Defects


def adapt(
    image: np.ndarray,
    *,
    name: str = "adapted",
    config: AdaptConfig | None = None,
    device: str = "cpu",
    on_log: Callable[[dict], None] | None = None,
) -> Adapted:
    """Learn the defects of a crystal from one of its frames, without labels.

    What remains when the lattice is taken out of the spectrum is where the crystal is not perfect; its extremes, sorted
    into kinds that lattice symmetry does not tell apart, label the frame, and a small U-Net learns from its crops.

    Parameters
    ----------
    image : (H, W) one frame, atoms bright; choose one with many defects and little noise
    on_log : as in `atomnb.train.loop.fit`

    Raises
    ------
    ImageError
        If no lattice stands out, or the frame has too few defects to learn from.

    Examples
    --------
    >>> adapted = adapt(movie[0])  # doctest: +SKIP
    >>> maps = predict_probability(movie[7], adapted.model, zoom=adapted.zoom)  # doctest: +SKIP
    >>> find_peaks(maps[1]).positions_yx / adapted.zoom  # doctest: +SKIP
    """
    config = config or AdaptConfig()
    residual = remove_lattice(image)
    labels = find_defects(residual, threshold=config.threshold, classes=config.classes)
    if len(labels.height) < LEAST:
        raise ImageError(
            f"only {len(labels.height)} defects stand out of this frame, at least {LEAST} are needed: choose a frame "
            f"with more, average a few frames, or lower the threshold ({config.threshold:g})."
        )
    names = _names(labels)
    doubtful = find_defects(residual, threshold=DOUBT * config.threshold, classes=1)
    scene = _scene(image, labels, doubtful, residual.period, names)
    crop = CropConfig(size=config.size, pixel_size=residual.period / PERIOD_PX, zoom=(0.95, 1.05))
    random_crop(scene, crop, np.random.default_rng(config.seed))  # what cannot be cropped is told at once

    def batches(first: int) -> Iterator[Batch]:
        while True:
            rng = np.random.default_rng([config.seed, first])
            batch = batch_of([random_crop(scene, crop, rng) for _ in range(config.batch_size)], len(names))
            yield turned(batch, quarters=int(rng.integers(4)), flip=bool(rng.integers(2)))
            first += 1

    net = create_net("unet", {"n_classes": len(names) + 1, "widths": config.widths}, seed=config.seed)
    plan = TrainConfig(
        steps=config.steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=min(20, config.steps // 5),
        decay_share=0.5,
        ema_decay=0.98,
        log_steps=min(10, config.steps),
        seed=config.seed,
    )
    stream = augmented(batches, config.augment, seed=config.seed, device=device)
    trained = fit(net, stream, config=plan, loss=focal_cross_entropy, device=device, on_log=on_log).net
    trained.requires_grad_(False)
    return Adapted(Model(trained, _card(name, trained, names, labels, config)), PERIOD_PX / residual.period, labels)


def _names(labels: Defects) -> tuple[str, ...]:
    """Class names in the order of the labels: by sign, then by how many there are."""
    signs = [labels.height[labels.label == k].mean() for k in range(labels.label.max() + 1)]
    kinds = ["missing" if sign < 0 else "added" for sign in signs]
    before = [kinds[:k].count(kind) for k, kind in enumerate(kinds)]
    return tuple(kind if not n else f"{kind}-{n + 1}" for kind, n in zip(kinds, before, strict=True))


def _scene(image: np.ndarray, labels: Defects, doubtful: Defects, period: float, names) -> LabelledScene:
    """The frame with its own labels; the border and what is doubtful teach nothing. Lengths in px of the frame."""
    shape = image.shape
    margin = int(np.ceil(BORDER * period))
    class_map = np.full(shape, IGNORED_CLASS, np.uint8)
    class_map[margin:-margin, margin:-margin] = 0
    grid = np.stack(np.meshgrid(*(np.arange(n) for n in shape), indexing="ij"), -1)
    for yx in doubtful.positions_yx:
        if np.hypot(*(labels.positions_yx - yx).T).min() > 0.5 * period:
            class_map[np.hypot(*np.moveaxis(grid - yx, -1, 0)) < 0.4 * period] = IGNORED_CLASS
    species = np.array(names, object)[labels.label]
    return LabelledScene(image, class_map, labels.positions_yx, species, labels.label + 1, 1.0, "the frame")


def _card(name: str, net, names: tuple[str, ...], labels: Defects, config: AdaptConfig) -> ModelCard:
    counts = ", ".join(f"{np.sum(labels.label == k)} {kind}" for k, kind in enumerate(names))
    return ModelCard(
        name=name,
        summary="Point defects of one movie, learnt from one of its frames without labels.",
        classes=("background", *names),
        architecture=describe_net(net),
        working={"spacing_px": [PERIOD_PX, PERIOD_PX], "spacing_range_px": [0.9 * PERIOD_PX, 1.1 * PERIOD_PX]},
        trained_on=f"One frame; labels from its residual without lattice: {counts}.",
        not_for="Other materials, scales and microscopes; atoms (it finds defects only); calibrated probabilities.",
        recipe=f"atomnb.train.adapt.adapt(frame), {config.steps} steps, seed {config.seed}",
    )
