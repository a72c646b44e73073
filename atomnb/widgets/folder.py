"""DataFolder: the only folder a page may open files from, and what is in it."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import NamedTuple

from atomnb.errors import AtomnbError
from atomnb.io.formats import EXTENSIONS

MAX_ENTRIES = 2000
"""Entries of a folder that are listed; a longer list helps nobody."""


class Entry(NamedTuple):
    """A folder or an image file: `path` is relative to the root, `size` in bytes (None for folders)."""

    name: str
    path: str
    size: int | None

    @property
    def is_folder(self) -> bool:
        return self.size is None


class DataFolder:
    """A folder and everything below it; nothing outside, whatever a path or a link says.

    Parameters
    ----------
    root : path, optional
        Default: the environment variable ATOMNB_DATA, else the current folder.
    """

    def __init__(self, root=None) -> None:
        self.root = Path(root or os.environ.get("ATOMNB_DATA") or Path.cwd()).expanduser().resolve()
        if not self.root.is_dir():
            raise AtomnbError(f"the data folder {self.root} does not exist: create it, or name another.")

    def resolve(self, path: str) -> Path:
        """The real path of `path`, relative to the root.

        Raises
        ------
        AtomnbError
            If it does not exist, or leads out of the folder.
        """
        try:
            target = (self.root / path).resolve(strict=True)
        except (OSError, ValueError):
            target = None
        if target is None or not target.is_relative_to(self.root):
            raise AtomnbError(
                f"{path!r} is not in the data folder {self.root}. Copy the file there, upload it, or start atomnb "
                "with --data and the folder that holds it."
            )
        return target

    def entries(self, path: str = "", *, endings: Collection[str] = EXTENSIONS) -> list[Entry]:
        """Folders and files with one of the `endings` (by default images) in `path`, folders first.

        Hidden ones and links that lead out are left out.
        """
        folder = self.resolve(path)
        if not folder.is_dir():
            raise AtomnbError(f"{path!r} is a file, not a folder.")
        found = [entry for item in folder.iterdir() if (entry := self._entry(item, endings)) is not None]
        return sorted(found, key=lambda e: (not e.is_folder, e.name.casefold()))[:MAX_ENTRIES]

    def name_of(self, path: Path) -> str:
        """A path of the folder relative to it."""
        return path.relative_to(self.root).as_posix()

    def _entry(self, item: Path, endings: Collection[str]) -> Entry | None:
        if item.name.startswith("."):
            return None
        try:
            target = item.resolve(strict=True)
            size = None if target.is_dir() and item.suffix != ".zspy" else target.stat().st_size
        except OSError:
            return None
        if not target.is_relative_to(self.root):
            return None
        path = item.relative_to(self.root).as_posix()
        wanted = item.suffix.lower() in endings
        return Entry(item.name, path, size) if size is None or wanted else None
