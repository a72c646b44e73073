"""ErrorReport: what a page says when something fails, and the one wrapper every callback runs through."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from functools import wraps
from typing import NamedTuple

from atomnb import __version__
from atomnb.errors import AtomnbError, MissingPackageError


class ErrorReport(NamedTuple):
    """An error in words: what happened, what to do, and the details to send to the developers."""

    title: str
    message: str
    details: str


def report_of(error: BaseException, *, doing: str) -> ErrorReport:
    """Describe `error`, which happened while `doing` ('opening the file')."""
    details = "".join(traceback.format_exception(error)) + f"\natomnb {__version__}"
    if isinstance(error, AtomnbError | MissingPackageError):
        message = str(error)
    elif isinstance(error, MemoryError):
        message = "The memory was not enough. Close other programs, or analyse a part of the image."
    elif isinstance(error, OSError):
        message = f"{error.strerror or error}. Check that the file is there and that you may read it."
    else:
        message = (
            f"{type(error).__name__}: {error}. This is a fault in atomnb, not yours: please send the details below "
            "to the developers, with the file if you can."
        )
    return ErrorReport(f"A problem while {doing}", message, details)


def guarded(show: Callable[[ErrorReport], None], doing: str) -> Callable:
    """Decorate a callback: an exception becomes `show(ErrorReport)` instead of vanishing."""

    def decorate(callback: Callable) -> Callable:
        @wraps(callback)
        def run(*args):
            try:
                return callback(*args)
            except Exception as error:
                show(report_of(error, doing=doing))
                return None

        return run

    return decorate
