"""The part of the panel *Structure* of Simulate that takes the user's own file: CIF, xyz and others."""

from __future__ import annotations

from html import escape

import ipywidgets as widgets

from atomnb.simulate.structures.userfile import STRUCTURE_FILES
from atomnb.widgets.folder_list import FolderList
from atomnb.widgets.parts import Upload
from atomnb.widgets.report import guarded, report_of
from atomnb.widgets.settings import Fold, float_field, linked, setting
from atomnb.widgets.simulate_request import zone_axis_of
from atomnb.widgets.simulate_state import FILE, SimulateState

SOURCES = ("Folder", "Upload")
HINT = "Choose a .cif, .xyz, .vasp or .pdb file of the data folder, or upload one."


class FilePanel(widgets.VBox):
    """Chooses the file, zone axis, thickness and tilt of `state`."""

    def __init__(self, state: SimulateState) -> None:
        self.state = state
        opening = guarded(state.show_report, "opening the structure")
        self.kind = widgets.ToggleButtons(options=SOURCES, style={"button_width": "auto"})
        self.kind.add_class("an-segments")
        self.files = FolderList(
            state.folder,
            endings=STRUCTURE_FILES,
            label="Structure files of the data folder",
            empty="No structure files here.",
            on_file=lambda path: state.choose_file(state.folder.resolve(path)),
            guard=opening,
        )
        self.upload = Upload(
            on_file=opening(lambda path: state.choose_file(path, uploaded=True)),
            on_refused=lambda error: state.show_report(report_of(error, doing="uploading")),
        )
        self.hint = widgets.HTML()
        self.zone = widgets.Text(value="0 0 1", continuous_update=False)
        self.thickness = linked(state, "thickness", float_field(0, 5000))
        tilts = [linked(state, name, float_field(-200, 200)) for name in ("tilt_about_x", "tilt_about_y")]
        strain = linked(state, "max_strain", float_field(0, 0.2))
        super().__init__(
            [
                self.kind,
                self.files,
                self.upload,
                self.hint,
                setting("Zone axis", self.zone, unit=" ", tip="Along the beam: u v w, or u v t w if hexagonal"),
                setting("Thickness", self.thickness, unit="Å", tip="Along the beam, to whole cells; 0 takes one cell"),
                Fold(
                    "Tilt and strain",
                    [
                        setting("Tilt about x", tilts[0], unit="mrad", tip="Columns lean along y"),
                        setting("Tilt about y", tilts[1], unit="mrad", tip="Columns lean along x"),
                        setting("Strain allowed", strain, unit=" ", tip="max_strain: how far the box may be off 90°"),
                    ],
                ),
            ]
        )
        self.kind.observe(lambda _: self._show(), "value")
        self.zone.observe(guarded(state.show_report, "setting the zone axis")(self._take_zone), "value")
        state.observe(lambda _: self._show(), ["structure", "file", "zone_axis", "thickness", "size"])
        self._show()

    def _take_zone(self, change) -> None:
        self.state.zone_axis = zone_axis_of(change["new"])

    def _show(self) -> None:
        for name, part in zip(SOURCES, (self.files, self.upload), strict=True):
            part.layout.display = None if self.kind.value == name else "none"
        state = self.state
        chosen = state.file if state.structure == FILE else None
        self.files.chosen = "" if chosen is None or chosen.uploaded else state.folder.name_of(chosen.path)
        text = HINT
        if chosen is not None:
            depth = f"{state.thickness:g} Å thick" if state.thickness else "one cell thick"
            text = f"<b>{escape(chosen.path.name)}</b>, {depth}"
        self.hint.value = f'<p class="an-muted">{text}</p>'
