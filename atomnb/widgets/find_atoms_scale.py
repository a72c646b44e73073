"""The panel *Scale* of an image: the file's pixel size beside the lattice found, and calibration by hand."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets

from atomnb.locate.messages import NO_SCALE
from atomnb.widgets.image_state import ImageState
from atomnb.widgets.report import guarded

WAYS = ("Pixel size", "Spacing", "Two points")


class ScalePanel(widgets.VBox):
    """Shows and sets the scale of `state`."""

    def __init__(self, state: ImageState) -> None:
        self.state = state
        setting = guarded(state.show_report, "setting the scale")
        self.facts = widgets.HTML()
        self.way = widgets.ToggleButtons(options=WAYS, style={"button_width": "auto"})
        self.way.add_class("an-segments")
        self.length = widgets.BoundedFloatText(min=0, max=1e6, step=None, layout={"width": "96px"})
        self.unit = widgets.HTML()
        self.apply = widgets.Button(description="Set")
        self.reset = widgets.Button(description="Back to the file's", tooltip="Go back to the pixel size in the file")
        self.why = widgets.HTML()
        self.unit.add_class("an-unit")
        row = widgets.HBox([self.length, self.unit, self.apply])
        row.add_class("an-line")
        self.editor = widgets.VBox([self.way, row, self.why])
        self.change = widgets.ToggleButton(description="Calibrate", tooltip="Set the scale by hand")
        self.change.add_class("an-small")
        self.reset.add_class("an-small")
        buttons = widgets.HBox([self.change, self.reset])
        buttons.add_class("an-line")
        super().__init__([widgets.HTML("<h2><i>2</i>Scale</h2>"), self.facts, buttons, self.editor])
        self.add_class("an-panel")
        self.apply.on_click(setting(self._apply))
        self.reset.on_click(setting(lambda _: state.use_file_scale()))
        for part, name in ((self.way, "value"), (self.change, "value")):
            part.observe(lambda _: self._show(), name)
        state.observe(lambda _: self._show(), ["opened", "pixel_size", "scale_origin", "points", "found"])
        self._show()

    def _apply(self, _button) -> None:
        value = self.length.value
        if self.way.value == "Pixel size":
            self.state.set_pixel_size(value)
        elif self.way.value == "Spacing":
            self.state.use_known_spacing(value)
        else:
            self.state.use_points(value)

    def _show(self) -> None:
        state = self.state
        open_now = state.opened is not None
        self.change.disabled = not open_now
        self.change.tooltip = "Set the scale by hand" if open_now else "Open an image first"
        self.editor.layout.display = None if open_now and self.change.value else "none"
        self.facts.value = self._facts() if open_now else '<p class="an-muted">Open an image first.</p>'
        self.unit.value = {"Pixel size": "Å per pixel", "Spacing": "Å apart", "Two points": "Å apart"}[self.way.value]
        why = self._why_not()
        self.why.value = f'<p class="an-muted">{escape(why or self._how())}</p>'
        self.apply.disabled = bool(why)
        own = state.opened.image.pixel_size if open_now else None
        self.reset.layout.display = None if own and state.pixel_size != own else "none"

    def _facts(self) -> str:
        state = self.state
        size, spacing = state.pixel_size, state.spacing_px
        used = f"{size:.5g} Å/px" if size else "unknown"
        rows = [("Pixel size", used, state.scale_origin if size else "distances are in pixels: calibrate to get Å")]
        if spacing:
            text = f"{spacing * size:.2f} Å" if size else f"{spacing:.1f} px"
            known = state.found is not None
            where = "between the atoms found" if known else "first guess: finding the atoms measures it"
            rows.append(("Neighbours", f"{'' if known else '≈ '}{text} apart", where))
        else:
            rows.append(("Neighbours", "–", "no lattice found in the image"))
        html = "".join(f"<tr><th>{a}</th><td><b>{b}</b><small>{escape(c)}</small></td></tr>" for a, b, c in rows)
        # that there is no pixel size stands in the first row
        told = [note for note in state.notes if note != NO_SCALE]
        notes = "".join(f'<p class="an-warning">{escape(_sentence(note))}</p>' for note in told)
        return f'<table class="an-facts">{html}</table>{notes}'

    def _why_not(self) -> str:
        if self.way.value == "Spacing" and self.state.spacing_px is None:
            return "No spacing was found in the image: find the atoms first, or use two points."
        if self.way.value == "Two points" and len(self.state.points) != 4:
            return "Choose the ruler above the image and click two points whose distance you know."
        return ""

    def _how(self) -> str:
        if self.way.value == "Pixel size":
            return "The side of one pixel. 1 nm = 10 Å, 100 pm = 1 Å."
        if self.way.value == "Spacing":
            how = "The distance between nearest atoms in your material, for example 1.42 in graphene."
            return how if self.state.found is not None else f"{how} Find the atoms first: until then it is a guess."
        return "The distance between the two points you marked."


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]
