"""Training the classifier behind class-activation maps: patches of a dichalcogenide sheet, one label for each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from atomnb.errors import AtomnbError
from atomnb.nets.cam import CamClassifier, create_classifier
from atomnb.nets.registry import seeded
from atomnb.simulate import lattice
from atomnb.simulate.batch import Batch
from atomnb.simulate.materials.tmd import OTHER_METAL, SINGLE_OVER_PAIR
from atomnb.simulate.scene import render_scene
from atomnb.train.loop import TrainConfig, Trained, fit
from atomnb.train.patches import mirrored

CLASSES = ("none", "V_X", "V_X2", "V_M", "M_X2", "substitution")
"""Perfect sheet; one chalcogen missing of a pair; both missing; metal missing; metal in place of a pair; the other
metal (W in Mo, Mo in W) on a metal's place."""

ON_METAL = ("V_M", "substitution")

SIZE = 64
"""Side of a patch, px, as published."""

SMALL_SIZE = 24
"""Side, px, of the patches that training begins with: seven times cheaper, and most of each is the defect."""

GROWTH = ((0.0, SMALL_SIZE), (0.25, 32), (0.4, 44), (0.5, SIZE))
"""Pairs of (share of the steps, side of the patches from there on).

Global average pooling takes any size, but the larger the patch, the less of the mean is the defect's: from 24 to 64 px
at once, a seventh, and what was learnt is lost. The full size has half of the steps, before the rate begins to fall.
"""

PIXEL_SIZE = 0.2
"""Å; a patch is 12.8 Å wide and the bond of the sheet 9 px long."""

BORDER = 2.0
"""Å; no defect is nearer to the edge of its patch, so that its three neighbours are in it."""

ELECTRONS_PER_COLUMN = (200.0, 20000.0)
"""Range of the doses in training."""


class Sheet(NamedTuple):
    """A dichalcogenide of the 1H form.

    lattice_constant : Å
    metal_over_pair : brightness of a metal column over that of two chalcogens, as multislice gives it
    heavy : whether the metal is W, so that the other one, Mo, is the fainter
    """

    lattice_constant: float
    metal_over_pair: float
    heavy: bool


SHEETS = {"MoS2": Sheet(3.16, 1.9, False), "WS2": Sheet(3.15, 3.9, True), "WSe2": Sheet(3.28, 1.27, True)}
"""MoSe2 is left out: it mirrors MoS2, so that its sites could not be told apart."""


class Patch(NamedTuple):
    """An image with the label of what is in it, and where: the last is for judging, no classifier learns from it.

    image : (size, size) float32 counts
    label : index into `CLASSES`
    defect_yx : (2,) px; NaN where there is none
    positions_yx : (N, 2) px of the columns, without empty sites
    species : (N,) 'metal', 'pair', or the name of the defect
    """

    image: np.ndarray
    label: int
    defect_yx: np.ndarray
    positions_yx: np.ndarray
    species: np.ndarray


def sample_patch(label: int, *, rng: np.random.Generator, electrons_per_column: float, size: int = SIZE) -> Patch:
    """A patch of MoS2, WS2 or WSe2, turned and shifted at random, with one defect of the class or none.

    Raises
    ------
    AtomnbError
        If there is no such class.
    """
    if not 0 <= label < len(CLASSES):
        raise AtomnbError(f"label must be an index into {', '.join(CLASSES)}, got {label!r}.")
    name, half = CLASSES[label], size * PIXEL_SIZE / 2
    sheet = SHEETS[rng.choice(list(SHEETS))]
    sites = lattice.lay_out(
        lattice.MOTIFS["honeycomb-2"],
        2 * half + 2 * BORDER,
        spacing=sheet.lattice_constant / 3**0.5,
        angle=rng.uniform(0, 2 * np.pi),
    )
    species = np.where(sites.species == 0, "metal", "pair").astype("U12")
    site = "metal" if name in ON_METAL or (name == "none" and rng.random() < 0.5) else "pair"
    of_kind = np.flatnonzero(species == site)
    chosen = of_kind[np.hypot(*sites.positions_yx[of_kind].T).argmin()]
    points = sites.positions_yx - sites.positions_yx[chosen] + rng.uniform(BORDER - half, half - BORDER, 2)
    if name != "none":
        species[chosen] = name
    metal = sheet.metal_over_pair * rng.uniform(0.92, 1.08)
    factor = rng.uniform(*OTHER_METAL)
    strength = {"metal": metal, "pair": 1.0, "V_X": rng.uniform(*SINGLE_OVER_PAIR), "V_X2": 0.0, "V_M": 0.0}
    strength |= {"M_X2": metal, "substitution": metal / factor if sheet.heavy else metal * factor}
    points = points + rng.normal(0, 0.05, points.shape) + (size - 1) / 2 * PIXEL_SIZE
    scene = render_scene(
        points,
        np.array([strength[s] for s in species]),
        species,
        shape=(size, size),
        pixel_size=PIXEL_SIZE,
        counts_per_column=electrons_per_column,
        probe_sigma_angstrom=rng.uniform(0.35, 0.5),
        background=rng.uniform(0, 0.3),
        rng=rng,
    )
    defect = scene.positions_yx[scene.species == name]
    filled = ~np.isin(scene.species.astype(str), ("V_X2", "V_M"))
    place = defect[0] if len(defect) else np.full(2, np.nan)
    return Patch(scene.image, label, place, scene.positions_yx[filled], scene.species[filled].astype(str))


def stream_patches(
    start: int = 0, *, batch_size: int, seed: int, sides: Sequence[tuple[int, int]] = ((0, SIZE),)
) -> Iterator[Batch]:
    """Batches `start`, `start + 1`, … of an endless stream, each patch shown in its four mirror images.

    The labels (B, K, 1, 1) tell what is in a patch, not where; the classes have equal shares. `sides` are pairs of
    (first batch, side of the patches about from there on).
    """
    index, drawn = start, None
    while True:
        turn, mirror = divmod(index, 4)
        if turn != drawn:
            size = [side for first, side in sides if first <= 4 * turn][-1]
            batch, drawn = labelled_patches(np.random.default_rng([seed, turn]), batch_size, size=size), turn
        yield mirrored(batch, flip_y=bool(mirror & 1), flip_x=bool(mirror & 2))
        index += 1


def labelled_patches(rng: np.random.Generator, n: int, *, size: int = SIZE) -> Batch:
    """`n` patches (n, size, size) with their image-level labels."""
    label = rng.integers(len(CLASSES), size=n)
    dose = np.exp(rng.uniform(*np.log(ELECTRONS_PER_COLUMN), n))
    images = [
        sample_patch(k, rng=rng, electrons_per_column=d, size=size).image for k, d in zip(label, dose, strict=True)
    ]
    one_hot = F.one_hot(torch.from_numpy(label), len(CLASSES))[:, 1:, None, None].float()
    return Batch(torch.from_numpy(np.stack(images)), one_hot, torch.ones(n, 1, 1))


def image_cross_entropy(logits: torch.Tensor, labels: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Cross-entropy of the classes (B, C) of whole images with labels (B, C, 1, 1); weights (B, 1, 1)."""
    loss = F.cross_entropy(logits.float(), labels[:, :, 0, 0], reduction="none")
    return (loss * weights[:, 0, 0]).sum() / weights.sum().clamp(min=1)


def train_classifier(
    *, steps: int = 2400, batch_size: int = 16, seed: int = 0, on_log: Callable[[dict], None] | None = None
) -> Trained:
    """A classifier of the defects in `CLASSES`, trained on image-level labels with the loop of all networks.

    Parameters
    ----------
    on_log : called every 50 steps with {step, loss, ...}; raise CancelledError in it to stop
    """
    config = TrainConfig(
        steps=steps, batch_size=batch_size, learning_rate=2e-3, warmup_steps=min(100, steps // 10), seed=seed
    )
    with seeded(seed):
        net: CamClassifier = create_classifier({"n_classes": len(CLASSES)})
    sides = [(round(share * steps), side) for share, side in GROWTH]

    def batches(start: int) -> Iterator[Batch]:
        return stream_patches(start, batch_size=batch_size, seed=seed, sides=sides)

    return fit(net, batches, config=config, loss=image_cross_entropy, on_log=on_log)
