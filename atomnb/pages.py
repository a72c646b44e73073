"""Where the dashboards and notebooks lie: in the checkout, or else inside the installed package."""

from __future__ import annotations

import shutil
from pathlib import Path

from atomnb.errors import AtomnbError

KINDS = ("dashboards", "notebooks")
"""The folders of pages that travel with atomnb."""

_PACKAGE = Path(__file__).resolve().parent


def pages_dir(kind: str) -> Path:
    """The folder of dashboards or notebooks.

    Parameters
    ----------
    kind : {'dashboards', 'notebooks'}

    Raises
    ------
    AtomnbError
        For another `kind`, or when the installation lacks the folder.
    """
    if kind not in KINDS:
        raise AtomnbError(f"kind must be one of {', '.join(KINDS)}, got {kind!r}.")
    folder = _checkout() / kind if is_checkout() else _PACKAGE / "_pages" / kind
    if not folder.is_dir():
        raise AtomnbError(f"the {kind} are missing ({folder} does not exist): install atomnb again.")
    return folder


def is_checkout() -> bool:
    """Whether atomnb runs from its source tree (an editable installation)."""
    return (_checkout() / "pyproject.toml").is_file() and not (_PACKAGE / "_pages").exists()


def working_notebooks(home: Path | None = None) -> Path:
    """A folder of notebooks the user may change.

    A checkout's own folder; else `~/atomnb/notebooks`, where notebooks that are not there yet are copied.
    What the user has changed is never overwritten.

    Parameters
    ----------
    home : pathlib.Path, optional
        Used in place of the home folder.
    """
    source = pages_dir("notebooks")
    if is_checkout():
        return source
    target = (home or Path.home()) / "atomnb" / "notebooks"
    for file in sorted(p for p in source.rglob("*") if p.is_file()):
        copy = target / file.relative_to(source)
        if not copy.exists():
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, copy)
    return target


def _checkout() -> Path:
    return _PACKAGE.parent
