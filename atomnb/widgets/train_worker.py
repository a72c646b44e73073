"""The process that trains for the page *Train*: `python -m atomnb.widgets.train_worker RUN_DIR`, JSON lines on stdout.

It stops, with a checkpoint, when its stdin says anything or closes: so it never outlives the page it works for. If the
page has gone already, nobody hears what it says, and a worker that resumes the run waits for its end.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path

import torch

from atomnb.errors import AtomnbError, CancelledError
from atomnb.io.locked import locked
from atomnb.train.job import TrainJob, read_job
from atomnb.train.loop import fit
from atomnb.widgets.train_preview import preview_of, score, write_preview

NICENESS = 5
"""Training gives way to the page, which must answer at once."""

VALIDATION_BATCHES = 1


def main(run_dir: Path) -> None:
    """Train as the job in the folder says, telling stdout."""
    stop = threading.Event()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    threading.Thread(target=_listen, args=(stop,), daemon=True).start()
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    try:
        with locked(run_dir / ".lock", waiting=_waiting(stop)):
            _train(run_dir, read_job(run_dir), stop)
        _say(kind="done")
    except CancelledError:
        _say(kind="stopped")
    except Exception as error:
        expected = isinstance(error, AtomnbError | OSError | MemoryError)
        _say(kind="error", message=str(error), expected=expected, details=traceback.format_exc())


def _waiting(stop: threading.Event) -> Callable[[], None]:
    """Says once that another process trains this run, and ends the wait when the page asks to stop."""
    said: list[bool] = []

    def wait() -> None:
        if not said:
            _say(kind="waiting")
            said.append(True)
        if stop.is_set():
            raise CancelledError("stopped")

    return wait


def _train(run_dir: Path, job: TrainJob, stop: threading.Event) -> None:
    config, started = job.config(), time.monotonic()
    net = job.create_net()
    card = job.card(net, name="training", calibration=(1.0, 0.0), accuracy={})
    unseen: list = []
    _say(kind="ready", steps=config.steps)

    def validate(average: torch.nn.Module) -> float:
        if not unseen:  # not before `fit` has forked its loader: a fork after torch has computed may hang
            unseen.extend(job.unseen(VALIDATION_BATCHES))
        write_preview(run_dir, preview_of(average, card, unseen[0], run_dir))
        _say(kind="preview")
        return score(average, unseen)

    def report(record: dict) -> None:
        _say(kind="log", record=record)
        late = job.minutes and time.monotonic() - started > 60 * job.minutes
        if (stop.is_set() or late) and record["step"] < config.steps:
            raise CancelledError("stopped")

    fit(
        net,
        job.batches,
        config=config,
        run_dir=run_dir,
        recipe=job.source,
        validate=validate,
        device=job.device,
        on_log=report,
    )


def _listen(stop: threading.Event) -> None:
    """Wait for a word, or the end, of stdin; past `sys.stdin`, whose lock a forked loader would wait for for ever."""
    os.read(0, 1)
    stop.set()


def _say(**message) -> None:
    try:
        print(json.dumps(message), flush=True)
    except BrokenPipeError:  # the checkpoint must still be written
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main(Path(sys.argv[1]))
