"""What atomnb warns of: shown as Python warnings, or gathered as texts for results, pages and tables."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from atomnb.errors import AtomnbWarning

_listener: ContextVar[list[str] | None] = ContextVar("listener", default=None)


def warn(message: str, category: type[AtomnbWarning], *, stacklevel: int = 2) -> None:
    """Warn the user; where `gathered_warnings` listens, the text goes into its list instead, once.

    Examples
    --------
    >>> from atomnb.errors import RangeWarning
    >>> with gathered_warnings() as said:
    ...     warn("too coarse", RangeWarning)
    >>> said
    ['too coarse']
    """
    said = _listener.get()
    if said is None:
        warnings.warn(message, category, stacklevel=stacklevel + 1)
    elif message not in said:
        said.append(message)


@contextmanager
def gathered_warnings() -> Iterator[list[str]]:
    """Collect the texts of atomnb's warnings of the block, in this thread alone, instead of showing them."""
    said: list[str] = []
    token = _listener.set(said)
    try:
        yield said
    finally:
        _listener.reset(token)
