"""The panel *Image*: choose a sample, a file of the data folder, or upload one."""

from __future__ import annotations

import ipywidgets as widgets

import atomnb
from atomnb.io.formats import EXTENSIONS
from atomnb.widgets.folder_list import FolderList
from atomnb.widgets.image_state import ImageState
from atomnb.widgets.parts import ChoiceList, Upload
from atomnb.widgets.report import guarded, report_of

SOURCES = ("Samples", "Folder", "Upload")
SHOWN_METADATA = {
    "beam_energy_kev": "Beam energy (keV)",
    "detector": "Detector",
    "magnification": "Magnification",
    "dwell_time_s": "Dwell time (s)",
    "date": "Date",
}
"""What the page tells of an image's acquisition."""


class SourcePanel(widgets.VBox):
    """Chooses what `state` opens."""

    def __init__(self, state: ImageState) -> None:
        self.state = state
        opening = guarded(state.show_report, "opening the image")
        self.samples = ChoiceList(label="Sample images", empty="No samples.", on_choose=opening(state.open_sample))
        self.samples.items = [_sample_item(sample) for sample in atomnb.list_samples()]
        self.files = FolderList(
            state.folder,
            endings=EXTENSIONS,
            label="Files of the data folder",
            empty="No image files here.",
            on_file=state.open_path,
            guard=opening,
        )
        self.upload = Upload(
            on_file=opening(state.open_upload),
            on_refused=lambda error: state.show_report(report_of(error, doing="uploading")),
        )
        self.kind = widgets.ToggleButtons(options=SOURCES, style={"button_width": "auto"})
        self.kind.add_class("an-segments")
        self.channel = widgets.Dropdown(description="Channel")
        self.frame = widgets.IntSlider(description="Frame", min=0, continuous_update=False)
        self.about = widgets.HTML()
        super().__init__(
            [
                widgets.HTML("<h2><i>1</i>Image</h2>"),
                self.kind,
                self.samples,
                self.files,
                self.upload,
                self.about,
                self.channel,
                self.frame,
            ]
        )
        self.add_class("an-panel")
        self.kind.observe(lambda _: self._show_kind(), "value")
        self.channel.observe(opening(self._choose_channel), "value")
        self.frame.observe(guarded(state.show_frame, "showing the frame")(self._choose_frame), "value")
        state.observe(lambda _: self._show_opened(), "opened")
        self._show_kind()
        self._show_opened()

    def open_asked(self, asked: dict[str, list[str]]) -> None:
        """Open the file that the query of the page's address names, if any, and show its folder."""
        wanted = asked.get("file", [])
        if wanted and self.state.opened is None:
            self.files.show(wanted[0].rpartition("/")[0])
            self.kind.value = "Folder"
            self.state.open_path(wanted[0])

    def _choose_channel(self, change) -> None:
        if change["new"] is not None and not self._showing:
            self.state.open_channel(change["new"])

    def _choose_frame(self, change) -> None:
        if not self._showing:
            self.state.show_frame(change["new"])

    def _show_kind(self) -> None:
        for name, part in zip(SOURCES, (self.samples, self.files, self.upload), strict=True):
            part.layout.display = None if self.kind.value == name else "none"

    def _show_opened(self) -> None:
        opened = self.state.opened
        self._showing = True
        try:
            several = opened is not None and len(opened.channels) > 1
            self.channel.layout.display = None if several else "none"
            if several:
                self.channel.options = [(_channel_text(c), c.index) for c in opened.channels]
                self.channel.value = self._current_channel(opened)
            stack = opened is not None and opened.image.is_stack
            self.frame.layout.display = None if stack else "none"
            if stack:
                self.frame.max = opened.image.n_frames - 1
                self.frame.value = opened.frame
        finally:
            self._showing = False
        source = None if opened is None else opened.source
        self.samples.chosen = source.name if source and source.kind == "sample" else ""
        self.files.chosen = source.name if source and source.kind == "file" else ""
        self.about.value = "" if opened is None else _about(opened)
        if opened is not None:
            self.add_class("an-open")

    @staticmethod
    def _current_channel(opened) -> int | None:
        known = {c.index for c in opened.channels}
        read = opened.image.metadata.get("channel", opened.source.channel)
        by_name = {c.name: c.index for c in opened.channels}
        chosen = by_name.get(read, read)
        return chosen if chosen in known else None


def _sample_item(sample) -> dict:
    return {
        "key": sample.name,
        "name": sample.title,
        "icon": "image",
        "note": "simulated" if sample.is_simulated else "measured",
        "title": f"{sample.summary}\n{sample.credit}",
    }


def _channel_text(entry) -> str:
    return f"{entry.index}: {entry.name or 'unnamed'} ({' × '.join(map(str, entry.shape))})"


def _about(opened) -> str:
    from html import escape

    image, source = opened.image, opened.source
    size = "\u00a0×\u00a0".join(str(n) for n in image.data.shape) + "\u00a0px"
    title, lines = image.name or source.name, [f"File: {source.name}"]
    if source.kind == "sample":
        sample = next(s for s in atomnb.list_samples() if s.name == source.name)
        title, lines = sample.title, [sample.summary, f"Credit: {sample.credit}"]
    facts = {name: value for name, value in image.metadata.items() if name in SHOWN_METADATA and value is not None}
    lines += [f"{SHOWN_METADATA[name]}: {value}" for name, value in facts.items()]
    if image.metadata.get("technique") == "STM":
        lines.append("Shown and analysed without the tilt of the sample.")
    body = "".join(f"<div>{escape(line)}</div>" for line in lines)
    return f'<details class="an-about"><summary><b>{escape(title)}</b> · {size}</summary>{body}</details>'
