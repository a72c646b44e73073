"""Files of the defects on the page: table, structure of one, library, picture, notebook."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path

import ipywidgets as widgets

from atomnb.errors import AtomnbError
from atomnb.widgets.defects_state import REJECTED, DefectsState
from atomnb.widgets.export_list import ExportList
from atomnb.widgets.find_atoms_code import notebook_of
from atomnb.widgets.parts import TitleBar
from atomnb.widgets.report import guarded

MIME = {
    "csv": "text/csv",
    "xyz": "chemical/x-xyz",
    "cif": "chemical/x-cif",
    "h5": "application/x-hdf5",
    "png": "image/png",
    "ipynb": "application/x-ipynb+json",
}
EXPORTS = (
    ("csv", "Table (.csv)", "Every listed defect, with your verdicts"),
    ("xyz", "Structure (.xyz)", "The defect looked at, in Å, for ASE and OVITO"),
    ("cif", "Structure (.cif)", "The same, for VESTA and calculations"),
    ("h5", "Library (.h5)", "Pictures, atoms and bonds of all, to search and average"),
    ("png", "Figure (.png)", "The frame with bonds, rings and names"),
    ("ipynb", "Notebook (.ipynb)", "This session as Python"),
)
ONE = ("xyz", "cif")
"""Files that hold the current defect alone."""


class ExportPanel(widgets.VBox):
    """Lets the browser save what `state` found.

    Parameters
    ----------
    page : TitleBar
        Saves files.
    """

    def __init__(self, state: DefectsState, *, page: TitleBar) -> None:
        self.state, self.page = state, page
        self.list = ExportList(EXPORTS, on_export=guarded(state.show_report, "exporting")(self.export))
        super().__init__([self.list])

    def show(self) -> None:
        """Show what can be saved now."""
        none = self.state.current < 0
        for name in ONE:
            self.list.buttons[name].disabled = none
        self.list.say(".xyz and .cif: click a defect first." if none else "")

    def export(self, kind: str) -> None:
        """Let the browser save `kind`, one of EXPORTS."""
        name = Path(self.state.opened.image.name or "image").stem
        what = f"defect{self.state.current}" if kind in ONE else "defects"
        self.page.save(f"{name}_{what}.{kind}", defects_file(self.state, kind), mime=MIME[kind])


def defects_file(state: DefectsState, kind: str) -> bytes:
    """The content of the file `kind`, one of EXPORTS."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"defects.{kind}"
        _WRITERS[kind](state, path)
        return path.read_bytes()


def _write_csv(state: DefectsState, path: Path) -> None:
    state.result().to_csv(path, index_label="defect")


def _write_structure(state: DefectsState, path: Path) -> None:
    from atomnb.graph.export import write_structure

    if state.current < 0:
        raise AtomnbError("no defect is chosen: click one in the image or in the table.")
    write_structure(_records(state, state.defects.loc[[state.current]])[0], path)


def _write_library(state: DefectsState, path: Path) -> None:
    from atomnb.graph.library import DefectLibrary

    result = state.result()
    kept = result[result["status"] != REJECTED]
    if not len(kept):
        raise AtomnbError("no defect is listed: lower the confidence, or find defects first.")
    DefectLibrary(path).add(_records(state, kept))


def _write_figure(state: DefectsState, path: Path) -> None:
    from atomnb.viz.overlay import save_overlay

    result = state.result()
    kept = state.analysis(result[result["status"] != REJECTED])
    several = state.atoms.df["species"].nunique() > 1
    save_overlay(kept, path, frame=state.found.frame, colour_by="species" if several else "sublattice")


def _write_notebook(state: DefectsState, path: Path) -> None:
    title = state.opened.image.name or "Defects"
    path.write_bytes(notebook_of(state.code(), title=title, page="Defects", table="defects"))


def _records(state: DefectsState, defects) -> list:
    from atomnb.graph.cutout import records_from

    analysis = state.analysis(defects)
    records = records_from(analysis, scale="rules" if analysis.pixel_size is None else "image")
    verdicts = zip(records, defects["status"], strict=True)
    return [replace(record, metadata={**record.metadata, "status": status}) for record, status in verdicts]


_WRITERS = {
    "csv": _write_csv,
    "xyz": _write_structure,
    "cif": _write_structure,
    "h5": _write_library,
    "png": _write_figure,
    "ipynb": _write_notebook,
}
