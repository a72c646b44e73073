"""Gallery: types of things with a small picture, a name and a count each, one page of them at a time."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from atomnb.widgets.pictures import grey

ASSETS = Path(__file__).parent / "assets"


class Gallery(anywidget.AnyWidget):
    """Shows a page of `gallery_item`s.

    Parameters
    ----------
    on_choose : callable
        Called with the name of the item clicked.
    on_page : callable
        Called with the number of the first item to show.
    """

    _esm = ASSETS / "gallery.js"

    page = traitlets.Dict().tag(sync=True)
    chosen = traitlets.Unicode().tag(sync=True)

    def __init__(self, *, on_choose: Callable[[str], None], on_page: Callable[[int], None]) -> None:
        super().__init__()
        self._calls = {"choose": (on_choose, "name"), "page": (on_page, "first")}
        self.on_msg(self._on_message)

    def _on_message(self, _widget, content, _buffers) -> None:
        if content.get("kind") in self._calls:
            call, argument = self._calls[content["kind"]]
            call(content[argument])


def gallery_item(name: str, image: np.ndarray, *, label: str, note: str, count: int, confidence: float) -> dict:
    """One item: its picture (H, W), its name as shown, a line below, how many there are, how sure they are (0 to 1)."""
    return {
        "name": name,
        "label": label,
        "note": note,
        "count": count,
        "confidence": confidence,
        "height": image.shape[0],
        "width": image.shape[1],
        "pixels": np.ascontiguousarray(grey(image)).tobytes(),
    }
