"""Jobs: one long computation at a time, in a thread, with progress, time left and cancel."""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable

import traitlets

from atomnb.errors import AtomnbError, CancelledError

REPORT_EVERY = 0.1
"""Seconds between two reports of progress to the page."""


class Jobs(traitlets.HasTraits):
    """Runs work in a thread and reports in the thread that made it.

    Parameters
    ----------
    post : callable
        `post(callback)` runs `callback` in the main thread; see `main_loop_post`.
    threaded : bool
        False runs the work at once in the calling thread (for tests and scripts).
    """

    busy = traitlets.Bool(False)
    title = traitlets.Unicode("")
    message = traitlets.Unicode("")
    fraction = traitlets.Float(0.0)
    seconds_left = traitlets.Float(None, allow_none=True)

    def __init__(self, *, post: Callable | None = None, threaded: bool = True) -> None:
        super().__init__()
        self._post = post or (lambda callback: callback())
        self._threaded = threaded
        self._current: _Job | None = None

    def run(self, title: str, work: Callable, *, done: Callable, failed: Callable) -> None:
        """Run `work(progress)`; then `done(result)`, or `failed(error)` if it raised.

        A cancelled job calls neither.
        """
        if self.busy:
            raise AtomnbError(f"{self.title} is still running: wait for it, or cancel it.")
        job = self._current = _Job(self, work, done, failed)
        self.fraction, self.seconds_left = 0.0, None
        self.title, self.message, self.busy = title, "", True
        if self._threaded:
            threading.Thread(target=job.run, daemon=True).start()
        else:
            job.run()

    def cancel(self) -> None:
        """Forget the running job at once; its thread ends when it next reports progress."""
        self._current = None
        self.busy = False


class _Job:
    """One computation; it counts only as long as it is the current one of its `Jobs`."""

    def __init__(self, jobs: Jobs, work: Callable, done: Callable, failed: Callable) -> None:
        self.jobs, self.work, self.done, self.failed = jobs, work, done, failed
        self.started = time.monotonic()
        self.reported = 0.0

    def run(self) -> None:
        try:
            result = self.work(self.progress)
        except BaseException as error:
            # `error` is unbound after the block; the callback runs later.
            self.jobs._post(lambda error=error: self.end(self.failed, error))
        else:
            self.jobs._post(lambda: self.end(self.done, result))

    def progress(self, fraction: float, message: str = "") -> None:
        if self.jobs._current is not self:
            raise CancelledError("cancelled")
        now = time.monotonic()
        if now - self.reported < REPORT_EVERY and fraction < 1:
            return
        self.reported = now
        elapsed = now - self.started
        left = elapsed / fraction * (1 - fraction) if fraction > 0.03 and elapsed > 0.7 else None
        self.jobs._post(lambda: self.show(min(max(fraction, 0.0), 1.0), message, left))

    def show(self, fraction: float, message: str, left: float | None) -> None:
        if self.jobs._current is self:
            self.jobs.fraction, self.jobs.message, self.jobs.seconds_left = fraction, message, left

    def end(self, then: Callable, value) -> None:
        if self.jobs._current is self:
            self.jobs._current = None
            self.jobs.busy = False
            then(value)


def main_loop_post() -> Callable:
    """`post` for a Jupyter kernel: callbacks run in the event loop that runs the caller."""
    loop = asyncio.get_running_loop()
    return loop.call_soon_threadsafe
