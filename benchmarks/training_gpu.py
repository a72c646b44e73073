"""Training on a GPU: images per second of the universal model's network, alone and fed by the simulator.

"alone" shows the loop batches that lie on the GPU already, for several batch sizes; the share of peak counts the
floating-point operations of forward and backward pass against the card's dense bf16 rate. "fed" trains on scenes
simulated meanwhile by processes on the CPU, and beside it stands what these processes give when nobody trains: where
the fed rate is that of the processes, they are the bottleneck. Last, what one process gives that draws the layouts on
the CPU and renders them on the GPU.

    python benchmarks/training_gpu.py --workers 14
"""

from __future__ import annotations

import argparse
import itertools
import time

import numpy as np
import torch
from record import write_result
from torch.utils.flop_counter import FlopCounterMode

from atomnb.nets.registry import create_net
from atomnb.simulate.batch import Batch, random_batch
from atomnb.train.loop import TrainConfig, fit
from atomnb.train.losses import class_labels, soft_cross_entropy
from atomnb.train.patches import stream_batches
from atomnb.train.recipes import UNIVERSAL

PEAK_TFLOPS = {"H100": 989.0, "H200": 989.0, "A100": 312.0}
"""Dense bf16 rates of the makers' data sheets, by a part of the card's name."""

SIZES = (16, 64, 256)
WARM_UP = 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--steps", type=int, default=150, help="per timing")
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("no GPU here.")
    card = torch.cuda.get_device_name(0)
    peak = next((v for k, v in PEAK_TFLOPS.items() if k in card), None)
    base = next(stream(16, workers=1))
    rows = [alone(Batch(*(p.repeat((n // 16,) + (1,) * (p.ndim - 1)) for p in base)), options.steps) for n in SIZES]
    fed = speed_of(stream(16, workers=options.workers), 16, options.steps)
    made = drawn(stream(16, workers=options.workers), options.steps)
    rendered = {n: drawn(on_gpu(n), options.steps // 5) for n in SIZES[:2]}
    lines = [
        [f"alone, batch of {r['batch']}", round(r["images_per_s"]), share(r["tflops"], peak)] for r in rows
    ] + [
        [f"fed by {options.workers} simulating processes, batch of 16", round(fed), None],
        [f"{options.workers} simulating processes, nobody training", round(made), None],
        *([f"one process rendering on the GPU, batch of {n}", round(v), None] for n, v in rendered.items()),
    ]  # fmt: skip
    for line in lines:
        print(line, flush=True)
    table = {"columns": [f"universal model's U-Net, images of 128², {card}", "images/s", "share of bf16 peak"]}
    values = {
        "rows": rows,
        "fed_images_per_s": fed,
        "made_images_per_s": made,
        "rendered_images_per_s": rendered,
        "peak_tflops": peak,
    }
    if not options.dry:
        write_result("training_gpu", values | {"table": table | {"rows": lines}})


def stream(batch: int, *, workers: int):
    """Batches of the universal recipe's last stage."""
    return stream_batches([(0, UNIVERSAL.curriculum[-1][1])], batch_size=batch, seed=3, workers=workers)


def on_gpu(batch: int):
    """Batches rendered on the GPU by this process."""
    rng = np.random.default_rng(3)
    while True:
        yield random_batch(rng, batch, UNIVERSAL.curriculum[-1][1], device="cuda")


def alone(batch: Batch, steps: int) -> dict[str, float]:
    """Speed on one batch that stays on the GPU, and its arithmetic."""
    held = Batch(*(part.cuda() for part in batch))
    speed = speed_of(itertools.repeat(held), len(held.images), steps)
    return {"batch": len(held.images), "images_per_s": speed, "tflops": speed * operations_per_image(held) / 1e12}


def speed_of(batches, size: int, steps: int) -> float:
    """Images per second of the training loop, its first steps left out."""
    marks: list[tuple[int, float]] = []
    config = TrainConfig(steps=WARM_UP + steps, batch_size=size, log_steps=WARM_UP)

    def mark(record: dict) -> None:
        torch.cuda.synchronize()
        marks.append((record["step"], time.perf_counter()))

    fit(create_net("unet", {"n_classes": 2}), lambda first: batches, config=config, device="cuda", on_log=mark)
    (first, begun), (last, ended) = marks[0], marks[-1]
    return size * (last - first) / (ended - begun)


def drawn(batches, steps: int) -> float:
    """Images per second that the simulating processes deliver."""
    for _ in range(WARM_UP):
        next(batches)
    torch.cuda.synchronize()
    started = time.perf_counter()
    for _ in range(steps):
        batch = next(batches)
    torch.cuda.synchronize()
    return len(batch.images) * steps / (time.perf_counter() - started)


def operations_per_image(batch: Batch) -> float:
    """Floating-point operations of one forward and backward pass."""
    net = create_net("unet", {"n_classes": 2}).cuda()
    with FlopCounterMode(display=False) as counter:
        soft_cross_entropy(net(batch.images[:, None]), class_labels(batch.labels), batch.weights).backward()
    return counter.get_total_flops() / len(batch.images)


def share(tflops: float, peak: float | None) -> str | None:
    return None if peak is None else f"{100 * tflops / peak:.1f} %"


if __name__ == "__main__":
    main()
