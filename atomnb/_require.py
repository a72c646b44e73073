"""One way to ask for an optional package, so that the error always names the extra that brings it."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

from atomnb.errors import MissingPackageError


def require(package: str, *, extra: str) -> ModuleType:
    """Import an optional package.

    Parameters
    ----------
    package : str
        Name as in an import statement, for example 'ase'.
    extra : str
        The extra of atomnb that installs it, for example 'simulate'.

    Raises
    ------
    MissingPackageError
        If it is not installed.
    """
    try:
        return import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package.split(".")[0]:
            raise
        raise MissingPackageError(
            f"this needs the package {package!r}, which is not installed: pip install 'atomnb[{extra}]'."
        ) from error
