"""Make multislice images of defects that no shipped model was taught, with their exact structures.

Graphene: Stone-Wales, reconstructed divacancies (5-8-5) and single vacancies, none with silicon (`graphene-si` learnt
unreconstructed holes and silicon only). Dichalcogenides: V_MX3 and V_MX6, clusters that are in no scene of `tmd`
(`held_out.py`). Files as those of `make_multislice_bank.py`, in `benchmarks/unseen_defects/`.

    python benchmarks/make_unseen_defects.py            all that are missing; goes on where it was stopped
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from make_multislice_bank import CACHE, SHEET, Field, config_of, optics_of
from scipy.spatial import cKDTree

from atomnb.io.atomic import atomic_path
from atomnb.simulate.multislice import simulate_multislice
from atomnb.simulate.structures import create_structure

FOLDER = Path(__file__).resolve().parent / "unseen_defects"

_GRAPHENE = {"stone_wales": 2, "divacancies": 2, "vacancies": 1}
_SHEET = SHEET | {"size": (40.0, 40.0), "detectors": ("haadf",)}
_TMD = {"v_x2": 1, "v_m": 1, "x2_m": 1}

FIELDS = {
    **{f"graphene-{k}": Field("graphene", 100 + k, _GRAPHENE, **_SHEET) for k in (1, 2)},
    "mos2-1": Field("mos2", 101, _TMD, size=(44.0, 44.0)),
    "wse2-1": Field("wse2", 102, _TMD, size=(44.0, 44.0)),
    "graphene-3": Field("graphene", 103, _GRAPHENE, **_SHEET),
    "mos2-2": Field("mos2", 103, _TMD, size=(44.0, 44.0)),
}
"""Field by field what is simulated; the dichalcogenides get a V_MX3 and a V_MX6 besides."""

APART = 9.0
"""Å between a cluster and any other defect or the edge of the cell."""

REACH = 2.4
"""Å in projection from a metal atom to its six chalcogens."""


def with_clusters(structure, seed: int):
    """The structure with a V_MX3 (a metal and the chalcogens above it) and a V_MX6 taken out, far from the rest."""
    rng = np.random.default_rng(seed)
    atoms = structure.atoms.copy()
    size = np.array(structure.size_angstrom)
    taken = [np.array(d.yx_angstrom) for d in structure.defects]
    for whole in (False, True):
        yx, z = atoms.positions[:, 1::-1], atoms.positions[:, 2]
        metal = rng.permutation(np.flatnonzero(atoms.numbers == atoms.numbers.max()))
        inside = [m for m in metal if min(*yx[m], *(size - yx[m])) > 0.8 * APART]
        centre = next(m for m in inside if min(np.hypot(*(yx[m] - t)) for t in taken) > APART)
        around = [i for i in cKDTree(yx).query_ball_point(yx[centre], REACH) if i != centre]
        taken.append(yx[centre].copy())
        del atoms[[int(centre), *(i for i in around if whole or z[i] > z[centre])]]
    return replace(structure, atoms=atoms)


def simulated(one: Field) -> dict[str, np.ndarray]:
    """The arrays of one file."""
    structure = create_structure(one.structure, size_angstrom=one.size, seed=one.seed, options=one.options)
    if one.structure != "graphene":
        structure = with_clusters(structure, one.seed)
    result = simulate_multislice(structure, optics=optics_of(one), config=config_of(one), cache=CACHE)
    image = result.images["haadf"]
    return {
        "haadf": (image / image.max()).astype(np.float16),
        "pixel_size": np.float64(result.pixel_size),
        "columns_yx": result.positions_yx.astype(np.float32),
        "content": result.content.astype(str),
        "provenance": np.array(json.dumps(dict(result.provenance))),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.parse_args()
    FOLDER.mkdir(exist_ok=True)
    for name, one in FIELDS.items():
        path = FOLDER / f"{name}.npz"
        if path.exists():
            continue
        start = time.perf_counter()
        arrays = simulated(one)
        with atomic_path(path) as temporary, temporary.open("wb") as handle:
            np.savez_compressed(handle, **arrays)
        print(f"{name}: {len(arrays['content'])} columns, {time.perf_counter() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
