"""The small widgets pages are built from: title bar, error panel, code, list, upload, table."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path

import anywidget
import traitlets

from atomnb.errors import AtomnbError

ASSETS = Path(__file__).parent / "assets"
UPLOAD_LIMIT_BYTES = 2_000_000_000
"""Largest file that can be uploaded; it is kept in a temporary folder on the computer that runs atomnb."""


class TitleBar(anywidget.AnyWidget):
    """The bar on top of a page; it also carries the stylesheet, reads the address, and saves files.

    Parameters
    ----------
    title : str
        Name of the page.
    on_ready : callable
        Called with the query of the page's address ('?file=…') when the browser shows the page.
    """

    _esm = ASSETS / "page.js"
    _css = ASSETS / "atomnb.css"

    title = traitlets.Unicode().tag(sync=True)
    subject = traitlets.Unicode().tag(sync=True)
    logo = traitlets.Unicode((ASSETS / "logo.svg").read_text(encoding="utf-8")).tag(sync=True)

    def __init__(self, title: str, *, on_ready: Callable[[str], None]) -> None:
        super().__init__(title=title)
        self.on_msg(lambda _, content, __: on_ready(content["query"]) if content.get("kind") == "ready" else None)

    def save(self, name: str, content: bytes, *, mime: str) -> None:
        """Let the browser save `content` as the file `name`."""
        self.send({"kind": "save", "name": name, "mime": mime}, buffers=[content])


class ErrorPanel(anywidget.AnyWidget):
    """Shows an `ErrorReport`; an empty one hides it."""

    _esm = ASSETS / "notice.js"
    report = traitlets.Dict().tag(sync=True)


class CodePanel(anywidget.AnyWidget):
    """Shows Python code with a button that copies it."""

    _esm = ASSETS / "code.js"
    code = traitlets.Unicode().tag(sync=True)


class ChoiceList(anywidget.AnyWidget):
    """A list of things to open.

    Parameters
    ----------
    label : str
        What the list holds, for screen readers.
    empty : str
        What an empty list says.
    on_choose : callable
        Called with the key of the chosen item.
    """

    _esm = ASSETS / "files.js"

    items = traitlets.List(traitlets.Dict()).tag(sync=True)
    heading = traitlets.Unicode().tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)
    label = traitlets.Unicode().tag(sync=True)
    empty = traitlets.Unicode().tag(sync=True)
    can_list_again = traitlets.Bool(False).tag(sync=True)

    def __init__(self, *, label: str, empty: str, on_choose: Callable[[str], None]) -> None:
        super().__init__(label=label, empty=empty)
        self.on_msg(lambda _, content, __: on_choose(content["key"]) if content.get("kind") == "choose" else None)


class Upload(anywidget.AnyWidget):
    """Takes a file from the browser, piece by piece, into a temporary folder.

    Parameters
    ----------
    on_file : callable
        Called with the path of the finished file.
    on_refused : callable
        Called with an AtomnbError when the file is too large or the upload broke.
    """

    _esm = ASSETS / "upload.js"
    limit = traitlets.Int(UPLOAD_LIMIT_BYTES).tag(sync=True)

    def __init__(self, *, on_file: Callable[[Path], None], on_refused: Callable[[Exception], None]) -> None:
        super().__init__()
        self._on_file, self._on_refused = on_file, on_refused
        self._folder = tempfile.TemporaryDirectory(prefix="atomnb_upload_")
        self._path: Path | None = None
        self.on_msg(self._on_message)

    def _on_message(self, _widget, content, buffers) -> None:
        if content.get("kind") == "too_large":
            self._refuse(
                f"{content['name']} has {content['size'] / 1e6:.0f} MB; at most {self.limit / 1e6:.0f} MB can be "
                "uploaded. Put the file into the data folder and open it from there."
            )
        elif content.get("kind") == "piece":
            self._take(content["name"], int(content["size"]), int(content["from"]), buffers[0])

    def _take(self, name: str, size: int, start: int, piece) -> None:
        # Only the last part of the name: a browser may send none else, but anyone can send a message.
        path = Path(self._folder.name) / (Path(name.replace("\\", "/")).name or "upload")
        if start == 0:
            if self._path is not None:
                self._path.unlink(missing_ok=True)
            self._path = path
            path.touch()
        have = path.stat().st_size if path.exists() else -1
        if path != self._path or have != start or start + len(piece) > min(size, self.limit):
            self._refuse(f"the upload of {path.name} broke off: try again, or use the data folder.")
            return
        with path.open("ab") as out:
            out.write(piece)
        if start + len(piece) < size:
            self.send({"kind": "more", "from": start + len(piece)})
        else:
            self.send({"kind": "end"})
            self._on_file(path)

    def _refuse(self, message: str) -> None:
        self.send({"kind": "end"})
        self._on_refused(AtomnbError(message))


class PagedTable(anywidget.AnyWidget):
    """A table the browser shows one page of.

    Parameters
    ----------
    on_sort, on_page, on_row : callable
        Called with the column to sort by, the first row to show, the id of the row clicked.
    """

    _esm = ASSETS / "table.js"

    page = traitlets.Dict().tag(sync=True)
    current = traitlets.Int(-1).tag(sync=True)

    def __init__(self, *, on_sort: Callable, on_page: Callable, on_row: Callable) -> None:
        super().__init__()
        self._calls = {"sort": (on_sort, "column"), "page": (on_page, "first"), "atom": (on_row, "atom")}
        self.on_msg(self._on_message)

    def _on_message(self, _widget, content, _buffers) -> None:
        if content.get("kind") in self._calls:
            call, argument = self._calls[content["kind"]]
            call(content[argument])
