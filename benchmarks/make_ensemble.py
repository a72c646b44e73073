"""An ensemble of the universal model: three continuations of its training, each on other scenes, by other steps.

Each member starts from the shipped weights, shrunk and shaken (Ash & Adams 2020, arXiv:1910.08475) so that it has to
learn again much of what they knew, at a raised learning rate that then falls to zero (after the snapshot ensembles of
Huang et al. 2017, arXiv:1704.00109). So the members end in different places though they share a past. That costs
minutes where three trainings would cost hours; they differ less than strangers would, and without the shaking hardly
at all.

    python benchmarks/make_ensemble.py                       into atomnb/nets/weights
    python benchmarks/make_ensemble.py --folder FOLDER       somewhere else, to try it first
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn

from atomnb.nets.checkpoint import WEIGHTS_DIR, Model, load_model, save_model
from atomnb.nets.ensemble import combine_models
from atomnb.simulate.batch import Batch, random_batch
from atomnb.train.loop import TrainConfig, fit
from atomnb.train.recipes import UNIVERSAL

MEMBERS = 3
SIZE, BATCH = 96, 8
STEPS = 500
LEARNING_RATE = 3e-3

SHRUNK, SHAKEN = 0.5, 0.3
"""Factor of the weights, and the noise added to them in standard deviations of each tensor."""


def member(seed: int, steps: int) -> Model:
    """The universal model, trained further on scenes of all stages of its recipe."""
    parent = load_model("universal", fused=False)
    stages = [replace(scenes, size=SIZE) for _, scenes in UNIVERSAL.curriculum]

    def batches(first: int) -> Iterator[Batch]:
        while True:
            rng = np.random.default_rng([7, seed, first])
            yield random_batch(rng, BATCH, stages[int(rng.integers(len(stages)))])
            first += 1

    config = TrainConfig(
        steps=steps,
        batch_size=BATCH,
        learning_rate=LEARNING_RATE,
        warmup_steps=10,
        decay_share=0.6,
        ema_decay=0.95,
        log_steps=50,
        seed=seed,
    )
    net = fit(
        shaken(parent.net, seed).requires_grad_(True),
        batches,
        config=config,
        on_log=lambda r: print(f"member {seed}  step {r['step']}  loss {r['loss']:.4f}", flush=True),
    ).net
    return Model(net.requires_grad_(False), replace(parent.card, name=f"member {seed}"))


@torch.no_grad()
def shaken(net: nn.Module, seed: int) -> nn.Module:
    """The network with its kernels shrunk and noise added to them, in place."""
    generator = torch.Generator().manual_seed(seed)
    for weight in (p for p in net.parameters() if p.ndim > 1):
        noise = torch.randn(weight.shape, generator=generator) * weight.std()
        weight.mul_(SHRUNK).add_(SHAKEN * noise)
    return net


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--folder", type=Path, default=WEIGHTS_DIR)
    options = parser.parse_args()
    torch.set_num_threads(1)
    origin = load_model("universal").card
    both = combine_models([member(seed, options.steps) for seed in range(1, MEMBERS + 1)], name="universal-ensemble")
    card = replace(
        both.card,
        summary="Three universal models as one: slower, but `score_spread` tells how far they differ about an atom.",
        trained_on=f"{origin.trained_on} Then each member by itself for {options.steps} steps more.",
        accuracy={},
        recipe="python benchmarks/make_ensemble.py",
    )
    print(save_model(both.net, card, options.folder))


if __name__ == "__main__":
    main()
