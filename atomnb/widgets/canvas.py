"""ImageCanvas: the image viewer (zoom, hover, select, overlays), drawn by our own few lines of JavaScript."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import anywidget
import numpy as np
import traitlets

from atomnb.data.flags import Flag
from atomnb.viz.overlay import GROUP_COLOURS, UNGROUPED_COLOUR
from atomnb.widgets.pyramid import TILE, Pyramid

ASSETS = Path(__file__).parent / "assets"
ATOM_FIELDS = ("y", "x", "y_err", "x_err", "score", "sublattice", "flags")
"""Columns of the atom table the canvas gets, in this order, as float32."""

TOOLS = ("pan", "box", "lasso", "ruler")
LAYERS = ("show_atoms", "show_probability", "show_errors")
STRUCTURE_LAYERS = ("show_atoms", "show_bonds", "show_certainty", "show_rings", "show_outlines")
"""Layers of a page that shows structures: bonds, their certainty, rings, and outlines of defects."""


class Outline(NamedTuple):
    """A closed line (K, 2), px, over the image: its label, and a `note` for the line below when it is pointed at."""

    id: int
    points: np.ndarray
    label: str
    note: str
    colour: str
    rejected: bool = False


class ImageCanvas(anywidget.AnyWidget):
    """An image with atoms, probability and errors over it.

    The browser asks for the tiles it shows; atoms travel once and are filtered by `threshold` there, so that a
    slider moves without delay. `atoms` (float32) and `selected` (int32) are bytes, or what the browser sends in
    their place, a memoryview. `tools` and `layers` are those the page offers. `group_names` are the names of the
    groups, where they have any. `vacancies` (float32: y, x, score of each) are drawn as empty sites. Atoms that are
    `true` were not found but put there: they are told by their names alone and have no score or error. `bonds` are
    float32 (y, x, y, x, probability of each); `rings` and `outlines` are closed lines over the image, of which
    `outline` is the one clicked last, by its id, and `marked` those not dimmed. `busy` says what is being done while
    the image shown is out of date: it is dimmed.
    """

    _esm = ASSETS / "canvas.js"

    view = traitlets.Dict().tag(sync=True)
    overlay = traitlets.Dict().tag(sync=True)
    atoms = traitlets.Any(b"").tag(sync=True)
    species = traitlets.List(traitlets.Unicode()).tag(sync=True)
    threshold = traitlets.Float(0.5).tag(sync=True)
    selected = traitlets.Any(b"").tag(sync=True)
    current = traitlets.Int(-1).tag(sync=True)
    points = traitlets.List(traitlets.Float()).tag(sync=True)
    tool = traitlets.Unicode("pan").tag(sync=True)
    spacing = traitlets.Float(0.0).tag(sync=True)
    group_names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    vacancies = traitlets.Any(b"").tag(sync=True)
    true = traitlets.Bool(False).tag(sync=True)
    bonds = traitlets.Any(b"").tag(sync=True)
    rings = traitlets.List(traitlets.Dict()).tag(sync=True)
    outlines = traitlets.List(traitlets.Dict()).tag(sync=True)
    outline = traitlets.Int(-1).tag(sync=True)
    marked = traitlets.List(traitlets.Int()).tag(sync=True)
    show_bonds = traitlets.Bool(True).tag(sync=True)
    show_certainty = traitlets.Bool(False).tag(sync=True)
    show_rings = traitlets.Bool(True).tag(sync=True)
    show_outlines = traitlets.Bool(True).tag(sync=True)
    tools = traitlets.List(traitlets.Unicode(), list(TOOLS)).tag(sync=True)
    layers = traitlets.List(traitlets.Unicode(), list(LAYERS)).tag(sync=True)
    show_atoms = traitlets.Bool(True).tag(sync=True)
    show_probability = traitlets.Bool(False).tag(sync=True)
    show_errors = traitlets.Bool(False).tag(sync=True)
    pixel_size = traitlets.Float(None, allow_none=True).tag(sync=True)
    hint = traitlets.Unicode("").tag(sync=True)
    busy = traitlets.Unicode("").tag(sync=True)
    colours = traitlets.List(list(GROUP_COLOURS)).tag(sync=True)
    plain_colour = traitlets.Unicode(UNGROUPED_COLOUR).tag(sync=True)
    flag_names = traitlets.Dict({str(f.value): f.name.lower().replace("_", " ") for f in Flag}).tag(sync=True)

    def __init__(self) -> None:
        super().__init__()
        self._pyramids: dict[str, Pyramid] = {}
        self._version = 0
        self.on_msg(self._on_message)

    def show_image(self, pyramid: Pyramid | None, *, name: str = "") -> None:
        """Show an image (or nothing); atoms, structure, overlay, selection and points go."""
        self.clear_atoms()
        self.clear_structure()
        self.set_probability(None)
        self.points = []
        self._set("image", pyramid)
        self.view = {} if pyramid is None else self._described("image", name=name)

    def set_probability(self, pyramid: Pyramid | None) -> None:
        """The probability to lay over the image, of the same shape, or None."""
        self._set("probability", pyramid)
        self.overlay = {} if pyramid is None else self._described("probability")

    def set_atoms(self, df) -> None:
        """The atoms to draw, from the columns of an atom table; rows are atoms 0, 1, 2, ..."""
        self.selected, self.current = b"", -1
        self.species = [str(name) for name in df["species"]] if df["species"].nunique() > 1 else []
        self.atoms = np.ascontiguousarray(df[list(ATOM_FIELDS)].to_numpy(np.float32)).tobytes()

    def set_vacancies(self, df) -> None:
        """The empty sites to draw, from the columns y, x and score of a table."""
        self.vacancies = np.ascontiguousarray(df[["y", "x", "score"]].to_numpy(np.float32)).tobytes()

    def set_bonds(self, ends_yx: np.ndarray, probability: np.ndarray) -> None:
        """The bonds to draw: ends (E, 2, 2) in px, probability (E,)."""
        self.bonds = np.column_stack([np.reshape(ends_yx, (-1, 4)), probability]).astype(np.float32).tobytes()

    def set_rings(self, lines_yx: Sequence[np.ndarray], sizes: Sequence[int], colours: Sequence[str]) -> None:
        """The rings to fill: corners (K, 2) in px, number of atoms and colour of each."""
        parts = zip(lines_yx, sizes, colours, strict=True)
        self.rings = [{"points": _bytes(line), "size": int(n), "colour": colour} for line, n, colour in parts]

    def set_outlines(self, outlines: Sequence[Outline]) -> None:
        """The outlines to draw."""
        self.outlines = [{**outline._asdict(), "points": _bytes(outline.points)} for outline in outlines]

    def clear_structure(self) -> None:
        """Draw no bonds, rings and outlines."""
        self.bonds, self.rings, self.outlines, self.outline, self.marked = b"", [], [], -1, []

    def clear_atoms(self) -> None:
        """Draw no atoms and no empty sites."""
        self.selected, self.current, self.species, self.atoms, self.vacancies = b"", -1, [], b"", b""

    def _set(self, layer: str, pyramid: Pyramid | None) -> None:
        self._version += 1
        if pyramid is None:
            self._pyramids.pop(layer, None)
        else:
            self._pyramids[layer] = pyramid

    def _described(self, layer: str, *, name: str = "") -> dict:
        pyramid = self._pyramids[layer]
        return {
            "version": self._version,
            "name": name,
            "height": pyramid.shape[0],
            "width": pyramid.shape[1],
            "levels": [list(level.shape) for level in pyramid.levels],
            "bytes": pyramid.levels[0].itemsize,
            "tile": TILE,
            "low": pyramid.low,
            "high": pyramid.high,
            "contrast": list(pyramid.contrast()),
        }

    def _on_message(self, _widget, content, _buffers) -> None:
        if content.get("kind") != "tile":
            return
        layer, key = content["layer"], content["key"]
        state = self.view if layer == "image" else self.overlay
        # A tile asked for before the image changed is no longer wanted.
        if state.get("version") == content["version"]:
            tile = self._pyramids[layer].tile(content["level"], content["row"], content["column"])
            reply = {"kind": "tile", "key": key, "height": tile.shape[0], "width": tile.shape[1]}
            self.send(reply, buffers=[tile.tobytes()])


def _bytes(points_yx: np.ndarray) -> bytes:
    return np.ascontiguousarray(points_yx, np.float32).tobytes()
