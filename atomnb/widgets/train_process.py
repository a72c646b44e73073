"""TrainProcess: the training process of a page, what it says, and how it is stopped."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path


class TrainProcess:
    """Starts `atomnb.widgets.train_worker` and hands on what it says.

    Parameters
    ----------
    run_dir : path
        Holds the job.
    tell : callable
        Called with each message (dict) in the thread that `post` runs callbacks in; the last one has the kind
        'done', 'stopped' or 'error'.
    post : callable
        `post(callback)` runs `callback` in the page's thread.
    """

    def __init__(self, run_dir: Path, *, tell: Callable[[dict], None], post: Callable) -> None:
        self._tell, self._post = tell, post
        self._log = open(Path(run_dir) / "worker.log", "wb")  # noqa: SIM115 closed with the process
        self._process = subprocess.Popen(
            [sys.executable, "-m", "atomnb.widgets.train_worker", str(run_dir)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
            text=True,
            start_new_session=True,  # what ends the kernel is for the kernel: the worker ends with its stdin
        )
        self._run_dir = Path(run_dir)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ask it to write a checkpoint and end; it does so after the steps until its next record."""
        try:
            self._process.stdin.write("stop\n")
            self._process.stdin.flush()
        except OSError:
            return  # it has ended by itself, and said so

    def wait(self, seconds: float) -> None:
        """Wait until it has ended."""
        self._thread.join(seconds)

    def _read(self) -> None:
        last = None
        for line in self._process.stdout:
            try:
                message = json.loads(line)
            except json.JSONDecodeError:
                continue
            last = message["kind"]
            self._post(lambda message=message: self._tell(message))
        code = self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()
        self._log.close()
        if last not in ("done", "stopped", "error"):
            self._post(lambda: self._tell(self._died(code)))

    def _died(self, code: int) -> dict:
        said = (self._run_dir / "worker.log").read_text(encoding="utf-8", errors="replace")[-4000:]
        kept = (self._run_dir / "checkpoint.pt").exists()
        message = (
            f"The training process ended by itself (exit status {code}). Often the memory was not enough: close other "
            "programs, or train a smaller network. "
            + ("Resume goes on from the last checkpoint." if kept else "It had no checkpoint yet: Resume begins anew.")
        )
        return {"kind": "error", "message": message, "expected": True, "details": said}
