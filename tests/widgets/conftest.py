"""A state of Find atoms without a browser: jobs run at once, files lie in a temporary folder."""

from types import SimpleNamespace

import numpy as np
import pytest

import atomnb
from atomnb.data.atoms import concat_atoms
from atomnb.simulate import lattice
from atomnb.widgets.find_atoms_state import FindAtomsState
from atomnb.widgets.folder import DataFolder
from atomnb.widgets.jobs import Jobs

SPACING = 12.0
SHEET_SEED = 8
PIXEL = 0.2  # Å, of the sheet with defects


def honeycomb_atoms(bond_angstrom: float, brightness=(1.0, 1.0)):
    """The atoms of a honeycomb with 10 px long bonds, its two kinds of sites as bright as told."""
    sites = lattice.lay_out(lattice.MOTIFS["honeycomb-2"], 100.0, spacing=10.0)
    shape = 200, 200
    atoms = atomnb.AtomTable.from_positions(sites.positions_yx + 100.0, pixel_size=bond_angstrom / 10, shape=shape)
    return atomnb.AtomTable(atoms.df.assign(intensity=np.array(brightness)[sites.species]), atoms.pixel_size, shape)


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


@pytest.fixture
def defects_state(folder, monkeypatch, tmp_path):
    monkeypatch.setenv("ATOMNB_NAMES", str(tmp_path / "names.json"))
    monkeypatch.setenv("ATOMNB_RULES", str(tmp_path / "rules"))
    from atomnb.widgets.defects_state import DefectsState

    monkeypatch.setattr("atomnb.locate.recognize.look_at_middle", lambda image: honeycomb_atoms(1.42))
    return DefectsState(folder=folder, jobs=Jobs(threaded=False))


@pytest.fixture(scope="session")
def sheet_columns():
    """The columns of graphene with two Si trimers, two three-fold Si, and a Stone–Wales defect."""
    pytest.importorskip("ase")
    from atomnb.simulate.structures import create_structure

    options = {"trimers": 2, "three_fold": 2, "stone_wales": 1}
    return create_structure("graphene", size_angstrom=(60, 60), seed=SHEET_SEED, options=options).columns()


@pytest.fixture
def sheet(sheet_columns, monkeypatch):
    """Analyses give the true atoms of that sheet; returns the requests made."""
    made = sheet_columns
    calls = []

    def analyze_request(image, request, progress, *, all_sides):
        calls.append(request)
        progress(0.5, "finding atoms")
        tables = []
        for t in range(1 if request.frame is not None else image.n_frames):
            table = atomnb.AtomTable.from_positions(made.positions_yx / PIXEL, pixel_size=PIXEL)
            df = table.df.assign(species=made.content.astype(object), frame=t, y_err=0.1, x_err=0.1)
            df.loc[df.index[df["species"] == "Si"][0], "score"] = 0.7
            tables.append(atomnb.AtomTable(df, PIXEL))
        noise = np.random.default_rng(1).normal(size=(len(tables), 320, 320)).astype(np.float32)
        data = noise if len(tables) > 1 else noise[0]
        seen = atomnb.Micrograph(data, pixel_size=PIXEL, name="sheet")
        scale = SimpleNamespace(spacing_px=1.42 / PIXEL, spacing_angstrom=1.42)
        return atomnb.Analysis(seen, concat_atoms(tables), None, ("background", "C", "Si"), scale)

    monkeypatch.setattr("atomnb.widgets.defects_state.analyze_request", analyze_request)
    return calls
