"""Write files whole or not at all: a full disk or a crash leaves no half file, and an older file survives."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(path) -> Iterator[Path]:
    """A temporary path beside `path`, which takes its name when the block ends without an error.

    Parameters
    ----------
    path : str or path
        The file to be written; its folder is made if needed.

    Yields
    ------
    Path
        Where to write. It has the ending of `path`, because some writers choose the format by it.

    Examples
    --------
    >>> with atomic_path("atoms.csv") as temporary:  # doctest: +SKIP
    ...     temporary.write_text("y,x")
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.stem[:40]}-", suffix=path.suffix)
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        temporary.chmod(_mode(path))
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def _mode(path: Path) -> int:
    """Permissions of the file that is replaced, or those a new file would get."""
    if path.exists():
        return path.stat().st_mode & 0o777
    mask = os.umask(0)
    os.umask(mask)
    return 0o666 & ~mask
