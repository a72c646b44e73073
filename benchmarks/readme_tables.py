"""Write README's tables from benchmarks/results/*.json, so that no number is typed by hand.

README marks a table with `<!-- table:NAME -->` and `<!-- /table -->`; what lies between comes from
`benchmarks/results/NAME.json`, whose values hold `table = {"columns": [...], "rows": [[...], ...]}`.

    python benchmarks/readme_tables.py          rewrite the tables
    python benchmarks/readme_tables.py --check  say which are out of date; exit status 1 if any
"""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = ROOT / "README.md"
RESULTS = Path(__file__).resolve().parent / "results"

_MARKED = re.compile(r"<!-- table:(?P<name>[\w.-]+) -->\n(?P<body>.*?)<!-- /table -->", re.DOTALL)


def filled(text: str, results: Path = RESULTS) -> str:
    """`text` with every marked table made anew from the results.

    Raises
    ------
    ValueError
        If a marker has no end, no result of its name, or a result without a table.
    """
    opened = re.findall(r"<!-- table:([\w.-]+) -->", text)
    closed = [match["name"] for match in _MARKED.finditer(text)]
    if opened != closed or text.count("<!-- /table -->") != len(closed):
        raise ValueError(f"each table marker needs its own <!-- /table -->; opened {opened}, closed {closed}.")

    def body(match: re.Match) -> str:
        name = match["name"]
        return f"<!-- table:{name} -->\n{table_of(name, results)}<!-- /table -->"

    return _MARKED.sub(body, text)


def table_of(name: str, results: Path = RESULTS) -> str:
    """The Markdown table of result `name`, and a line that says how to repeat it."""
    path = results / f"{name}.json"
    if not path.exists():
        raise ValueError(f"README names the table {name!r}, but there is no {path.name}: run its benchmark.")
    record = json.loads(path.read_text(encoding="utf-8"))
    table = record["values"].get("table")
    if table is None:
        raise ValueError(f"{path.name} holds no table: its benchmark must write values['table'].")
    columns, rows = table["columns"], table["rows"]
    for row in rows:
        if len(row) != len(columns):
            raise ValueError(f"{path.name}: the row {row} does not have {len(columns)} cells.")
    lines = [_line(columns), _line(["---"] * len(columns)), *map(_line, rows)]
    return "\n".join(lines) + "\n\n" + _origin(record) + "\n"


def _line(cells) -> str:
    return "| " + " | ".join(_cell(c) for c in cells) + " |"


def _cell(value) -> str:
    if value is None:
        return "–"
    if isinstance(value, float):
        return f"{value:.4g}"
    return str(value).replace("|", "\\|")


def _origin(record: dict) -> str:
    machine = record["machine"]
    where = machine["gpu"] or f"{machine['cores']} cores"
    commit = record["commit"][:10] + (" + changes" if record["commit"].endswith("dirty") else "")
    return f"`{record['command']}`, {record['date_utc'][:10]}, commit {commit}, {where}."


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="change nothing, only compare")
    check = parser.parse_args().check
    text = README.read_text(encoding="utf-8")
    fresh = filled(text)
    if fresh == text:
        return 0
    if check:
        print("README's tables differ from benchmarks/results: run benchmarks/readme_tables.py", file=sys.stderr)
        return 1
    temporary = README.with_suffix(".tmp")
    temporary.write_text(fresh, encoding="utf-8")
    os.replace(temporary, README)
    return 0


if __name__ == "__main__":
    sys.exit(main())
