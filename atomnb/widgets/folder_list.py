"""FolderList: the files of the data folder to choose from, folder by folder."""

from __future__ import annotations

from collections.abc import Callable, Collection

from atomnb.errors import AtomnbError
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.parts import ChoiceList


class FolderList(ChoiceList):
    """Lists one folder of the data folder; folders open in it, files are handed on.

    The browser asks for the list anew when it shows it, and when its button is pressed: a page's process may be
    older than the page, and files come while it is open.

    Parameters
    ----------
    folder : DataFolder
    endings : collection of str
        Endings of the files that are listed, for example '.cif'.
    label, empty : str
        What the list holds, for screen readers, and what it says when a folder holds none.
    on_file : callable
        Called with the path of the chosen file, relative to the data folder.
    guard : callable
        Wraps the answer to a click, so that an error is shown; see `atomnb.widgets.report.guarded`.
    """

    def __init__(
        self,
        folder: DataFolder,
        *,
        endings: Collection[str],
        label: str,
        empty: str,
        on_file: Callable[[str], None],
        guard: Callable[[Callable], Callable],
    ) -> None:
        super().__init__(label=label, empty=empty, on_choose=guard(self._choose))
        self._folder, self._endings, self._on_file = folder, endings, on_file
        self._place, again = "", guard(self.list_again)
        self.can_list_again = True
        self.on_msg(lambda _, content, __: again() if content.get("kind") == "list" else None)
        guard(self.show)("")

    def list_again(self) -> None:
        """List what the folder shown holds now; the data folder itself, if it is there no more."""
        try:
            self.show(self._place)
        except AtomnbError:
            self.show("")

    def show(self, place: str) -> None:
        """List the folder `place`, relative to the data folder."""
        up = []
        if place:
            parent = place.rpartition("/")[0]
            up = [{"key": parent, "name": "..", "icon": "up", "title": "Up one folder"}]
        entries = self._folder.entries(place, endings=self._endings)
        items = [
            {
                "key": entry.path,
                "name": entry.name,
                "icon": "folder" if entry.is_folder else "image",
                "tail": True,
                "note": "" if entry.is_folder else size_text(entry.size),
            }
            for entry in entries
        ]
        self._place = place
        with self.hold_sync():  # together: the list knows whether it is the same folder
            self.items, self.heading = up + items, f"{self._folder.root.name}/{place}"

    def _choose(self, path: str) -> None:
        target = self._folder.resolve(path)
        if target.is_dir() and target.suffix not in self._endings:
            self.show(path)
        else:
            self._on_file(path)


def size_text(size: int) -> str:
    """A number of bytes in words."""
    return f"{size / 1e6:.1f} MB" if size >= 1e5 else f"{max(size / 1e3, 0.1):.1f} kB"
