"""The recipes of the shipped models, as one command: `python -m atomnb.train universal`.

On several GPUs: `torchrun --standalone --nproc-per-node 4 -m atomnb.train universal`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import torch

from atomnb.nets.registry import create_net
from atomnb.train.distributed import join_processes, leave_processes
from atomnb.train.loop import TrainConfig, fit
from atomnb.train.patches import stream_batches
from atomnb.train.recipes import RECIPES, recipe


def main() -> None:
    """Train, printing a line every 50 steps; run again with the same folder to go on after an interruption."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", nargs="?", default="universal", choices=sorted(RECIPES))
    parser.add_argument("--run", type=Path, help="folder of checkpoints (default: runs/MODEL)")
    parser.add_argument("--steps", type=int, help="instead of the recipe's")
    parser.add_argument("--seed", type=int, default=0, help="of the first weights and of the scenes")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--workers", type=int, default=1, help="processes that simulate; a GPU keeps a dozen busy")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    chosen = recipe(options.model)
    config = TrainConfig(steps=options.steps or chosen.steps, seed=options.seed)

    processes = join_processes(options.device)
    share = (processes.rank, processes.world)

    def batches(start: int):
        return stream_batches(
            chosen.curriculum,
            batch_size=config.batch_size,
            seed=config.seed,
            start=start,
            share=share,
            workers=options.workers,
        )

    def report(record: dict) -> None:
        print(
            "step {step:6d}  loss {loss:.5f}  rate {learning_rate:.5f}  {images_per_second:.0f} images/s".format(
                **record
            ),
            flush=True,
        )

    net = create_net(chosen.net, {"n_classes": len(chosen.classes)}, seed=config.seed)
    run_dir = options.run or Path("runs") / options.model
    fit(net, batches, config=config, run_dir=run_dir, recipe=options.model, processes=processes, on_log=report)
    leave_processes()


if __name__ == "__main__":
    main()
