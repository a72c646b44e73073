"""Time the peers, inside their own environment: started by `speed.py`, which asks for one timing per line.

    .peers/bin/python benchmarks/peer_timing.py FRAME.npz

Reads 'atomai' or 'atomap' from standard input and answers with a line of JSON; an empty line ends it.
"""

from __future__ import annotations

import contextlib
import json
import sys
import time
import warnings

import numpy as np

THREADS = 2


def main() -> None:
    warnings.simplefilter("ignore")
    with np.load(sys.argv[1]) as held:
        image, peaks_yx = held["image"], held["peaks_yx"]
    answers = sys.stdout
    with contextlib.redirect_stdout(sys.stderr):
        timings = {"atomai": atomai_timing(image, peaks_yx), "atomap": atomap_timing(image, peaks_yx)}
        print(json.dumps({"ready": versions()}), file=answers, flush=True)
        for line in iter(sys.stdin.readline, "\n"):
            print(json.dumps(timings[line.strip()]()), file=answers, flush=True)


def versions() -> dict[str, str]:
    from importlib.metadata import version

    return {name: version(name) for name in ("atomai", "atomap", "torch", "numpy", "scipy")}


def atomai_timing(image, peaks_yx):
    """AtomAI's default U-Net (untrained: the time is the same) and its 2-D Gaussian fit of the given peaks."""
    import torch

    torch.set_num_threads(THREADS)
    from atomai.models import Segmentor
    from atomai.utils.coords import peak_refinement

    model = Segmentor("Unet", nb_classes=1)
    coordinates = np.c_[peaks_yx, np.zeros(len(peaks_yx))]
    scaled = (image - image.min()) / np.ptp(image)

    def once() -> dict[str, float]:
        start, processor = time.perf_counter(), time.process_time()
        model.predict(image, compute_coords=False, verbose=False)
        middle = time.perf_counter()
        peak_refinement(scaled, coordinates)
        end = time.perf_counter()
        return {
            "predict_s": middle - start,
            "refine_s": end - middle,
            "total_s": end - start,
            "cpu_s": time.process_time() - processor,
            "atoms": len(peaks_yx),
        }

    return once


def atomap_timing(image, peaks_yx):
    """atomap's 2-D Gaussian refinement with its defaults."""
    from atomap.api import Sublattice

    pixels = image.astype(float)

    def once() -> dict[str, float]:
        sublattice = Sublattice(peaks_yx[:, ::-1].copy(), pixels)
        sublattice.find_nearest_neighbors()
        start, processor = time.perf_counter(), time.process_time()
        sublattice.refine_atom_positions_using_2d_gaussian(show_progressbar=False)
        seconds = time.perf_counter() - start
        processor = time.process_time() - processor
        return {"total_s": seconds, "cpu_s": processor, "atoms": len(peaks_yx), "per_atom_s": seconds / len(peaks_yx)}

    return once


if __name__ == "__main__":
    main()
