"""The training loop: one page, every choice visible, exact resume."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from atomnb.errors import AtomnbError
from atomnb.nets.normalize import normalize
from atomnb.train.losses import class_labels, soft_cross_entropy


@dataclass(frozen=True)
class TrainConfig:
    """How to train; stored beside the weights."""

    steps: int = 12500
    batch_size: int = 16
    learning_rate: float = 3e-3
    weight_decay: float = 0.01
    warmup_steps: int = 200
    decay_share: float = 0.3
    """Share of the steps, at the end, over which the learning rate falls to zero."""
    ema_decay: float = 0.998
    gradient_clip: float = 1.0
    checkpoint_seconds: float = 300.0
    log_steps: int = 50
    seed: int = 0
    bf16: bool = True


class Trained(NamedTuple):
    """The network with averaged weights, and the log records of the run."""

    net: nn.Module
    history: list[dict]


def learning_rate(step: int, config: TrainConfig) -> float:
    """Warm up, stay, then fall linearly to zero over the last `decay_share` of the steps."""
    rise = min(1.0, (step + 1) / max(1, config.warmup_steps))
    fall = min(1.0, (config.steps - step) / max(1.0, config.decay_share * config.steps))
    return config.learning_rate * rise * fall


def fit(
    net: nn.Module,
    batches: Callable[[int], Iterator],
    *,
    config: TrainConfig,
    run_dir: Path | None = None,
    loss: Callable = soft_cross_entropy,
    device: str = "cpu",
    on_log: Callable[[dict], None] | None = None,
) -> Trained:
    """Train `net` and return it with exponentially averaged weights.

    Parameters
    ----------
    net : takes normalised images (B, 1, H, W), gives logits (B, C, H, W)
    batches : `batches(first)` yields batches number `first`, `first + 1`, … (`atomnb.train.patches.stream_batches`)
    run_dir : checkpoints go here; an unfinished run found here is continued exactly where it stopped
    on_log : called with {step, loss, learning_rate, images_per_second}; raise CancelledError in it to stop

    Raises
    ------
    AtomnbError
        If the loss becomes NaN, or `run_dir` holds a run with other settings.
    """
    torch.manual_seed(config.seed)
    net = net.to(device=device, memory_format=torch.channels_last)
    average = deepcopy(net)
    optimizer = torch.optim.AdamW(net.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay)
    history: list[dict] = []
    step = _resume(run_dir, net, average, optimizer, history, config)
    saved = started = time.perf_counter()
    first, running = step, 0.0
    stream = batches(step)
    while step < config.steps:
        value = _one_step(net, next(stream), optimizer, loss, learning_rate(step, config), config, device)
        _update_average(average, net, min(config.ema_decay, (1 + step) / (10 + step)))
        step += 1
        running += value
        if step % config.log_steps == 0:
            speed = (step - first) * config.batch_size / (time.perf_counter() - started)
            record = {
                "step": step,
                "loss": running / config.log_steps,
                "learning_rate": learning_rate(step, config),
                "images_per_second": speed,
            }
            running = 0.0
            history.append(record)
            if on_log:
                on_log(record)
        if run_dir and (time.perf_counter() - saved > config.checkpoint_seconds or step == config.steps):
            save_checkpoint(run_dir, step, net, average, optimizer, history, config)
            saved = time.perf_counter()
    return Trained(average.eval(), history)


def _one_step(net, batch, optimizer, loss, rate, config: TrainConfig, device) -> float:
    images, labels, weights = (part.to(device, non_blocking=True) for part in batch)
    net.train()
    for group in optimizer.param_groups:
        group["lr"] = rate
    with torch.autocast(device_type=torch.device(device).type, dtype=torch.bfloat16, enabled=config.bf16):
        logits = net(normalize(images[:, None]).to(memory_format=torch.channels_last))
    value = loss(logits, class_labels(labels), weights)
    if not torch.isfinite(value):
        raise AtomnbError(
            "the loss is NaN: lower the learning rate, or train without bf16. The last checkpoint is untouched."
        )
    optimizer.zero_grad(set_to_none=True)
    value.backward()
    nn.utils.clip_grad_norm_(net.parameters(), config.gradient_clip)
    optimizer.step()
    return float(value.detach())


@torch.no_grad()
def _update_average(average: nn.Module, net: nn.Module, decay: float) -> None:
    for kept, new in zip(average.state_dict().values(), net.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)


def save_checkpoint(run_dir, step, net, average, optimizer, history, config: TrainConfig) -> None:
    """All that is needed to go on exactly; replaces the former checkpoint only once it is complete."""
    run_dir = Path(run_dir)
    run_dir.mkdir(parents=True, exist_ok=True)
    state = {
        "step": step,
        "net": net.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }
    temporary = run_dir / "checkpoint.tmp"
    torch.save(state, temporary)
    os.replace(temporary, run_dir / "checkpoint.pt")
    (run_dir / "config.json").write_text(json.dumps(asdict(config), indent=2) + "\n")
    (run_dir / "history.json").write_text(json.dumps(history) + "\n")


def _resume(run_dir, net, average, optimizer, history: list, config: TrainConfig) -> int:
    """Load the run in `run_dir`, if there is one, into the arguments; returns the step to go on from."""
    if run_dir is None or not (Path(run_dir) / "checkpoint.pt").exists():
        return 0
    run_dir = Path(run_dir)
    before = json.loads((run_dir / "config.json").read_text())
    changed = {k for k in ("batch_size", "seed") if before.get(k) != getattr(config, k)}
    if changed:
        raise AtomnbError(
            f"{run_dir} holds a run with another {sorted(changed)}: choose another folder, or the same settings."
        )
    state = torch.load(run_dir / "checkpoint.pt", weights_only=True, map_location="cpu")
    net.load_state_dict(state["net"])
    average.load_state_dict(state["average"])
    optimizer.load_state_dict(state["optimizer"])
    history.extend(json.loads((run_dir / "history.json").read_text()))
    return state["step"]
