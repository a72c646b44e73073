"""An endless stream of labelled batches; batch number i is the same in every run and after every resume."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain, islice

import numpy as np
import torch
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from atomnb.simulate.batch import Batch, random_batch
from atomnb.simulate.layout import SceneConfig

USES_PER_BATCH = 2
"""How often a simulated batch is shown, each time mirrored another way: simulating costs about as much as a step."""


Curriculum = Sequence[tuple[int, SceneConfig]]
"""Pairs of (first batch, scenes from there on), in order; the first pair starts at 0."""


class SceneStream(IterableDataset):
    """The turns from that of batch `start` on: each is one simulated batch, shown `USES_PER_BATCH` times.

    `share` is (this process, number of processes): processes that train together draw different scenes. Of several
    loading workers each makes its own turns, and `DataLoader` takes them in order.
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

    def __iter__(self) -> Iterator[tuple[Batch, ...]]:
        torch.set_num_threads(1)
        worker = get_worker_info()
        first, step = (worker.id, worker.num_workers) if worker else (0, 1)
        turn = self.start // USES_PER_BATCH + first
        while True:
            yield self.turn(turn)
            turn += step

    def turn(self, turn: int) -> tuple[Batch, ...]:
        """The batches of turn number `turn`, from the first on."""
        rank, world = self.share
        number = turn * world + rank
        config = [c for first, c in self.curriculum if first <= turn * USES_PER_BATCH][-1]
        batch = random_batch(np.random.default_rng([self.seed, number]), self.batch_size, config)
        uses = range(USES_PER_BATCH)
        return tuple(mirrored(batch, flip_y=bool(u % 2), flip_x=bool(number % 2) != bool(u % 2)) for u in uses)


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
    """The stream, simulated in `workers` background processes (0 = in this one); their number changes no batch."""
    stream = SceneStream(curriculum, batch_size=batch_size, seed=seed, start=start, share=share)
    if workers:
        stream = DataLoader(stream, batch_size=None, num_workers=workers, prefetch_factor=2)
    return islice(chain.from_iterable(stream), start % USES_PER_BATCH, None)
