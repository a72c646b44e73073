"""The dumbbell model on multislice images of Si, GaAs and CdTe along [110]: columns found, polarity named right.

In Si both columns of a dumbbell are alike and called "column"; in compounds the heavier element is the brighter one,
and columns of a grain whose polarity is undecided at 3 standard errors are "column" too: left open.

    python benchmarks/dumbbell.py
"""

from named_columns import run

NAMES = {
    "si110": {14: "column"},
    "cdte110": {52: "heavier", 48: "lighter"},
    "gaas110": {33: "heavier", 31: "lighter"},
}

if __name__ == "__main__":
    title = "Dumbbell model on multislice, electrons per column"
    run("dumbbell", NAMES, title=title, result="dumbbell", about=__doc__, undecided="column")
