"""Train AtomAI's default U-Net on our training patches, for a comparison at equal training time.

Runs in the peers' environment. Its optimiser and loss are AtomAI's own (Adam, 1e-3, binary cross-entropy); images are
scaled to (0, 1) as its `predict` does; pixels our labels leave open are left out for it as well; bf16 as for ours.

    .peers/bin/python benchmarks/train_peer.py --minutes 60

Run again with the same weights file, it goes on from there.
"""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from record import ROOT

sys.path.insert(0, str(ROOT))

from atomnb.nets.shared import has_fast_bf16
from atomnb.simulate.batch import random_batch
from atomnb.train.loop import TrainConfig
from atomnb.train.patches import USES_PER_BATCH, mirrored
from atomnb.train.recipes import UNIVERSAL

WEIGHTS = ROOT / "runs" / "atomai_unet.pt"
MASK_LEVEL = 0.3
"""Our soft labels above this make AtomAI's binary discs, 2 px in radius."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, required=True, help="processor time to train for, simulation included")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    from atomai.models import Segmentor

    net = Segmentor("Unet", nb_classes=1).net.train().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(net.parameters(), lr=1e-3)
    config = TrainConfig()
    step, spent_before = restored(net, optimizer, options.weights)
    losses = []
    while (spent := spent_before + time.process_time() / 60) < options.minutes:
        number, use = divmod(step, USES_PER_BATCH)
        if use == 0 or not losses:
            scenes = scenes_at(spent / options.minutes * config.steps)
            batch = random_batch(np.random.default_rng([config.seed, number]), config.batch_size, scenes)
        shown = mirrored(batch, flip_y=bool(use), flip_x=bool(number % 2) != bool(use))
        losses.append(one_step(net, optimizer, shown))
        step += 1
        if step % 50 == 0:
            print(f"{spent:6.1f} min  step {step:6d}  loss {np.mean(losses[-50:]):.5f}", flush=True)
            save(net, optimizer, options.weights, step, spent)
    save(net, optimizer, options.weights, step, spent)


def scenes_at(step: float):
    """The scenes our own training sees at this step."""
    return [scenes for first, scenes in UNIVERSAL.curriculum if first <= step][-1]


def one_step(net, optimizer, batch) -> float:
    images = batch.images[:, None]
    low, high = images.amin(dim=(2, 3), keepdim=True), images.amax(dim=(2, 3), keepdim=True)
    masks, weights = (batch.labels[:, 0] > MASK_LEVEL).float(), batch.weights
    with torch.autocast("cpu", torch.bfloat16, enabled=has_fast_bf16(torch.device("cpu"))):
        logits = net(((images - low) / (high - low)).contiguous(memory_format=torch.channels_last))
    loss = F.binary_cross_entropy_with_logits(logits[:, 0].float(), masks, reduction="none")
    loss = (loss * weights).sum() / weights.sum().clamp(min=1)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return float(loss.detach())


def restored(net, optimizer, path: Path) -> tuple[int, float]:
    """Load what `save` wrote, if anything; steps and processor minutes spent so far."""
    if not path.exists():
        return 0, 0.0
    state = torch.load(path, weights_only=True)
    net.load_state_dict(state["net"])
    optimizer.load_state_dict(state["optimizer"])
    return state["step"], state["minutes"]


def save(net, optimizer, path: Path, step: int, minutes: float) -> None:
    path.parent.mkdir(exist_ok=True)
    state = {"net": net.state_dict(), "optimizer": optimizer.state_dict(), "step": step, "minutes": minutes}
    temporary = path.with_suffix(".tmp")
    torch.save(state, temporary)
    temporary.replace(path)


if __name__ == "__main__":
    main()
