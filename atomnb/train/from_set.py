"""Training batches from a labelled set: random crops at the network's scale, the same in every run and resume."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader, IterableDataset

from atomnb.data.labelled_scene import IGNORED_CLASS, LabelledScene
from atomnb.data.labelled_set import LabelledSet
from atomnb.errors import AtomnbError
from atomnb.simulate import render
from atomnb.simulate.batch import Batch
from atomnb.train.patches import mirrored

CACHE_BYTES = 2**28
"""Memory for scenes that have been read, since most are drawn again before long."""

LABEL_REACH = 6.0
"""Columns this far outside a crop (px) still paint on it."""


@dataclass(frozen=True)
class CropConfig:
    """How crops are drawn.

    size : side of a crop, px of the network's input
    pixel_size : Å, of the network's input
    zoom : range (low, high) of a random magnification beside that, for what calibrations leave in doubt
    """

    size: int = 128
    pixel_size: float = 0.22
    zoom: tuple[float, float] = (0.9, 1.1)

    def __post_init__(self) -> None:
        if self.size < 16 or self.size % 8:
            raise AtomnbError(f"size must be a multiple of 8 px, at least 16, got {self.size}.")
        if not self.pixel_size > 0:
            raise AtomnbError(f"pixel_size must be a positive number of Å, got {self.pixel_size!r}.")
        if not 0 < self.zoom[0] <= self.zoom[1]:
            raise AtomnbError(f"zoom must be a range (low, high), positive and low ≤ high, got {self.zoom!r}.")


class Crop(NamedTuple):
    """One sample: image and weights (size, size), positions (N, 2) px in it, the class of each (1 to K)."""

    image: torch.Tensor
    weights: torch.Tensor
    positions_yx: np.ndarray
    column_class: np.ndarray


def random_crop(scene: LabelledScene, config: CropConfig, rng: np.random.Generator) -> Crop:
    """A random part of a scene brought to the network's scale, atoms bright.

    Raises
    ------
    AtomnbError
        If the scene is smaller than a crop.
    """
    zoom = np.exp(rng.uniform(*np.log(config.zoom)))
    native = max(2, round(config.size * config.pixel_size / (zoom * scene.pixel_size)))
    room = np.array(scene.image.shape) - native
    if room.min() < 0:
        needed = config.size * config.pixel_size / config.zoom[0]
        raise AtomnbError(
            f"an image of {scene.group} is {scene.image.shape[0]} × {scene.image.shape[1]} px of "
            f"{scene.pixel_size:.3g} Å, too small for crops of {needed:.1f} × {needed:.1f} Å ({config.size} px of "
            f"{config.pixel_size:g} Å at zoom {config.zoom[0]:g}): make the frames larger, or the crops smaller."
        )
    y, x = (int(rng.integers(n + 1)) for n in room)
    window = slice(y, y + native), slice(x, x + native)
    both = torch.from_numpy(
        np.stack([scene.image[window], scene.class_map[window] == IGNORED_CLASS]).astype(np.float32)
    )
    factor = config.size / native
    image = both[:1, None]
    if native != config.size:
        image = F.interpolate(image, size=(config.size,) * 2, mode="bicubic", antialias=True)
    image = image[0, 0]
    ignored = F.interpolate(both[1:, None], size=(config.size,) * 2, mode="nearest-exact")[0, 0]
    inside = (scene.positions_yx - (y, x) + 0.5) * factor - 0.5
    taught = (scene.column_class > 0) & (scene.column_class != IGNORED_CLASS)
    near = ((inside > -LABEL_REACH) & (inside < config.size - 1 + LABEL_REACH)).all(axis=1) & taught
    dark = bool(scene.details.get("dark_atoms", False))
    return Crop(-image if dark else image, 1 - ignored, inside[near], scene.column_class[near])


def batch_of(crops: list[Crop], n_classes: int) -> Batch:
    """The crops as a `Batch` with soft labels of `n_classes` classes after the background."""
    longest = max(1, *(len(crop.column_class) for crop in crops))
    positions = np.full((len(crops), longest, 2), -1e3, np.float32)
    codes = np.zeros((len(crops), longest), np.int64)
    for i, crop in enumerate(crops):
        positions[i, : len(crop.column_class)] = crop.positions_yx
        codes[i, : len(crop.column_class)] = crop.column_class
    where, code = torch.from_numpy(positions), torch.from_numpy(codes)
    shape = tuple(crops[0].image.shape)
    labels = [
        render.render_heatmap(where, (code == k).float(), shape, sigma=render.LABEL_SIGMA)
        for k in range(1, n_classes + 1)
    ]
    images, weights = (torch.stack([crop[part] for crop in crops]) for part in (0, 1))
    return Batch(images, torch.stack(labels, dim=1), weights)


class SetStream(IterableDataset):
    """Batches `start`, `start + 1`, … of the stream that the set, the config and `seed` define."""

    def __init__(self, labelled_set: LabelledSet, config: CropConfig, *, batch_size: int, seed: int, start: int = 0):
        if not len(labelled_set):
            raise AtomnbError(f"there are no scenes to train on in {labelled_set.path.name}.")
        random_crop(labelled_set[0], config, np.random.default_rng(seed))  # what cannot be cropped is told at once
        self.labelled_set, self.config = labelled_set, config
        self.batch_size, self.seed, self.start = batch_size, seed, start

    def __iter__(self) -> Iterator[Batch]:
        scenes, index = _Cache(self.labelled_set), self.start
        while True:
            rng = np.random.default_rng([self.seed, index])
            numbers = rng.integers(len(self.labelled_set), size=self.batch_size)
            crops = [random_crop(scenes.get(int(number)), self.config, rng) for number in numbers]
            flip_y, flip_x = (bool(flip) for flip in rng.integers(2, size=2))
            yield mirrored(batch_of(crops, len(self.labelled_set.classes)), flip_y=flip_y, flip_x=flip_x)
            index += 1


def stream_set_batches(
    labelled_set: LabelledSet,
    config: CropConfig,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    workers: int = 1,
) -> Iterator[Batch]:
    """An endless stream of batches for `atomnb.train.loop.fit`.

    Parameters
    ----------
    labelled_set : LabelledSet
        Usually `open_labelled_set(path).split("train")`.
    config : CropConfig
    batch_size, seed : int
    start : int
        The first batch.
    workers : int
        Background processes: 0 = read in this one; more than one keeps no order, so at most one is started.

    Raises
    ------
    AtomnbError
        If the set is empty, or its images are smaller than a crop.
    """
    stream = SetStream(labelled_set, config, batch_size=batch_size, seed=seed, start=start)
    if workers == 0:
        return iter(stream)
    return iter(DataLoader(stream, batch_size=None, num_workers=1, prefetch_factor=4))


class _Cache:
    """The scenes read last, in bounded memory."""

    def __init__(self, labelled_set: LabelledSet):
        self._set, self._held, self._bytes = labelled_set, OrderedDict(), 0

    def get(self, number: int) -> LabelledScene:
        if number in self._held:
            self._held.move_to_end(number)
            return self._held[number]
        scene = self._set[number]
        self._held[number] = scene
        self._bytes += scene.image.nbytes + scene.class_map.nbytes
        while self._bytes > CACHE_BYTES and len(self._held) > 1:
            oldest = self._held.popitem(last=False)[1]
            self._bytes -= oldest.image.nbytes + oldest.class_map.nbytes
        return scene
