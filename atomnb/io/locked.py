"""One at a time: a lock on a file that ends with the process that holds it, however that ends."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Wait until no other process is inside this block with the same file `path`, which is made if needed.

    Processes that the holder forked while inside hold the lock, too, until they end.
    """
    with Path(path).open("a") as handle:
        _wait_for(handle.fileno())
        yield


def _wait_for(file: int) -> None:
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        while True:
            try:
                return msvcrt.locking(file, msvcrt.LK_LOCK, 1)
            except OSError as error:
                if error.errno != errno.EDEADLK:  # what it raises when it has waited for ten seconds
                    raise
    fcntl.flock(file, fcntl.LOCK_EX)
