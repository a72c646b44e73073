"""The state of *Defects*: what was found, which of it counts, what it is called, which one is looked at. No widgets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import traitlets

from atomnb.data.atoms import AtomTable
from atomnb.errors import AtomnbError
from atomnb.graph.bond_tables import measure_angles, measure_bonds
from atomnb.graph.census import count_types
from atomnb.graph.frames import defects_in_frame
from atomnb.graph.names import apply_names, load_names, save_name
from atomnb.graph.own_rules import save_rules
from atomnb.graph.rules import RulesError, list_rules, load_rules, parse_rules, rules_text
from atomnb.locate.crystal import UNKNOWN, Crystal, crystal_of
from atomnb.locate.messages import rules_message
from atomnb.said import gathered_warnings
from atomnb.viz.structure import defect_outline, outlined_atoms
from atomnb.widgets.defects_code import DefectsRequest, defects_code
from atomnb.widgets.image_state import ImageState, Opened, analyze_request

ATOM_FLOOR = 0.5
"""Score from which on an atom is part of the structure: as in `atomnb.analyze`."""

SUITED: Mapping[str, tuple[str, ...]] = {
    "graphene-si": ("graphene",),
    "tmd": ("tmd", "mos2", "mose2", "ws2", "wse2"),
    "perovskite": ("perovskite",),
    "dumbbell": ("diamond110", "zincblende110"),
    "universal": ("generic",),
}
"""Rules that go with a model, the first by default; a model of the user's own goes with any."""

ACCEPTED, REJECTED = "accepted", "rejected"


class FoundDefects(NamedTuple):
    """An analysis with its defects, made ready for the page by a job.

    `defects` bear their systematic names; `graphs` has one for each frame analysed; `frame` is the one shown; `said` is
    what drawing the bonds warned of.
    """

    analysis: object
    request: DefectsRequest
    frame: int
    graphs: tuple
    defects: pd.DataFrame
    said: tuple[str, ...]


class DefectsState(ImageState):
    """Everything the page shows; panels only link to it.

    `chosen` is the name of a type of defects, `current` the index of a defect in `defects`, -1 for none; `status` is
    what the user has decided, by index.
    """

    model = traitlets.Unicode("graphene-si")
    rules = traitlets.Unicode("graphene")
    draft = traitlets.Unicode("")
    rules_version = traitlets.Int(0)
    confidence = traitlets.Float(0.25, min=0.0, max=1.0)
    names = traitlets.Dict()
    status = traitlets.Dict()
    chosen = traitlets.Unicode("")
    current = traitlets.Int(-1)

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self._outlines: dict[int, np.ndarray] = {}
        self._atoms: tuple | None = None
        self._suggested = self.model, self.rules
        self._chosen_for = ""  # the crystal last seen, for which the user may have chosen otherwise
        self.names = load_names()
        self.reset_draft()

    @traitlets.observe("model")
    def _suit_the_rules(self, change) -> None:
        suited = SUITED.get(change["new"])
        if suited and self.rules not in suited:
            self.rules = suited[0]

    # ---------- what suits the image ----------
    def _looked_at(self, opened: Opened, progress) -> Opened:
        from atomnb.locate.recognize import look_at_middle

        progress(0.9, "recognising the crystal")
        try:
            return opened._replace(middle=look_at_middle(opened.image))
        except AtomnbError:  # the button will say what is wrong with the image
            return opened

    @property
    def crystal(self) -> Crystal | None:
        """What the open image looks like at the pixel size in use; None if it is no crystal that a model knows."""
        if self.opened is None or self.opened.middle is None:
            return None
        middle = self.opened.middle
        return crystal_of(AtomTable(middle.df, self.pixel_size, middle.shape))

    @traitlets.observe("opened", "pixel_size")
    def _suit_the_crystal(self, _change) -> None:
        """Choose model and rules by the image, unless the user has chosen any for this crystal."""
        if self.opened is None:
            return
        crystal = self.crystal or UNKNOWN
        another = crystal is not UNKNOWN and self._chosen_for not in ("", crystal.name)
        if (self.model, self.rules) == self._suggested or another:
            self._suggested = crystal.model, crystal.rules
            self.model, self.rules = self._suggested
        self._chosen_for = crystal.name or self._chosen_for

    @property
    def suggestion(self) -> str:
        """What the image looks like, and what suits it."""
        if self.opened is None:
            return ""
        crystal = self.crystal
        if crystal is None:
            return "The crystal was not recognised: choose the model and the rules of your material."
        said = str(crystal)
        chosen = (self.model, self.rules) == (crystal.model, crystal.rules)
        advice = "are chosen; change them if it is another material" if chosen else "would suit it"
        return f"{said[0].upper()}{said[1:]} Model {crystal.model} and rules {crystal.rules} {advice}."

    @traitlets.observe("rules")
    def _show_the_rules(self, _change) -> None:
        self.reset_draft()

    # ---------- finding ----------
    @property
    def request(self) -> DefectsRequest:
        """What the button would analyse now."""
        return DefectsRequest(self.atoms_request(ATOM_FLOOR), self.rules, rules_text(self.rules))

    @property
    def stale(self) -> bool:
        """Whether the settings changed since the defects were found."""
        return self.found is not None and self.found.request != self.request

    def find(self) -> None:
        """Find the atoms of what is open, unless that is done, then their bonds and defects."""
        request, image = self.request, self.opened.image
        rules = load_rules(request.rules)
        known = self._atoms[1] if self._atoms is not None and self._atoms[0] == request.atoms else None

        def work(progress) -> FoundDefects:
            from atomnb.graph.defects import defects_of_graphs
            from atomnb.graph.structure import build_graph

            # from all sides, as `analyze` does where it is given rules
            analysis = known or analyze_request(
                image, request.atoms, lambda f, message: progress(0.9 * f, message), all_sides=True
            )
            frames = analysis.image.n_frames
            graphs = []
            with gathered_warnings() as said:
                for t in range(frames):
                    progress(0.9 + 0.1 * t / frames, "drawing bonds, naming defects")
                    graphs.append(build_graph(analysis.atoms.in_frame(t), rules=rules))
                defects = defects_of_graphs(graphs, analysis.atoms, image=analysis.image)
            unfit = rules_message(analysis.scale.spacing_angstrom, rules)
            said += [unfit] if unfit else []
            shown = self.frame if request.frame is None else 0
            return FoundDefects(analysis, request, shown, tuple(graphs), defects, tuple(said))

        self.report = None
        self.jobs.run("Finding defects", work, done=self._take, failed=self._failing("finding the defects"))

    def _take(self, found: FoundDefects) -> None:
        self._atoms = found.request.atoms, found.analysis
        self._outlines = {}
        with self.hold_trait_notifications():
            self.status, self.chosen, self.current = {}, "", -1
            self.found = found

    def _clear(self) -> None:
        super()._clear()
        self.current = -1

    # ---------- defects ----------
    @property
    def defects(self) -> pd.DataFrame | None:
        """All defects with the names in use, what is systematic of them and what was decided; None before a search."""
        if self.found is None:
            return None
        plain = self.found.defects
        status = [self.status.get(int(i), "") for i in plain.index]
        return apply_names(plain, self.names).assign(systematic_name=plain["name"], status=status)

    @property
    def notes(self) -> tuple[str, ...]:
        """What the user should know of the image, its scale, the atoms and their bonds."""
        said = () if self.found is None else self.found.said
        return tuple(dict.fromkeys([*super().notes, *said]))

    @property
    def listed(self) -> pd.DataFrame | None:
        """The defects that are certain enough."""
        defects = self.defects
        return None if defects is None else defects[defects["confidence"] >= round(self.confidence, 2)]

    @property
    def here(self) -> pd.DataFrame | None:
        """The listed defects of the frame shown, `atoms` and `core` being rows of `atoms`."""
        if self.found is None:
            return None
        return defects_in_frame(self.listed, self.found.analysis.atoms, self.found.frame)

    @property
    def types(self) -> pd.DataFrame | None:
        """The types of the listed defects that were not rejected."""
        listed = self.listed
        return None if listed is None else count_types(listed[listed["status"] != REJECTED])

    @property
    def members(self) -> pd.DataFrame | None:
        """The listed defects of the chosen type, or all of them."""
        listed = self.listed
        return listed if listed is None or not self.chosen else listed[listed["name"] == self.chosen]

    @property
    def atoms(self):
        """The atoms of the frame shown (AtomTable); None before a search."""
        return None if self.found is None else self.found.analysis.atoms.in_frame(self.found.frame)

    @property
    def graph(self):
        """The structure of the frame shown; None before a search."""
        return None if self.found is None else self.found.graphs[self.found.frame]

    def outline(self, index: int) -> np.ndarray:
        """The line (K, 2), px, round a defect of the frame shown."""
        if index not in self._outlines:
            one = defects_in_frame(self.found.defects.loc[[index]], self.found.analysis.atoms, self.found.frame)
            self._outlines[index] = defect_outline(self.graph, outlined_atoms(next(one.itertuples())))
        return self._outlines[index]

    def analysis(self, defects: pd.DataFrame | None = None):
        """The analysis with its structure and these defects, by default the listed ones (Analysis)."""
        found = self.found
        graph = found.graphs if found.analysis.image.is_stack else found.graphs[0]
        messages = tuple(dict.fromkeys([*found.analysis.messages, *found.said]))
        defects = self.listed if defects is None else defects
        return replace(found.analysis, graph=graph, defects=defects, messages=messages)

    # ---------- choosing ----------
    def choose_type(self, name: str) -> None:
        """Look at one type; the same again looks at all."""
        self.chosen = "" if name == self.chosen else name

    def choose_defect(self, index: int) -> None:
        """Look at one defect, in its frame; -1 at none."""
        if index >= 0:
            frame = int(self.found.defects.loc[index, "frame"])
            if self.found.request.frame is None and frame != self.found.frame:
                self.show_frame(frame)
        self.current = index

    def decide(self, index: int, status: str) -> None:
        """Accept or reject a defect; the same again takes it back."""
        decided = {k: v for k, v in self.status.items() if k != index}
        self.status = decided if self.status.get(index, "") == status else decided | {index: status}

    def rename(self, name: str) -> None:
        """Call every defect of the chosen type's topologies `name`, now and in every later search."""
        if not self.chosen:
            raise AtomnbError("choose a type of defect first: click its picture.")
        topologies = self.types.set_index("name").loc[self.chosen, "topologies"]
        for topology in topologies:
            names = save_name(topology, name)
        first = self.found.defects
        systematic = first.loc[first["topology"] == topologies[0], "name"].iloc[0]
        with self.hold_trait_notifications():
            self.chosen = names.get(topologies[0], systematic)
            self.names = names

    # ---------- one defect ----------
    def one(self, index: int):
        """A defect of the frame shown as a named tuple, `atoms` and `core` being rows of `atoms`."""
        part = defects_in_frame(self.defects.loc[[index]], self.found.analysis.atoms, self.found.frame)
        return next(part.itertuples())

    def geometry(self, index: int) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Bonds and angles of a defect of the frame shown: those at its dopants, else those round its rings."""
        row = self.one(index)
        members = outlined_atoms(row)
        return measure_bonds(self.graph, self.atoms, members), measure_angles(self.graph, self.atoms, members)

    def alike(self, index: int) -> pd.DataFrame:
        """The other listed defects of the same topology with their `distance` (Å or px), those of its frame first."""
        listed = self.listed
        one = self.found.defects.loc[index]
        others = listed[(listed["topology"] == one["topology"]) & (listed.index != index)]
        scale = self.found.analysis.pixel_size or 1.0
        away = np.hypot(others["y"] - one["y"], others["x"] - one["x"]) * scale
        away = away.where(others["frame"] == one["frame"])
        return others.assign(distance=away).sort_values("distance", kind="stable")

    # ---------- rules ----------
    def offered_rules(self) -> list[tuple[str, str]]:
        """Every rule set as (label, name), those that go with the model first."""
        suited = [name for name in SUITED.get(self.model, ()) if name in list_rules()]
        others = [name for name in list_rules() if name not in suited]
        return [(f"{name} · suits it", name) for name in suited] + [(name, name) for name in others]

    @property
    def draft_problem(self) -> str:
        """What is wrong with the text in the editor, and where; empty if it is a rule set."""
        try:
            parse_rules(self.draft, name="rules")
        except RulesError as error:
            return str(error)
        return ""

    def reset_draft(self) -> None:
        """Put the text of the rules in use into the editor."""
        self.draft = rules_text(self.rules)

    def save_draft(self, name: str) -> None:
        """Keep the text in the editor as rules of the user's own, and use them."""
        save_rules(name.strip(), self.draft)
        draft = self.draft
        self.rules = name.strip()
        self.draft = draft
        self.rules_version += 1

    # ---------- result ----------
    def result(self) -> pd.DataFrame:
        """The listed defects as a table to export, what was decided among its columns."""
        if self.found is None:
            raise AtomnbError("there are no defects yet: press Find defects first.")
        return self.listed

    def code(self) -> str:
        """Python that gives the listed defects without the rejected ones; empty before a search."""
        if self.found is None:
            return ""
        topologies = set(self.found.defects["topology"])
        rejected = sorted(i for i, status in self.status.items() if status == REJECTED)
        return defects_code(
            self.found.request,
            confidence=self.confidence,
            named=bool(topologies & set(self.names)),
            rejected=rejected,
        )
