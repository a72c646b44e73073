"""debounced: run a callback once, shortly after the last of many calls."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


def debounced(callback: Callable[[], None], *, seconds: float = 0.15) -> Callable[..., None]:
    """A function that runs `callback` `seconds` after its last call, or at once where no event loop runs."""
    pending: list[asyncio.TimerHandle] = []

    def call(*_ignored) -> None:
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            callback()
            return
        while pending:
            pending.pop().cancel()
        pending.append(loop.call_later(seconds, callback))

    return call
