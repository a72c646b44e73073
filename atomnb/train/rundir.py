"""A training run on disk: all that is needed to go on exactly, to repeat it, and to ship what it made."""

from __future__ import annotations

import io
import json
import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import numpy as np
import torch
from torch import nn

from atomnb import __version__
from atomnb.errors import AtomnbError

FORMAT = 1
"""Version of the folder's layout; a run of another version is refused with a clear error."""

FIXED = ("batch_size", "seed", "averaging")
"""Settings that may not change when a run goes on: they decide what the steps taken so far meant."""


@dataclass(eq=False)
class Run:
    """A run between two steps.

    losses : of the steps since the last record
    history : the records so far
    best : averaged weights with the best validation score, or None when nothing was validated
    skipped : steps in a row that were left out because their gradient was not finite
    """

    net: nn.Module
    average: nn.Module
    optimizer: torch.optim.Optimizer
    step: int = 0
    losses: list[float] = field(default_factory=list)
    history: list[dict] = field(default_factory=list)
    best: Mapping[str, torch.Tensor] | None = None
    skipped: int = 0


def open_run(run_dir: Path, run: Run, about: Mapping[str, Any], session: Mapping[str, Any]) -> None:
    """Load the run in `run_dir`, if there is one, into `run`.

    Parameters
    ----------
    about : what may not differ from the run found: recipe, architecture, number of processes
    session : `config` and `device` of the training about to go on

    Raises
    ------
    AtomnbError
        If the folder holds a run of another version or with other settings, or a damaged one.
    """
    if not (Path(run_dir) / "checkpoint.pt").exists():
        return
    before = read_run(run_dir)
    last = before["sessions"][-1]["config"]
    changed = [k for k, v in about.items() if before.get(k) != json.loads(json.dumps(v))]
    changed += [k for k in FIXED if last.get(k) != session["config"][k]]
    if changed:
        raise AtomnbError(
            f"{run_dir} holds a run with another {', '.join(changed)}: choose another folder, or the same settings."
        )
    state = read_checkpoint(run_dir)
    run.net.load_state_dict(state["net"])
    run.average.load_state_dict(state["average"])
    run.optimizer.load_state_dict(state["optimizer"])
    run.step, run.skipped, run.best = state["step"], state["skipped"], state["best"]
    run.losses, run.history = list(state["losses"]), list(state["history"])


def begin_session(run_dir: Path, run: Run, about: Mapping[str, Any], session: Mapping[str, Any]) -> None:
    """Note in `run.json` from which step on the run is made with which settings and versions."""
    earlier = read_run(run_dir)["sessions"] if run.step else []
    versions = {
        "atomnb": __version__,
        "torch": torch.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    sessions = [*earlier, {"from_step": run.step, **session, "versions": versions}]
    _write_json(Path(run_dir) / "run.json", {"format": FORMAT, **about, "sessions": sessions})


def save_checkpoint(run_dir: Path, run: Run) -> None:
    """Replace the former checkpoint, once the new one is complete."""
    state = {
        "format": FORMAT,
        "step": run.step,
        "net": run.net.state_dict(),
        "average": run.average.state_dict(),
        "optimizer": run.optimizer.state_dict(),
        "losses": run.losses,
        "history": run.history,
        "best": run.best,
        "skipped": run.skipped,
    }
    content = io.BytesIO()
    torch.save(state, content)
    _write(Path(run_dir) / "checkpoint.pt", content.getvalue())


def save_history(run_dir: Path, run: Run) -> None:
    """Write the records to `history.json`, for those who watch the run from outside."""
    _write_json(Path(run_dir) / "history.json", run.history)


def read_run(run_dir: Path) -> dict[str, Any]:
    """What `run.json` says of a run: format, recipe, architecture, processes, sessions.

    Raises
    ------
    AtomnbError
    """
    path = Path(run_dir) / "run.json"
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        found = {}
    except (OSError, json.JSONDecodeError) as error:
        raise AtomnbError(f"{path} cannot be read ({error}): train in another folder.") from error
    _check_format(run_dir, found.get("format"))
    return found


def read_checkpoint(run_dir: Path) -> dict[str, Any]:
    """The last checkpoint of a run, on the CPU.

    Raises
    ------
    AtomnbError
        If there is none, it is damaged, or of another version.
    """
    path = Path(run_dir) / "checkpoint.pt"
    if not path.exists():
        raise AtomnbError(f"{run_dir} holds no checkpoint: train first (python -m atomnb.train --folder {run_dir}).")
    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
    except (OSError, RuntimeError, EOFError, UnpicklingError) as error:
        raise AtomnbError(f"{path} is damaged ({error}): delete it and train again.") from error
    _check_format(run_dir, state.get("format"))
    return state


def kept_steps(run_dir: Path) -> int:
    """The step from which the run goes on: that of its checkpoint, 0 where there is none.

    Raises
    ------
    AtomnbError
        If the checkpoint is damaged or of another version.
    """
    return read_checkpoint(run_dir)["step"] if (Path(run_dir) / "checkpoint.pt").exists() else 0


def shipped_weights(run_dir: Path) -> Mapping[str, torch.Tensor]:
    """The averaged weights that a run made: those of its best validation, or its last where nothing was validated."""
    state = read_checkpoint(run_dir)
    return state["best"] or state["average"]


def _check_format(run_dir, found) -> None:
    if found != FORMAT:
        raise AtomnbError(
            f"{run_dir} holds a run of format {found}, and this atomnb ({__version__}) knows format {FORMAT}: go on "
            "with the version that began it, or train in another folder."
        )


def _write_json(path: Path, content) -> None:
    _write(path, (json.dumps(content, indent=1) + "\n").encode())


def _write(path: Path, content: bytes) -> None:
    """Write a file under a temporary name, and rename it once it is safely on disk."""
    temporary = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(temporary, "wb") as handle:
            handle.write(content)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    except OSError as error:
        with suppress(OSError):  # where the folder is a file
            temporary.unlink(missing_ok=True)
        raise AtomnbError(
            f"{path} could not be written ({error.strerror}, {len(content) / 1e6:.1f} MB): make room and train again "
            "with the same folder. What was there before is untouched."
        ) from error
