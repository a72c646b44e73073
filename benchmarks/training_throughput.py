"""Images per second in training: AtomAI's own trainer against our loop, taking turns.

The same network (AtomAI's default U-Net), the same 128 × 128 images, the same batch of 16, the same threads; neither
simulating nor the first step is counted. AtomAI's step is the body of its `fit`: a training batch, then a test batch;
its training part alone is timed as well, and so is our loop in float32. Runs in the peers' environment
(`setup_peers.py`).

    .peers/bin/python benchmarks/training_throughput.py
"""

from __future__ import annotations

import argparse
import sys
import time
import warnings
from statistics import median

import numpy as np
import torch
from record import ROOT, write_result

sys.path.insert(0, str(ROOT))

from atomnb.simulate.batch import Batch, random_batch
from atomnb.simulate.layout import SceneConfig
from atomnb.train.loop import TrainConfig, fit

BATCH = 16
LEVELS = (0.3, 0.7)
"""Our soft labels above these make the rim and the core of a column: AtomAI takes two classes for a mistake."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=6, help="per timing")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    batches = [rim_and_core(random_batch(np.random.default_rng(i), BATCH, SceneConfig())) for i in range(options.steps)]
    timings = {
        "atomnb": lambda: time_ours(batches, bf16=True),
        "atomnb_float32": lambda: time_ours(batches, bf16=False),
        "atomai": lambda: time_atomai(batches, test_too=True),
        "atomai_training_alone": lambda: time_atomai(batches, test_too=False),
    }
    raw: dict[str, list[dict[str, float]]] = {name: [] for name in timings}
    for turn in range(options.repeats + 1):
        for name, timing in timings.items():
            taken = timing()
            if turn:  # the first turn warms caches up
                raw[name].append(taken)
                print(f"{name:<24} {taken['images_per_s']:.1f} images/s", flush=True)
    report(raw, threads=options.threads, dry=options.dry)


def rim_and_core(batch: Batch) -> Batch:
    """The batch with one soft label for the rim of the columns and one for their core."""
    core = batch.labels > LEVELS[1]
    return batch._replace(labels=torch.cat([batch.labels * ~core, batch.labels * core], dim=1))


def new_trainer():
    """AtomAI's segmentor with its default U-Net, three classes: background, rim and core."""
    from atomai.models import Segmentor

    return Segmentor("Unet", nb_classes=3)


def time_atomai(batches: list[Batch], *, test_too: bool) -> dict[str, float]:
    trainer = new_trainer()
    images = torch.cat([scaled(b.images)[:, None] for b in batches])
    masks = torch.cat([sum((b.labels.sum(dim=1) > level).long() for level in LEVELS) for b in batches])
    trainer.compile_trainer((images, masks, images, masks), training_cycles=len(batches), batch_size=BATCH)
    features = [trainer.dataloader(i) for i in trainer.batch_idx_train]
    clock = Clock()
    for cycle in range(len(batches)):
        if test_too:
            trainer.step(cycle)
        else:
            trainer.train_step(*features[cycle])
        clock.step_done()
    return clock.speed()


def time_ours(batches: list[Batch], *, bf16: bool) -> dict[str, float]:
    clock = Clock()
    config = TrainConfig(steps=len(batches), batch_size=BATCH, bf16=bf16, log_steps=1)
    fit(new_trainer().net, lambda first: iter(batches[first:]), config=config, on_log=lambda record: clock.step_done())
    return clock.speed()


class Clock:
    """Wall and processor time at the end of each step; the first one, which sets the kernels up, is not counted."""

    def __init__(self) -> None:
        self._ends: list[tuple[float, float]] = []

    def step_done(self) -> None:
        self._ends.append((time.perf_counter(), time.process_time()))

    def speed(self) -> dict[str, float]:
        seconds, processor = (last - first for first, last in zip(self._ends[0], self._ends[-1], strict=True))
        images = BATCH * (len(self._ends) - 1)
        return {
            "s": seconds,
            "cpu_s": processor,
            "images_per_s": images / seconds,
            "images_per_cpu_s": images / processor,
        }


def scaled(images: torch.Tensor) -> torch.Tensor:
    """To (0, 1), as AtomAI's users are told to."""
    low, high = images.amin(dim=(1, 2), keepdim=True), images.amax(dim=(1, 2), keepdim=True)
    return (images - low) / (high - low)


def report(raw: dict[str, list[dict[str, float]]], *, threads: int, dry: bool) -> None:
    def middle(name: str, what: str) -> float:
        return median(t[what] for t in raw[name])

    summary = {f"{name}_images_per_s": middle(name, "images_per_s") for name in raw}
    for peer in ("atomai", "atomai_training_alone"):
        for what, suffix in (("images_per_s", ""), ("images_per_cpu_s", "_in_processor_time")):
            pairs = zip(raw["atomnb"], raw[peer], strict=True)
            summary[f"times_{peer}{suffix}"] = median(a[what] / b[what] for a, b in pairs)
    for name, value in summary.items():
        print(f"{name:<46} {value:.3g}")
    from importlib.metadata import version

    words = {
        "atomnb": "atomnb's loop, bf16",
        "atomnb_float32": "atomnb's loop, float32",
        "atomai": f"AtomAI {version('atomai')}, its fit",
        "atomai_training_alone": "AtomAI, its training steps without its test steps",
    }
    rows = [
        [words[k], summary[f"{k}_images_per_s"], summary.get(f"times_{k}"), summary.get(f"times_{k}_in_processor_time")]
        for k in raw
    ]
    setting = f"the same U-Net, batch of 16 images of 128², {threads} thread{'s' * (threads > 1)}"
    columns = [setting, "images/s", "ours is faster by", "in processor time by"]
    if not dry:
        values = {"threads": threads, "summary": summary, "raw": raw, "table": {"columns": columns, "rows": rows}}
        write_result("training_throughput", values)


if __name__ == "__main__":
    main()
