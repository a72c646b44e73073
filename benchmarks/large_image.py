"""Peak memory and time of `analyze` on images up to 8192 × 8192, each in a process of its own.

python benchmarks/large_image.py
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from record import ROOT, write_result

SIDES = (1024, 2048, 4096, 8192)
TILE = 512
"""Images are tiled from one 512² lattice patch of 1024 columns with fresh noise."""

CHILD = """
import json, resource, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np, torch
torch.set_num_threads(2)
import atomnb
atomnb.load_model(sys.argv[2])
image = np.load(sys.argv[1])
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
start = time.perf_counter()
found = atomnb.analyze(image, model=sys.argv[2], pixel_size=float(sys.argv[3]))
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"seconds": seconds, "peak_gb": peak * 1024 / 1e9, "before_gb": before * 1024 / 1e9,
                  "atoms": len(found.atoms)}))
"""


def image_of(side: int) -> np.ndarray:
    """A lattice image (side, side) float32 with Poisson noise that does not repeat."""
    from speed import frame

    patch, _ = frame()
    out = np.empty((side, side), np.float32)
    rng = np.random.default_rng(side)
    for y in range(0, side, TILE):
        for x in range(0, side, TILE):
            out[y : y + TILE, x : x + TILE] = rng.poisson(patch)
    return out


def measure(side: int, model: str) -> dict[str, float]:
    """Seconds, peak memory and atoms for one image."""
    from speed import PIXEL_SIZE

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "image.npy"
        np.save(path, image_of(side))
        command = [sys.executable, "-c", CHILD, str(path), model, str(PIXEL_SIZE)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"the analysis of {side}² failed:\n{done.stderr[-3000:]}")
    return {"side": side, **json.loads(done.stdout.splitlines()[-1])}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="universal")
    parser.add_argument("--sides", nargs="*", type=int, default=list(SIDES))
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    rows = []
    for side in options.sides:
        row = measure(side, options.model)
        row["microseconds_per_px"] = 1e6 * row["seconds"] / side**2
        rows.append(row)
        print(
            f"{side:>5}²: {row['seconds']:7.1f} s, {row['microseconds_per_px']:.3f} µs/px, "
            f"peak {row['peak_gb']:.2f} GB, {row['atoms']} atoms",
            flush=True,
        )
    sides, seconds = (np.array([r[k] for r in rows], float) for k in ("side", "seconds"))
    exponent = float(np.polyfit(np.log(sides**2), np.log(seconds), 1)[0]) if len(rows) > 1 else None
    print(f"time grows as pixels^{exponent:.2f}" if exponent else "")
    if not options.dry:
        table = {
            "columns": ["image", "s", "µs per px", "peak memory (GB)", "atoms"],
            "rows": [[f"{r['side']}²", r["seconds"], r["microseconds_per_px"], r["peak_gb"], r["atoms"]] for r in rows],
        }
        write_result("large_image", {"rows": rows, "exponent": exponent, "table": table})


if __name__ == "__main__":
    main()
