"""A state of Find atoms without a browser: jobs run at once, files lie in a temporary folder."""

import numpy as np
import pytest

from atomnb.widgets.find_atoms_state import FindAtomsState
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs

SPACING = 12.0


@pytest.fixture
def square_lattice() -> np.ndarray:
    """A square lattice of Gaussian columns 12 px apart in 120 × 132 px."""
    y, x = np.mgrid[:120, :132]
    image = np.zeros((120, 132))
    for cy in np.arange(6, 120, SPACING):
        for cx in np.arange(6, 132, SPACING):
            image += 100 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * 2.5**2))
    return np.random.default_rng(7).poisson(image + 20).astype(np.float32)


@pytest.fixture
def folder(tmp_path, square_lattice) -> DataFolder:
    root = tmp_path / "data"
    (root / "inner").mkdir(parents=True)
    np.save(root / "lattice.npy", square_lattice)
    np.save(root / "inner" / "stack.npy", np.stack([square_lattice, square_lattice[::-1], square_lattice]))
    (root / "broken.dm3").write_bytes(b"this is no microscope file")
    (root / "notes.txt").write_text("not an image")
    return DataFolder(root)


@pytest.fixture
def state(folder) -> FindAtomsState:
    return FindAtomsState(folder=folder, jobs=Jobs(threaded=False))
