"""Fine-tuning: a shipped model learns a user's own kind of image from a few labelled frames, in minutes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import nn

from atomnb.data.labelled_scene import LabelledScene
from atomnb.data.micrograph import Micrograph
from atomnb.errors import AtomnbError
from atomnb.nets.checkpoint import Model, list_models, load_model
from atomnb.nets.mean_net import MeanNet
from atomnb.nets.registry import ENSEMBLE, create_net, describe_net
from atomnb.simulate.batch import Batch
from atomnb.train.augment import AugmentConfig, augmented
from atomnb.train.from_set import CropConfig, batch_of, random_crop
from atomnb.train.loop import TrainConfig, fit

EDGE = 1.0
"""px that an atom may lie outside the outermost pixel centres: marks at the edge are not sharper."""


@dataclass(frozen=True, eq=False)
class LabelledFrame:
    """A frame of the user's, with every atom marked.

    image : Micrograph of one frame, atoms bright
    positions_yx : (N, 2) px, y before x, origin at the centre of the top-left pixel
    species : (N,) class of each atom; None when the model has one class
    """

    image: Micrograph
    positions_yx: np.ndarray
    species: Sequence[str] | None = None


@dataclass(frozen=True)
class FinetuneConfig:
    """How to fine-tune; the defaults take some minutes on two cores.

    size : side of the crops, px of the network's input
    frozen : parts of the network that keep their weights, such as ('stem',)
    """

    steps: int = 300
    batch_size: int = 8
    learning_rate: float = 5e-4
    size: int = 96
    frozen: tuple[str, ...] = ()
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    seed: int = 0


def finetune(
    parent: str | Path,
    frames: Sequence[LabelledFrame],
    *,
    name: str,
    classes: Sequence[str] | None = None,
    config: FinetuneConfig | None = None,
    device: str = "cpu",
    on_log: Callable[[dict], None] | None = None,
) -> Model:
    """Train a model further on labelled frames.

    Parameters
    ----------
    parent : name of a shipped model, or path of a `.safetensors` file
    frames : at least one; crops, flips, turns and `config.augment` make many of them
    name : of the new model
    classes : after the background; by default the parent's. Other ones begin with a new last layer.
    on_log : as in `atomnb.train.loop.fit`

    Returns
    -------
    Model
        Not folded, so that `atomnb.nets.checkpoint.save_model(model.net, model.card, folder)` can write it.

    Raises
    ------
    AtomnbError
        If there are no frames or atoms, atoms lie outside their frame, a species is not in the class list, a frame is
        too small for the crops, or the parent is an ensemble.
    """
    config = config or FinetuneConfig()
    origin = load_model(parent, fused=False)
    if isinstance(origin.net, MeanNet):
        raise AtomnbError(
            f"{origin.card.name} is an ensemble, several networks in one, which cannot be fine-tuned: take a single "
            f"model of the same classes as the parent, such as {_single_models(origin.classes)}."
        )
    names = tuple(classes) if classes is not None else origin.classes[1:]
    scenes = [_scene(frame, names, number) for number, frame in enumerate(frames)]
    if not scenes:
        raise AtomnbError("finetune needs at least one labelled frame.")
    crops = [_crops(scene, config, origin.card.working["spacing_px"]) for scene in scenes]
    for scene, crop in zip(scenes, crops, strict=True):
        random_crop(scene, crop, np.random.default_rng(config.seed))  # what cannot be cropped is told at once
    net = _with_classes(origin.net, len(names) + 1, config.seed)
    _freeze(net.requires_grad_(True), config.frozen)

    def batches(first: int) -> Iterator[Batch]:
        while True:
            rng = np.random.default_rng([config.seed, first])
            drawn = rng.integers(len(scenes), size=config.batch_size)
            batch = batch_of([random_crop(scenes[i], crops[i], rng) for i in drawn], len(names))
            yield turned(batch, quarters=int(rng.integers(4)), flip=bool(rng.integers(2)))
            first += 1

    plan = TrainConfig(
        steps=config.steps,
        batch_size=config.batch_size,
        learning_rate=config.learning_rate,
        warmup_steps=min(20, config.steps // 5),
        decay_share=0.5,
        ema_decay=0.99,
        log_steps=min(10, config.steps),
        seed=config.seed,
    )
    stream = augmented(batches, config.augment, seed=config.seed, device=device)
    trained = fit(net, stream, config=plan, device=device, on_log=on_log).net.requires_grad_(False)
    return Model(trained, _card(origin, trained, name, names, scenes, config))


def turned(batch: Batch, *, quarters: int, flip: bool) -> Batch:
    """The batch turned by quarters of a circle and mirrored: one of the eight symmetries of the square."""
    parts = (torch.rot90(part, quarters, (-2, -1)) for part in batch)
    return Batch(*(torch.flip(part, (-1,)) if flip else part for part in parts))


def _single_models(classes: tuple[str, ...]) -> str:
    """Names of the models of these classes that are no ensembles."""
    cards = [card for card in list_models() if card.classes == classes and card.architecture["name"] != ENSEMBLE]
    return ", ".join(repr(card.name) for card in cards) or "one of its members"


def _scene(frame: LabelledFrame, names: tuple[str, ...], number: int) -> LabelledScene:
    yx = np.asarray(frame.positions_yx, float).reshape(-1, 2)
    label = frame.image.name or f"frame {number}"
    if len(yx) < 2:
        raise AtomnbError(f"{label} has {len(yx)} labelled atoms: mark all its atoms, at least two.")
    species = np.full(len(yx), names[0], object) if frame.species is None else np.asarray(frame.species, object)
    if frame.species is None and len(names) > 1:
        raise AtomnbError(f"{label} has no species, and the model tells {', '.join(names)} apart: give one per atom.")
    strange = sorted({str(s) for s in species} - set(names))
    if strange:
        raise AtomnbError(
            f"{label} holds atoms of class {', '.join(strange)}, which are not among {', '.join(names)}: rename them, "
            "or pass classes=[...] with all that occur."
        )
    pixels = frame.image.frame()
    _check_inside(yx, pixels.shape, label)
    column_class = np.array([names.index(str(s)) + 1 for s in species])
    size = frame.image.pixel_size or 1.0  # only ratios to the spacing are used
    return LabelledScene(pixels, np.zeros(pixels.shape), yx, species, column_class, size, label)


def _check_inside(yx: np.ndarray, shape: tuple[int, int], label: str) -> None:
    if not np.isfinite(yx).all():
        raise AtomnbError(f"{label} has atoms whose y or x is NaN or infinite: drop those rows first.")
    size = np.array(shape)
    outside = ~((yx >= -EDGE) & (yx <= size - 1 + EDGE)).all(axis=1)
    if not outside.any():
        return
    swapped = ((yx[:, ::-1] >= -EDGE) & (yx[:, ::-1] <= size - 1 + EDGE)).all()
    low, high = yx.min(axis=0), yx.max(axis=0)
    raise AtomnbError(
        f"{outside.sum()} of {len(yx)} atoms of {label} lie outside its {shape[0]} × {shape[1]} px: their y goes from "
        f"{low[0]:.5g} to {high[0]:.5g}, their x from {low[1]:.5g} to {high[1]:.5g}. "
        + (
            "Give y before x: they are the other way round."
            if swapped
            else "Check that they are px (not Å or nm), y before x, and of this very image (not cropped or resized)."
        )
    )


def _crops(scene: LabelledScene, config: FinetuneConfig, spacing_px: Sequence[float]) -> CropConfig:
    """Crops in which neighbours are as far apart as the model likes them, and as `analyze` will bring them to it."""
    typical = float(np.sqrt(spacing_px[0] * spacing_px[-1]))
    distance = float(np.median(cKDTree(scene.positions_yx).query(scene.positions_yx, k=2)[0][:, 1]))
    reach = (0.95 * spacing_px[0] / typical, 1.05 * spacing_px[-1] / typical)
    return CropConfig(size=config.size, pixel_size=distance * scene.pixel_size / typical, zoom=reach)


def _with_classes(net: nn.Module, n_classes: int, seed: int) -> nn.Module:
    """`net` itself, or with a new last layer when it tells another number of classes apart."""
    told = describe_net(net)
    if told["options"]["n_classes"] == n_classes:
        return net
    new = create_net(told["name"], told["options"] | {"n_classes": n_classes}, seed=seed)
    kept = {k: v for k, v in net.state_dict().items() if not k.startswith("head.")}
    new.load_state_dict(kept, strict=False)
    return new


def _freeze(net: nn.Module, frozen: Sequence[str]) -> None:
    parts = dict(net.named_children())
    for name in frozen:
        if name not in parts:
            raise AtomnbError(f"the network has no part {name!r} to freeze: choose from {', '.join(parts)}.")
        parts[name].requires_grad_(False)


def _card(origin: Model, net: nn.Module, name: str, names, scenes, config: FinetuneConfig):
    atoms = sum(len(scene.positions_yx) for scene in scenes)
    told = f"{len(scenes)} labelled frame{'s' * (len(scenes) != 1)} with {atoms} atoms"
    parent = origin.card
    return replace(
        parent,
        name=name,
        summary=f"{parent.name}, fine-tuned on {told}.",
        classes=("background", *names),
        architecture=describe_net(net),
        calibration={"lattice": (1.0, 0.0), "single": (1.0, 0.0)},
        trained_on=f"Parent: {parent.name} (SHA-256 {parent.sha256[:12]}…): {parent.trained_on} Then {told}: "
        f"{', '.join(scene.group for scene in scenes)}.",
        accuracy={},
        not_for=f"Images unlike those it was fine-tuned on; it may have lost what {parent.name} could do. "
        f"Parent: {parent.not_for}",
        recipe=f"atomnb.train.finetune.finetune({parent.name!r}, ...), {config.steps} steps of {config.batch_size} "
        f"crops, learning rate {config.learning_rate:g}, seed {config.seed}",
        sha256="",
    )
