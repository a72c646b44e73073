"""An endless stream of labelled batches; batch number i is the same in every run and after every resume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset

from atomnb.simulate.batch import Batch, random_batch
from atomnb.simulate.layout import SceneConfig

USES_PER_BATCH = 2
"""How often a simulated batch is shown, each time mirrored another way: simulating costs about as much as a step."""


Curriculum = Sequence[tuple[int, SceneConfig]]
"""Pairs of (first batch, scenes from there on), in order; the first pair starts at 0."""


class SceneStream(IterableDataset):
    """Batches `start`, `start + 1`, … of the stream that `seed` and the curriculum define.

    `share` is (this process, number of processes): processes that train together draw different scenes.
    """

    def __init__(
        self,
        curriculum: Curriculum,
        *,
        batch_size: int,
        seed: int,
        start: int = 0,
        share: tuple[int, int] = (0, 1),
    ):
        self.curriculum, self.batch_size, self.seed = curriculum, batch_size, seed
        self.start, self.share = start, share

    def __iter__(self) -> Iterator[Batch]:
        torch.set_num_threads(1)
        index, drawn, batch = self.start, None, None
        rank, world = self.share
        while True:
            turn, use = divmod(index, USES_PER_BATCH)
            number = turn * world + rank
            if number != drawn:
                config = [c for first, c in self.curriculum if first <= turn * USES_PER_BATCH][-1]
                batch = random_batch(np.random.default_rng([self.seed, number]), self.batch_size, config)
                drawn = number
            yield mirrored(batch, flip_y=bool(use % 2), flip_x=bool(number % 2) != bool(use % 2))
            index += 1


def mirrored(batch: Batch, *, flip_y: bool, flip_x: bool) -> Batch:
    """The batch mirrored along its rows or columns; never transposed, because scan noise knows the fast axis."""
    axes = [axis for axis, flip in ((-2, flip_y), (-1, flip_x)) if flip]
    return Batch(*(torch.flip(part, axes) if axes else part for part in batch))


def stream_batches(
    curriculum: Curriculum,
    *,
    batch_size: int,
    seed: int,
    start: int = 0,
    share: tuple[int, int] = (0, 1),
    workers: int = 1,
) -> Iterator[Batch]:
    """The stream, simulated in `workers` background processes (0 = in this one; more than one keeps no order)."""
    stream = SceneStream(curriculum, batch_size=batch_size, seed=seed, start=start, share=share)
    if workers == 0:
        return iter(stream)
    return iter(DataLoader(stream, batch_size=None, num_workers=min(workers, 1), prefetch_factor=4))
