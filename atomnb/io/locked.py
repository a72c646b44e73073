"""One at a time: a lock on a file that ends with the process that holds it, however that ends."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

PAUSE = 0.1
"""Seconds until it is tried again."""


@contextmanager
def locked(path: Path, *, waiting: Callable[[], None] | None = None) -> Iterator[None]:
    """Wait until no other process is inside this block with the same file `path`, which is made if needed.

    Processes that the holder forked while inside hold the lock, too, until they end.

    Parameters
    ----------
    path : file to lock
    waiting : called again and again while another is inside; what it raises ends the wait
    """
    with Path(path).open("a") as handle:
        while not _taken(handle.fileno()):
            if waiting:
                waiting()
            time.sleep(PAUSE)
        yield


def _taken(file: int) -> bool:
    """Lock the file, unless another process has."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        try:
            msvcrt.locking(file, msvcrt.LK_NBLCK, 1)
        except PermissionError:
            return False
        return True
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
