"""The dashboards and notebooks atomnb carries: what each is called, says and shows on the home page."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from atomnb.pages import pages_dir


@dataclass(frozen=True)
class Page:
    """A dashboard or a notebook.

    Parameters
    ----------
    kind : {'dashboard', 'notebook'}
    name : str
        Name of its file without suffix.
    title, sentence : str
        What the home page says of it.
    picture : str
        File name in `widgets/assets`.
    minutes : str
        How long a first visit takes.
    """

    kind: str
    name: str
    title: str
    sentence: str
    picture: str
    minutes: str

    @property
    def url(self) -> str:
        """Path of the page on the server."""
        return f"/{'apps' if self.kind == 'dashboard' else 'notebooks'}/{self.name}"

    @property
    def path(self) -> Path:
        """Where its notebook lies."""
        return pages_dir(f"{self.kind}s") / f"{self.name}.ipynb"


PAGES: tuple[Page, ...] = (
    Page(
        "dashboard",
        "find_atoms",
        "Find atoms",
        "Open a microscope file and get every atomic column with its position, its uncertainty and its "
        "intensity. No code.",
        "find_atoms.png",
        "2 min",
    ),
    Page(
        "dashboard",
        "defects",
        "Defects",
        "Bonds, rings and every deviation from the perfect crystal, named by chemistry; what was never seen before "
        "gets a name, too.",
        "defects.png",
        "3 min",
    ),
    Page(
        "dashboard",
        "simulate",
        "Simulate",
        "Choose a structure, its defects and a microscope; see the image, its classes and its diffraction; build a "
        "training set.",
        "simulate.png",
        "3 min",
    ),
    Page(
        "dashboard",
        "train",
        "Train",
        "Teach a network your material, from a recipe or your own training set; watch it learn; save it.",
        "train.png",
        "10 min",
    ),
    Page(
        "notebook",
        "01_find_atoms",
        "01 · From an image to atoms",
        "The same path in Python, one idea at a time: open, set the scale, segment, locate, judge the errors, save.",
        "notebook_01.png",
        "10 min",
    ),
    Page(
        "notebook",
        "02_simulate_training_set",
        "02 · Simulating a training set",
        "Atoms, microscope, electrons, labels: from a crystal structure to a file of labelled images.",
        "notebook_02.png",
        "10 min",
    ),
    Page(
        "notebook",
        "03_train_and_judge",
        "03 · Training and judging a model",
        "Train a small network yourself, then ask at which dose it fails, what it names wrongly and whether its "
        "probabilities are true.",
        "notebook_03.png",
        "15 min",
    ),
    Page(
        "notebook",
        "04_cam_or_fcn",
        "04 · Why an FCN and not CAM",
        "A network that is only told what an image holds, asked where it saw it; and one that was taught every pixel.",
        "notebook_04.png",
        "15 min",
    ),
    Page(
        "notebook",
        "05_one_model_many_lattices",
        "05 · One model for many lattices",
        "What a network trained on one crystal sees in another, and what a network trained on all of them gives up.",
        "notebook_05.png",
        "10 min",
    ),
    Page(
        "notebook",
        "06_from_atoms_to_defects",
        "06 · From atoms to named defects",
        "A network that knows atoms and a little chemistry name defects nobody taught: bonds, rings, missing atoms.",
        "notebook_06.png",
        "10 min",
    ),
    Page(
        "notebook",
        "07_vacancies_in_dichalcogenides",
        "07 · Vacancies in dichalcogenides",
        "Place, brightness and network agree on what stands in a column. How many atoms are missing, and do they "
        "attract each other?",
        "notebook_07.png",
        "10 min",
    ),
    Page(
        "notebook",
        "08_library_of_si_defects",
        "08 · A library of silicon defects",
        "Collect defects of graphene from many frames, search them, average what belongs together, compare with a "
        "calculation.",
        "notebook_08.png",
        "15 min",
    ),
    Page(
        "notebook",
        "09_strain_and_polarisation",
        "09 · Strain and polarisation",
        "How far a crystal is stretched and turned at every atom, and which way a ferroelectric points, with errors "
        "that are checked.",
        "notebook_09.png",
        "10 min",
    ),
)
"""Every page, in the order of the home page."""


def page_named(kind: str, name: str) -> Page | None:
    """The page of that kind and name, or None."""
    return next((page for page in PAGES if page.kind == kind and page.name == name), None)
