"""The training loop: one page, every choice visible, exact resume."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import nn

from atomnb.errors import AtomnbError, CancelledError
from atomnb.nets.normalize import normalize
from atomnb.nets.registry import describe_net
from atomnb.nets.shared import has_fast_bf16
from atomnb.train.distributed import Processes
from atomnb.train.losses import class_labels, soft_cross_entropy
from atomnb.train.rundir import Run, begin_session, open_run, save_checkpoint, save_history

AVERAGING = ("ema", "swa", "none")

COUNTS = dict.fromkeys(("steps", "batch_size", "log_steps", "validate_steps"), 1)
COUNTS |= dict.fromkeys(("warmup_steps", "first_look", "patience", "seed"), 0)
"""Settings that are whole numbers, and the least each may be."""

MOST = 2**63 - 1
"""No whole number is larger: torch takes no larger seed."""

RANGES = {
    "learning_rate": (1e-12, 1e3),
    "weight_decay": (0.0, 1e3),
    "decay_share": (0.0, 1.0),
    "ema_decay": (0.0, 1.0),
    "swa_share": (0.0, 1.0),
    "gradient_clip": (1e-12, np.inf),
    "checkpoint_seconds": (0.0, np.inf),
}
"""Bounds of the other settings; NaN is in none."""

MAX_SKIPPED = 10
"""Steps in a row that may be left out for a gradient that is not finite, before the run is given up."""


@dataclass(frozen=True)
class TrainConfig:
    """How to train; stored beside the weights."""

    steps: int = 12500
    batch_size: int = 16
    """Images per step and process."""
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warmup_steps: int = 200
    decay_share: float = 0.3
    """Share of the steps, at the end, over which the learning rate falls to zero."""
    averaging: str = "ema"
    """The weights kept: their exponential average 'ema', the plain mean 'swa' of the last steps, or 'none'."""
    ema_decay: float = 0.998
    swa_share: float = 0.25
    gradient_clip: float = 1.0
    checkpoint_seconds: float = 300.0
    log_steps: int = 50
    validate_steps: int = 500
    first_look: int = 0
    """One validation more, after so many steps, to see early what a long run comes to; 0 = none."""
    patience: int = 0
    """Stop after so many validations without a better score; 0 = train all steps."""
    seed: int = 0
    bf16: bool = True
    """Compute in bfloat16 where that is faster than float32; on many processors it is several times slower."""
    compile: bool = False
    """Compile the network first, which takes about a minute and needs a C++ compiler: for long runs on GPUs."""

    def __post_init__(self) -> None:
        for name, least in COUNTS.items():
            value = getattr(self, name)
            if not (least <= value <= MOST and float(value).is_integer()):
                bound = f"at most {MOST}" if value > MOST else f"at least {least}"
                raise AtomnbError(f"{name} must be a whole number of {bound}, got {value!r}.")
        for name, (low, high) in RANGES.items():
            if not low <= getattr(self, name) <= high:
                raise AtomnbError(f"{name} must be between {low:g} and {high:g}, got {getattr(self, name)!r}.")
        if self.averaging not in AVERAGING:
            raise AtomnbError(f"averaging must be one of {', '.join(AVERAGING)}, got {self.averaging!r}.")


class Trained(NamedTuple):
    """The network with averaged weights, and the log records of the run."""

    net: nn.Module
    history: list[dict]


def learning_rate(step: int, config: TrainConfig) -> float:
    """Warm up, stay, then fall linearly to zero over the last `decay_share` of the steps."""
    rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
    fall = min(1.0, (config.steps - step) / max(1.0, config.decay_share * config.steps))
    return config.learning_rate * rise * fall


def averaging_decay(step: int, config: TrainConfig) -> float:
    """What the average keeps of itself when it takes in the weights after `step`."""
    if config.averaging == "ema":
        return min(config.ema_decay, (1 + step) / (10 + step))
    taken = step - round((1 - config.swa_share) * config.steps)
    return taken / (taken + 1) if config.averaging == "swa" and taken > 0 else 0.0


def out_of_patience(history: list[dict], config: TrainConfig) -> bool:
    """Whether the last `patience` validations have not bettered the score."""
    scores = [record["score"] for record in history if "score" in record]
    return bool(scores) and 0 < config.patience <= len(scores) - 1 - int(np.argmax(scores))


def fit(
    net: nn.Module,
    batches: Callable[[int], Iterator],
    *,
    config: TrainConfig,
    run_dir: Path | None = None,
    recipe: str = "",
    loss: Callable = soft_cross_entropy,
    validate: Callable[[nn.Module], float] | None = None,
    device: str = "cpu",
    processes: Processes | None = None,
    on_log: Callable[[dict], None] | None = None,
) -> Trained:
    """Train `net` and return it with averaged weights, those of the best validation where there is one.

    Parameters
    ----------
    net : takes normalised images (B, 1, H, W), gives logits (B, C, H, W)
    batches : `batches(first)` yields batches number `first`, `first + 1`, … (`atomnb.train.patches.stream_batches`),
        augmented on the device with `atomnb.train.augment.augmented`
    run_dir : checkpoints go here; an unfinished run found here is continued exactly where it stopped
    recipe : name of what makes the batches, kept in `run_dir`
    validate : score of the averaged network in evaluation mode, higher is better
    processes : from `atomnb.train.distributed.join_processes`, when several train together; replaces `device`
    on_log : called with {step, loss, learning_rate, images_per_second} and, after a validation, score; raise
        CancelledError in it to stop (a checkpoint is written first)

    Raises
    ------
    AtomnbError
        If the loss or the gradients stop being finite, `run_dir` holds a run with other settings or of another
        version, or the disk is full. The last complete checkpoint is never harmed.
    """
    processes = processes or Processes(device=device)
    writes = run_dir is not None and processes.is_first
    torch.manual_seed(config.seed)
    run = _new_run(net, config, processes.device)
    if run_dir is not None:
        about = {"recipe": recipe, "architecture": describe_net(net), "processes": processes.world}
        session = {"config": asdict(config), "device": torch.device(processes.device).type}
        open_run(run_dir, run, about, session)
        if writes:
            begin_session(run_dir, run, about, session)
    forward = processes.distribute(run.net)
    forward = torch.compile(forward) if config.compile else forward
    stream = batches(run.step)
    saved = started = time.perf_counter()
    first = run.step
    while run.step < config.steps and not out_of_patience(run.history, config):
        run.losses.append(_one_step(run, forward, next(stream), loss, config, processes))
        _update_average(run.average, run.net, averaging_decay(run.step, config))
        run.step += 1
        recorded = run.step % config.log_steps == 0 or run.step in (config.first_look, config.steps)
        if recorded:
            speed = (run.step - first) * config.batch_size * processes.world / (time.perf_counter() - started)
            _record(run, validate, config, processes, speed)
            _tell(run, on_log if processes.is_first else None, run_dir if writes else None)
        late = time.perf_counter() - saved > config.checkpoint_seconds or run.step == config.steps
        if writes and (late or (recorded and run.step - first <= config.log_steps)):  # soon after the start, too
            save_checkpoint(run_dir, run)
            saved = time.perf_counter()
    if writes and run.step < config.steps:
        save_checkpoint(run_dir, run)
    if run.best is not None:
        run.average.load_state_dict(run.best)
    return Trained(run.average.eval(), run.history)


def _new_run(net: nn.Module, config: TrainConfig, device: str) -> Run:
    net = net.to(device=device, memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    return Run(net, deepcopy(net), optimizer)


def _one_step(run: Run, forward, batch, loss, config: TrainConfig, processes: Processes) -> float:
    """Take one step of the optimiser, unless its gradient is not finite; returns the loss over all processes."""
    images, labels, weights = (part.to(processes.device, non_blocking=True) for part in batch)
    run.net.train()
    for group in run.optimizer.param_groups:
        group["lr"] = learning_rate(run.step, config)
    bf16 = config.bf16 and has_fast_bf16(images.device)
    with torch.autocast(images.device.type, dtype=torch.bfloat16, enabled=bf16):
        logits = forward(normalize(images[:, None]).to(memory_format=torch.channels_last))
    value = loss(logits, class_labels(labels), weights)
    run.optimizer.zero_grad(set_to_none=True)
    value.backward()
    norm = nn.utils.clip_grad_norm_(run.net.parameters(), config.gradient_clip)
    value = processes.mean(value.detach())
    if not torch.isfinite(value):
        raise AtomnbError(
            f"the loss is NaN at step {run.step}: lower the learning rate, train without bf16, or look for NaN in the "
            "images. The last checkpoint is untouched."
        )
    if torch.isfinite(norm):
        run.optimizer.step()
        run.skipped = 0
    elif (skipped := run.skipped + 1) > MAX_SKIPPED:
        raise AtomnbError(
            f"the gradient was not finite {skipped} times in a row, up to step {run.step}: lower the learning rate, or "
            "train without bf16. The last checkpoint is untouched."
        )
    else:
        run.skipped = skipped
    return float(value)


@torch.no_grad()
def _update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    """All tensors in one call: on a GPU each call costs a launch, however small the tensor."""
    pairs = list(zip(average.state_dict().values(), net.state_dict().values(), strict=True))
    kept, new = zip(*(p for p in pairs if p[0].is_floating_point()), strict=True)
    torch._foreach_lerp_(list(kept), list(new), 1 - decay)
    for counter, latest in (p for p in pairs if not p[0].is_floating_point()):
        counter.copy_(latest)


def _record(run: Run, validate, config: TrainConfig, processes: Processes, speed: float) -> None:
    """Append a record to the history; at every `validate_steps` with a score, keeping the best weights."""
    record = {
        "step": run.step,
        "loss": sum(run.losses) / len(run.losses),
        "learning_rate": learning_rate(run.step, config),
        "images_per_second": speed,
    }
    run.losses = []
    due = run.step % config.validate_steps < config.log_steps and run.step % config.log_steps == 0
    if validate is not None and (due or run.step in (config.first_look, config.steps)):
        score = processes.from_first(float(validate(run.average.eval())) if processes.is_first else 0.0)
        if score > max((r["score"] for r in run.history if "score" in r), default=-np.inf):
            run.best = {k: v.detach().clone() for k, v in run.average.state_dict().items()}
        record["score"] = score
    run.history.append(record)


def _tell(run: Run, on_log, run_dir: Path | None) -> None:
    if run_dir is not None:
        save_history(run_dir, run)
    try:
        if on_log:
            on_log(run.history[-1])
    except CancelledError:
        if run_dir is not None:
            save_checkpoint(run_dir, run)
        raise
