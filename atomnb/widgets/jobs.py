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
        self._cancelled = threading.Event()

    def run(self, title: str, work: Callable, *, done: Callable, failed: Callable) -> None:
        """Run `work(progress)`; then `done(result)`, or `failed(error)` if it raised.

        A cancelled job calls neither.
        """
        if self.busy:
            raise AtomnbError(f"{self.title} is still running: wait for it, or cancel it.")
        self._cancelled.clear()
        self._started = time.monotonic()
        self._reported = 0.0
        self.fraction, self.seconds_left = 0.0, None
        self.title, self.message, self.busy = title, "", True
        if self._threaded:
            threading.Thread(target=self._work, args=(work, done, failed), daemon=True).start()
        else:
            self._work(work, done, failed)

    def cancel(self) -> None:
        """Stop the running job at its next report of progress."""
        self._cancelled.set()
        self.message = "stopping …"

    def _work(self, work: Callable, done: Callable, failed: Callable) -> None:
        try:
            result = work(self._progress)
            self._check()
        except CancelledError:
            self._post(self._end)
        except BaseException as error:
            # `error` is unbound after the block; the callback runs later.
            self._post(lambda error=error: self._end(failed, error))
        else:
            self._post(lambda: self._end(done, result))

    def _end(self, then: Callable | None = None, *result) -> None:
        self.busy = False
        if then is not None:
            then(*result)

    def _check(self) -> None:
        if self._cancelled.is_set():
            raise CancelledError("cancelled")

    def _progress(self, fraction: float, message: str = "") -> None:
        self._check()
        now = time.monotonic()
        if now - self._reported < REPORT_EVERY and fraction < 1:
            return
        self._reported = now
        elapsed = now - self._started
        left = elapsed / fraction * (1 - fraction) if fraction > 0.03 and elapsed > 0.7 else None
        self._post(lambda: self._show(min(max(fraction, 0.0), 1.0), message, left))

    def _show(self, fraction: float, message: str, left: float | None) -> None:
        if self.busy and not self._cancelled.is_set():
            self.fraction, self.message, self.seconds_left = fraction, message, left


def main_loop_post() -> Callable:
    """`post` for a Jupyter kernel: callbacks run in the event loop that runs the caller."""
    loop = asyncio.get_running_loop()
    return loop.call_soon_threadsafe
