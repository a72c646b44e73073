"""The perovskite model on multislice images of SrTiO3 and PbTiO3: columns found, A and B named right.

Oxygen columns are too faint in HAADF to count either way.

    python benchmarks/perovskite.py
"""

from named_columns import run

NAMES = {"srtio3": {38: "A", 22: "B"}, "pbtio3": {82: "A", 22: "B"}}

if __name__ == "__main__":
    title = "Perovskite model on multislice, electrons per column"
    run("perovskite", NAMES, title=title, result="perovskite", about=__doc__)
