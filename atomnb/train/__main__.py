"""The recipes of the shipped models, as one command: `python -m atomnb.train universal`.

On several GPUs: `torchrun --standalone --nproc-per-node 4 -m atomnb.train universal --folder runs/mine` (`--run` is
`--folder` too, but torchrun takes it for an option of its own).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import torch

from atomnb.errors import AtomnbError
from atomnb.nets.registry import create_net
from atomnb.train.distributed import join_processes, leave_processes
from atomnb.train.job import TrainJob
from atomnb.train.loop import AVERAGING, TrainConfig, fit
from atomnb.train.patches import stream_batches
from atomnb.train.recipes import RECIPES, recipe
from atomnb.train.validate import unseen_score

VALIDATION_BATCHES = 4


def main(words: Sequence[str] | None = None) -> None:
    """Train, printing a line every 50 steps; run again with the same folder to go on after an interruption.

    An error is one line with its remedy and exit status 1.
    """
    options = _parser().parse_args(words)
    try:
        _train(options)
    except AtomnbError as error:
        print(f"atomnb.train: {error}", file=sys.stderr)
        sys.exit(1)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m atomnb.train", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("model", nargs="?", default="universal", choices=sorted(RECIPES))
    parser.add_argument("--folder", "--run", type=Path, help="of the checkpoints (default: runs/MODEL)")
    parser.add_argument("--steps", type=_at_least(1), help="instead of the recipe's")
    parser.add_argument("--seed", type=_at_least(0), default=0, help="of the first weights and of the scenes")
    parser.add_argument("--threads", type=_at_least(1))
    parser.add_argument(
        "--workers", type=_at_least(0), default=1, help="processes that simulate; a GPU keeps a dozen busy"
    )
    parser.add_argument("--device", type=_usable_device, default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument(
        "--validate",
        type=_at_least(1),
        metavar="STEPS",
        help="every so many steps, take the loss on scenes of other seeds, and keep the weights that were best there",
    )
    parser.add_argument(
        "--patience",
        type=_at_least(0),
        default=0,
        metavar="N",
        help="stop after N validations without a better one, by default one in 500 steps (default: train all steps)",
    )
    parser.add_argument(
        "--average",
        choices=AVERAGING,
        default="ema",
        help="the weights kept: exponential average, plain mean of the last quarter, or the last ones (default: ema)",
    )
    parser.add_argument(
        "--compile", action="store_true", help="the network first: a minute and a C++ compiler, for long runs on GPUs"
    )
    return parser


def _at_least(least: int) -> Callable[[str], int]:
    """Reads a whole number that is not below `least`."""

    def whole(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"must be a whole number of at least {least}, got {text!r}")
        return value

    return whole


def _usable_device(text: str) -> str:
    """Checks that torch can compute there."""
    try:
        missing = torch.device(text).type == "cuda" and not torch.cuda.is_available()
    except RuntimeError:
        raise argparse.ArgumentTypeError(f"must be 'cpu' or 'cuda', got {text!r}") from None
    if missing:
        raise argparse.ArgumentTypeError("torch sees no CUDA GPU here: take 'cpu'")
    return text


def _train(options: argparse.Namespace) -> None:
    if options.threads:
        torch.set_num_threads(options.threads)
    chosen = recipe(options.model)
    config = _config(options, chosen.steps)

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

    net = create_net(chosen.net, {"n_classes": len(chosen.classes)}, seed=config.seed)
    run_dir = options.folder or Path("runs") / options.model
    job = TrainJob(recipe=options.model, batch_size=config.batch_size, seed=config.seed)
    score = unseen_score(partial(job.unseen, VALIDATION_BATCHES, images=config.batch_size, seed=config.seed))
    history = fit(
        net,
        batches,
        config=config,
        run_dir=run_dir,
        recipe=options.model,
        validate=score if options.validate or options.patience else None,
        processes=processes,
        on_log=_report,
    ).history
    if processes.is_first and history[-1]["step"] < config.steps:
        print(f"{config.patience} validations without a better one: stopped early, the best weights are kept")
    leave_processes()


def _config(options: argparse.Namespace, steps: int) -> TrainConfig:
    validate = options.validate or TrainConfig.validate_steps
    return TrainConfig(
        steps=options.steps or steps,
        seed=options.seed,
        patience=options.patience,
        averaging=options.average,
        compile=options.compile,
        validate_steps=validate,
        log_steps=min(validate, TrainConfig.log_steps),
    )


def _report(record: dict) -> None:
    line = "step {step:6d}  loss {loss:.5f}  rate {learning_rate:.5f}  {images_per_second:.0f} images/s"
    unseen = f"  unseen loss {-record['score']:.5f}" if "score" in record else ""
    print(line.format(**record) + unseen, flush=True)


if __name__ == "__main__":
    main()
