"""Warnings kept as texts, for results, pages and tables that show them later."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager

from atomnb.errors import AtomnbWarning


@contextmanager
def gathered_warnings() -> Iterator[list[str]]:
    """Collect the texts of atomnb's own warnings of the block, each once, instead of showing them; others pass on.

    Examples
    --------
    >>> from atomnb.errors import RangeWarning
    >>> with gathered_warnings() as said:
    ...     warnings.warn("too coarse", RangeWarning)
    >>> said
    ['too coarse']
    """
    said: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", AtomnbWarning)
        yield said
    said += dict.fromkeys(str(w.message) for w in caught if issubclass(w.category, AtomnbWarning))
    for other in (w for w in caught if not issubclass(w.category, AtomnbWarning)):
        warnings.warn_explicit(other.message, other.category, other.filename, other.lineno)
