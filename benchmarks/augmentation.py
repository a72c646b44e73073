"""How fast batches are augmented, beside a training step on them: the augmentation must never be what waits.

python benchmarks/augmentation.py [--device cuda] [--threads 2]

On a processor, seconds of processor time are given beside those of the clock, because other work may run.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from statistics import median

import numpy as np
import torch
from record import write_result

from atomnb.nets.registry import create_net
from atomnb.simulate.batch import Batch, random_batch
from atomnb.simulate.layout import SceneConfig
from atomnb.train.augment import EFFECTS, NO_EFFECTS, AugmentConfig, augment
from atomnb.train.loop import TrainConfig, fit

SHAPES = {"cpu": ((16, 128),), "cuda": ((16, 128), (256, 128), (64, 256))}
"""Batch size and side of the images, by device."""


def timed(work, device: str, repeats: int) -> dict[str, float]:
    """Median seconds of the clock, and mean seconds of the processor, of one call."""
    for _ in range(3):
        work()
    wall = []
    before = time.process_time()
    for _ in range(repeats):
        _wait(device)
        start = time.perf_counter()
        work()
        _wait(device)
        wall.append(time.perf_counter() - start)
    return {"wall_s": median(wall), "processor_s": (time.process_time() - before) / repeats}


def augmentation(batch: Batch, device: str, repeats: int) -> dict[str, dict[str, float]]:
    """Rates with the usual config, with everything on in every sample, and with each effect alone."""
    usual = AugmentConfig()
    always = {name: (1.0, *getattr(usual, name)[1:]) for name in EFFECTS}
    configs = {"usual": usual, "everything": replace(usual, **always)}
    configs |= {name: replace(NO_EFFECTS, **{name: always[name]}) for name in EFFECTS}
    generator = torch.Generator(device=device).manual_seed(0)
    n = len(batch.images)
    rows = {}
    for name, config in configs.items():
        seconds = timed(lambda config=config: augment(batch, config, generator), device, repeats)
        rows[name] = {"images_per_s": n / seconds["wall_s"], "images_per_processor_s": n / seconds["processor_s"]}
    return rows


def training(batch: Batch, device: str, steps: int) -> dict[str, float]:
    """Rate of training the U-Net of the shipped models on the same batch, over and over."""
    net = create_net("unet", {"n_classes": 1 + batch.labels.shape[1]})
    config = TrainConfig(steps=3, batch_size=len(batch.images), log_steps=10**6)

    def stream(first: int):
        while True:
            yield batch

    fit(net, stream, config=config, device=device)
    before, start = time.process_time(), time.perf_counter()
    fit(net, stream, config=replace(config, steps=steps), device=device)
    _wait(device)
    images = steps * len(batch.images)
    return {
        "images_per_s": images / (time.perf_counter() - start),
        "images_per_processor_s": images / (time.process_time() - before),
    }


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", choices=sorted(SHAPES))
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    values = {"device": options.device, "threads": options.threads, "batches": []}
    rate = "images_per_s" if options.device == "cuda" else "images_per_processor_s"
    for n, side in SHAPES[options.device]:
        scenes = random_batch(np.random.default_rng(0), n, SceneConfig(size=side))
        batch = Batch(*(part.to(options.device) for part in scenes))
        rows = augmentation(batch, options.device, repeats=30 if options.device == "cuda" else 10)
        step = training(batch, options.device, steps=30 if options.device == "cuda" else 8)
        ratio = rows["usual"][rate] / step[rate]
        values["batches"].append({"n": n, "side": side, "augment": rows, "train": step, "usual_over_training": ratio})
        print(f"{n} images of {side} × {side} px on {options.device}, {rate}:")
        for name, row in rows.items():
            print(f"  {name:14s} {row[rate]:12,.0f}")
        print(f"  {'training step':14s} {step[rate]:12,.0f}   (augmentation is {ratio:.0f} times as fast)", flush=True)
    write_result("augmentation" if options.device == "cpu" else f"augmentation_{options.device}", values)


if __name__ == "__main__":
    main()
