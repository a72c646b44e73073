"""Analyse every experimental lattice image at hand: an overlay of each and a table of what was found.

The table gives the nearest-neighbour spacing found beside the known one, the number of atoms, and the share of inner
atoms that have the commonest coordination number, which falls where atoms are missed or imagined, and is
low by nature where there are several kinds of sites (perovskites with their oxygen, bilayers, interfaces).

Overlays of files with an open licence go to `benchmarks/results/overlays/`, those of the others to the ignored folder
`scratch/overlays/`. Needs the folder of experimental files (ATOMNB_DATA or ../shared/data).

    python benchmarks/lattice_images.py
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from real_frames import data_folder
from record import RESULTS, ROOT, write_result
from scipy.spatial import cKDTree

OPEN_LICENCES = ("GPL-3.0", "GPL-3.0-or-later", "MIT", "Apache-2.0", "Apache-2.0 (root) + MIT (demo)")
OPEN_PREFIX = "GPL-3.0 (repo; image credits"
"""Licence notes of the manifest that allow a derived picture to be passed on."""

FOLDERS = (
    "atomap", "atomsegnet", "blobnet", "bto_dm4", "graphene", "graphene_si_library", "hyperspy_demos", "ingrained_gb",
    "kemstem", "scilink_mos2", "temul", "temul_pypi", "tk_r_em", "ws2_wse2_janus",
)  # fmt: skip
"""Folders of lattice images; the others hold single atoms or format fixtures."""

IMAGES = (".hdf5", ".png", ".emd", ".dm3", ".dm4", ".hspy", ".tif", ".npy", ".ser")

KNOWN_SPACING = {
    "bto_dm4/": (2.82, "Ba–Ti in BaTiO3 [001]"),
    "blobnet/WS2": (1.82, "W–S in projection; bilayer-like, may be shorter"),
    "graphene/": (1.42, "C–C"),
    "graphene_si_library/": (1.42, "C–C"),
    "hyperspy_demos/": (1.95, "B–O in a perovskite, [001]"),
    "ingrained_gb/CdTe": (1.62, "dumbbell of CdTe [110]"),
    "scilink_mos2/": (1.82, "Mo–S in projection"),
    "temul/": (2.80, "Pb–Ti, Sr–Ru in projection"),
    "temul_pypi/example_Se": (1.82, "Mo–S in projection"),
    "ws2_wse2_janus/": (1.85, "W–(S,Se) in projection"),
    "atomsegnet/Si110": (1.36, "dumbbell of Si [110]"),
}
"""Nearest-neighbour distances in Å of what the file shows, by the beginning of its name."""

PIXEL_SIZE_BY_HAND = {
    "atomsegnet/Si110": 50 / 512,
    "graphene/G-Si-2nm": 20 / 256,
    "scilink_mos2/": 90 / 512,
}
"""Å; fields of view told by file names or companions that the reader does not open."""

NEIGHBOUR_REACH = 1.3
"""Atoms within this many nearest-neighbour spacings are neighbours."""


def image_files(folder: Path) -> list[Path]:
    """Lattice images of the data folder; labels are left out."""
    files = [p for name in FOLDERS for p in sorted((folder / name).iterdir()) if p.suffix.lower() in IMAGES]
    return [p for p in files if not p.stem.endswith("-coord")]


def licences(folder: Path) -> dict[str, str]:
    """Licence by file, from the manifest."""
    with (folder.parent / "MANIFEST.tsv").open(encoding="utf-8", newline="") as handle:
        return {row["file"]: row["license"] or "" for row in csv.DictReader(handle, delimiter="\t")}


def is_open(licence: str) -> bool:
    return licence in OPEN_LICENCES or licence.startswith(OPEN_PREFIX)


def by_prefix(values: dict, name: str):
    """The value of the longest key that `name` begins with, or None."""
    keys = [key for key in values if name.startswith(key)]
    return values[max(keys, key=len)] if keys else None


def coordination(yx: np.ndarray, shape) -> dict[str, float | int | None]:
    """The commonest number of neighbours of the inner atoms, and the share that has it."""
    if len(yx) < 8:
        return {"modal_coordination": None, "modal_share": None}
    tree = cKDTree(yx)
    spacing = float(np.median(tree.query(yx, k=2)[0][:, 1]))
    reach = NEIGHBOUR_REACH * spacing
    number = np.array([len(found) - 1 for found in tree.query_ball_point(yx, reach)])
    inner = number[(yx > reach).all(1) & (yx < np.array(shape) - 1 - reach).all(1)]
    if not len(inner):
        return {"modal_coordination": None, "modal_share": None}
    values, counts = np.unique(inner, return_counts=True)
    return {"modal_coordination": int(values[counts.argmax()]), "modal_share": float(counts.max() / len(inner))}


def analyse(path: Path, name: str, model: str, overlay: Path | None) -> dict:
    """The table's row of one file; its picture is written to `overlay`."""
    import atomnb

    start = time.perf_counter()
    micrograph = atomnb.read_image(path)
    if micrograph.is_stack:
        micrograph = atomnb.Micrograph(micrograph.frame(0), micrograph.pixel_size, name=micrograph.name)
    if micrograph.pixel_size is None:
        micrograph = micrograph.with_pixel_size(by_prefix(PIXEL_SIZE_BY_HAND, name))
    found = atomnb.analyze(micrograph, model=model)
    seconds = time.perf_counter() - start
    spacing = found.scale.spacing_px
    known, meaning = by_prefix(KNOWN_SPACING, name) or (None, None)
    if overlay is not None:
        draw(found, overlay)
    pixel_size = micrograph.pixel_size
    return {
        "file": name,
        "shape": list(micrograph.shape),
        "pixel_size": pixel_size,
        "spacing_px": spacing,
        "spacing_angstrom": spacing * pixel_size if spacing and pixel_size else None,
        "known_angstrom": known,
        "known_is": meaning,
        "atoms": len(found.atoms),
        **coordination(found.atoms.positions_yx, micrograph.shape),
        "zoom": found.scale.zoom,
        "messages": list(found.messages),
        "seconds": seconds,
    }


def draw(found, path: Path, *, side_px: int = 700) -> None:
    """The overlay as a PNG of few colours."""
    import matplotlib

    matplotlib.use("agg")
    import matplotlib.pyplot as plt
    from PIL import Image

    image = found.image.frame(0)
    low, high = np.percentile(image, [0.5, 99.7])
    height, width = image.shape
    scale = side_px / max(height, width)
    figure = plt.figure(figsize=(width * scale / 100, height * scale / 100), dpi=100)
    ax = figure.add_axes((0, 0, 1, 1))
    ax.imshow(image, cmap="gray", vmin=low, vmax=high, interpolation="nearest")
    yx, group = found.atoms.positions_yx, found.atoms.df["sublattice"].to_numpy()
    radius = 0.2 * (found.scale.spacing_px or 10.0) * scale
    ax.scatter(yx[:, 1], yx[:, 0], s=max(radius, 1.2) ** 2, c=group, cmap="Set1", vmin=0, vmax=8, linewidths=0)
    ax.set_xlim(-0.5, width - 0.5)
    ax.set_ylim(height - 0.5, -0.5)
    ax.axis("off")
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path)
    plt.close(figure)
    with Image.open(path) as picture:
        picture.convert("RGB").quantize(64).save(path, optimize=True)


def table(rows: list[dict]) -> dict:
    """The table README shows; the Si-in-graphene library is one line."""
    columns = [
        "file", "pixels", "Å per px", "spacing found (px)", "spacing found (Å)", "known (Å)", "atoms",
        "share with the modal coordination",
    ]  # fmt: skip
    library = [row for row in rows if row["file"].startswith("graphene_si_library/")]
    lines = []
    for row in rows:
        if row in library:
            continue
        share = None
        if row["modal_share"] is not None:
            share = f"{row['modal_share']:.2f} ({row['modal_coordination']})"
        lines.append(
            [
                row["file"], "×".join(map(str, row["shape"])), row["pixel_size"], row["spacing_px"],
                row["spacing_angstrom"], row["known_angstrom"], row["atoms"], share,
            ]
        )  # fmt: skip
    if library:

        def middle(key):
            return float(np.median([row[key] for row in library if row[key] is not None]))

        lines.append(
            [
                f"graphene_si_library ({len(library)} files, medians)", None, middle("pixel_size"),
                middle("spacing_px"),
                middle("spacing_angstrom"), 1.42, int(middle("atoms")), f"{middle('modal_share'):.2f}",
            ]
        )  # fmt: skip
    return {"columns": columns, "rows": lines}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("names", nargs="*", help="only files whose name begins so")
    parser.add_argument("--model", default="universal")
    parser.add_argument("--dry", action="store_true", help="no result and no overlay in benchmarks/results")
    options = parser.parse_args()
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    warnings.simplefilter("ignore")
    folder = data_folder()
    licence = licences(folder)
    rows = []
    for path in image_files(folder):
        name = path.relative_to(folder).as_posix()
        if options.names and not name.startswith(tuple(options.names)):
            continue
        shared = is_open(licence.get(f"stem/{name}", "")) and not options.dry
        target = RESULTS / "overlays" if shared else ROOT / "scratch" / "overlays"
        overlay = target / (name.replace("/", "__").replace(" ", "_") + ".png")
        row = analyse(path, name, options.model, overlay)
        rows.append(row)
        angstrom = f"{row['spacing_angstrom']:.3f}" if row["spacing_angstrom"] else "–"
        known = row["known_angstrom"] or "–"
        print(
            f"{name[:58]:<58} {row['spacing_px'] or float('nan'):6.2f} px {angstrom:>6} Å (known {known})"
            f"  {row['atoms']:>6} atoms  {row['modal_share'] or float('nan'):.2f} have {row['modal_coordination']}"
            f"  {row['seconds']:.1f} s",
            flush=True,
        )
    if not options.dry:
        write_result("lattice_images", {"rows": rows, "table": table(rows)})


if __name__ == "__main__":
    main()
