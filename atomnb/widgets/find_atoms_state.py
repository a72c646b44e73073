"""The state of *Find atoms*: what was found in the open image, what is selected. No widgets."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import traitlets

from atomnb.errors import AtomnbError
from atomnb.widgets.find_atoms_code import Request, code_of
from atomnb.widgets.image_state import ImageState, analyze_request
from atomnb.widgets.pyramid import Pyramid

FLOOR = 0.2
"""Score down to which atoms are found; the page's threshold moves above it without a new analysis."""

SURE = 0.5
"""Score from which on atoms tell what crystal it is."""

NAMELESS = "universal"
"""The model of crystals whose atoms no model names."""

NO_ATOMS = np.zeros(0, np.int64)

QUANTITIES = {
    "distance": "Distance to the nearest atom",
    "intensity": "Intensity",
    "score": "Score",
    "error": "Position error",
}
"""What a histogram can show."""


class Found(NamedTuple):
    """An analysis made ready for the page by a job."""

    analysis: object
    request: Request
    frame: int
    probability: Pyramid


class FindAtomsState(ImageState):
    """Everything the page shows; panels only link to it."""

    threshold = traitlets.Float(0.5, min=FLOOR, max=1.0)
    selected = traitlets.Any(NO_ATOMS)
    current = traitlets.Int(-1)

    def __init__(self, **options) -> None:
        super().__init__(**options)
        self._crystal_seen: tuple = None, None

    # ---------- finding ----------
    @property
    def request(self) -> Request:
        """The analysis the button would run now."""
        return self.atoms_request(FLOOR)

    @property
    def stale(self) -> bool:
        """Whether the settings changed since the atoms were found."""
        return self.found is not None and self.found.request != self.request

    def find(self) -> None:
        """Find the atoms of what is open."""
        request, image = self.request, self.opened.image

        def work(progress) -> Found:
            analysis = analyze_request(image, request, progress)
            frame = self.frame if request.frame is None else 0
            return Found(analysis, request, frame, _probability(analysis, frame))

        self.report = None
        self.jobs.run("Finding atoms", work, done=self._take, failed=self._failing("finding the atoms"))

    def _take(self, found: Found) -> None:
        with self.hold_trait_notifications():
            self.selected, self.current = NO_ATOMS, -1
            self.found = found

    def _clear(self) -> None:
        super()._clear()
        self.selected, self.current = NO_ATOMS, -1

    def _in_frame(self, found: Found, frame: int) -> Found:
        return found._replace(frame=frame, probability=_probability(found.analysis, frame))

    # ---------- atoms ----------
    @property
    def atoms(self):
        """All atoms of the frame shown, down to the lowest threshold (AtomTable); None before the analysis."""
        return None if self.found is None else self.found.analysis.atoms.in_frame(self.found.frame)

    @property
    def names(self) -> tuple[str, ...]:
        """What the model of the analysis calls its atoms; empty if it knows but one kind."""
        from atomnb.nets.checkpoint import VACANCY

        classes = () if self.found is None else self.found.analysis.classes[1:]
        names = tuple(name for name in classes if name != VACANCY)
        return names if len(names) > 1 else ()

    @property
    def hint(self) -> str:
        """Which model names atoms that the one used does not, if the crystal is recognised; else empty."""
        crystal = None if self.found is None or self.names else self._crystal()
        if crystal is None:
            return ""
        said = str(crystal)
        nameless = crystal.model in (NAMELESS, self.found.request.model)
        names = "" if nameless else f" The model {crystal.model} names its atoms."
        return f"{said[0].upper()}{said[1:]}{names} The page Defects names its defects by the rules {crystal.rules}."

    def _crystal(self):
        """What the sure ones of the atoms look like; worked out once, as hundreds of thousands take seconds."""
        from atomnb.locate.crystal import crystal_of

        if self._crystal_seen[0] is not self.found:
            atoms = self.atoms
            self._crystal_seen = self.found, crystal_of(atoms.select(atoms.df["score"] >= SURE))
        return self._crystal_seen[1]

    @property
    def vacancies(self):
        """The empty sites of the frame shown, down to the lowest threshold (AtomTable); None before the analysis."""
        return None if self.found is None else self.found.analysis.vacancies.in_frame(self.found.frame)

    @property
    def shown(self) -> np.ndarray:
        """Rows of `atoms` at or above the threshold."""
        if self.found is None:
            return NO_ATOMS
        return np.flatnonzero(self.atoms.df["score"].to_numpy() >= self.threshold)

    def result(self):
        """The atoms of every frame at or above the threshold, as the shown code gives them (AtomTable)."""
        if self.found is None:
            raise AtomnbError("there are no atoms yet: press Find atoms first.")
        atoms = self.found.analysis.atoms
        return atoms.select(atoms.df["score"] >= round(self.threshold, 2))

    def empty_sites(self):
        """The empty sites of every frame at or above the threshold (AtomTable)."""
        if self.found is None:
            raise AtomnbError("there are no atoms yet: press Find atoms first.")
        sites = self.found.analysis.vacancies
        return sites.select(sites.df["score"] >= round(self.threshold, 2))

    def values(self, quantity: str) -> tuple[np.ndarray, str]:
        """A quantity of QUANTITIES for each shown atom, in the scale of the analysis, and its name with unit."""
        atoms, rows = self.atoms, self.shown
        df = atoms.df.iloc[rows]
        known = atoms.pixel_size is not None
        size, unit = (atoms.pixel_size, "Å") if known else (1.0, "px")
        if quantity == "distance":
            from atomnb.locate.refine import nearest_distances

            return nearest_distances(atoms.positions_yx[rows]) * size, f"{QUANTITIES[quantity]} ({unit})"
        if quantity == "error":
            scale, unit = (100 * size, "pm") if known else (1.0, "px")
            return mean_error(df).to_numpy() * scale, f"{QUANTITIES[quantity]} ({unit}, 1σ per axis)"
        label = QUANTITIES[quantity] + (" (image units × px)" if quantity == "intensity" else "")
        return df[quantity].to_numpy(float), label

    def select(self, rows) -> None:
        """Select atoms by their rows in `atoms`."""
        self.selected = np.unique(np.asarray(rows, np.int64))

    def select_range(self, quantity: str, low: float, high: float) -> None:
        """Select the shown atoms whose quantity lies between `low` and `high`."""
        values, _ = self.values(quantity)
        self.select(self.shown[(values >= low) & (values <= high)])

    def code(self) -> str:
        """Python that gives the current result; empty before the analysis."""
        return "" if self.found is None else code_of(self.found.request, threshold=self.threshold)


def mean_error(df):
    """Standard error per axis of each atom, px: the root mean square of y_err and x_err."""
    return np.sqrt((df["y_err"] ** 2 + df["x_err"] ** 2) / 2)


def _probability(analysis, frame: int) -> Pyramid:
    stack = analysis.probability
    background = np.asarray(stack[frame, 0] if stack.ndim == 4 else stack[0])
    return Pyramid(1 - background, reduce="max", dtype=np.uint8, limits=(0.0, 1.0))
