"""Check the installation: what is there, what is missing, and what to do about it."""

from __future__ import annotations

import os
import platform
import re
import shutil
import sys
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path

from atomnb import __version__
from atomnb.errors import AtomnbError
from atomnb.pages import KINDS, pages_dir

OK, NOTE, PROBLEM = "ok", "note", "problem"
"""How a check ended: fine; worth knowing; something does not work."""

BROWSERS = ("chromium", "chromium-browser", "google-chrome")
"""Names of the browsers that can drive the tests of the pages."""

MIN_FREE_GB = 2.0
"""Free disk space and memory, in GB, below which large images may fail."""


@dataclass(frozen=True)
class Check:
    """One line of the report: what was looked at, how it stands, and the remedy when it is not fine."""

    topic: str
    name: str
    status: str
    found: str
    remedy: str = ""


def examine() -> list[Check]:
    """All checks, in the order of the report. Looks only at this machine."""
    return [
        _python(),
        *_packages(),
        _cores(),
        _memory(),
        _gpu(),
        _disk(),
        *_pages(),
        _data_folder(),
        *_models(),
        _chromium(),
    ]


def as_text(checks: Iterable[Check]) -> str:
    """The report for a terminal; what to fix comes last, where it is seen."""
    checks = list(checks)
    width = max(len(c.name) for c in checks)
    signs = {OK: "  ok    ", NOTE: "  note  ", PROBLEM: "  PROBLEM"}
    lines = []
    for topic in dict.fromkeys(c.topic for c in checks):
        lines.append(topic)
        lines += [f"{signs[c.status]:9} {c.name:{width}}  {c.found}".rstrip() for c in checks if c.topic == topic]
    problems = [c for c in checks if c.status == PROBLEM]
    lines.append("")
    if not problems:
        return "\n".join([*lines, "Everything atomnb needs is here."])
    lines.append("To fix:")
    return "\n".join([*lines, *(f"  {c.name}: {c.remedy}" for c in problems)])


def as_dict(checks: Iterable[Check]) -> dict:
    """The report for programs."""
    checks = list(checks)
    return {
        "atomnb": __version__,
        "ok": all(c.status != PROBLEM for c in checks),
        "checks": [asdict(c) for c in checks],
    }


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome of the system, or None."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


def _python() -> Check:
    found = f"{platform.python_version()} ({sys.executable})"
    return Check("Software", "Python", OK, found)


def _packages() -> list[Check]:
    checks = [Check("Software", "atomnb", OK, __version__)]
    try:
        wanted = requires("atomnb") or []
    except PackageNotFoundError:
        remedy = "run `make run`, or `pip install -e .` in the atomnb folder"
        return [Check("Software", "atomnb", PROBLEM, f"{__version__}, but not installed", remedy)]
    for requirement in wanted:
        extra = re.search(r"extra == ['\"](\w+)['\"]", requirement)
        name = re.match(r"[\w.-]+", requirement).group()
        if name != "atomnb" and (extra is None or extra.group(1) not in ("test", "all")):
            checks.append(_package(name, extra.group(1) if extra else None))
    return checks


def _package(name: str, extra: str | None) -> Check:
    try:
        return Check("Software", name, OK, version(name))
    except PackageNotFoundError:
        if extra:
            return Check("Software", name, NOTE, f"not installed; optional: pip install 'atomnb[{extra}]'")
        return Check("Software", name, PROBLEM, "missing", f"pip install -c constraints.txt {name}")


def _cores() -> Check:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return Check("Machine", "processor cores", OK, str(cores))


def _memory() -> Check:
    free = _free_memory_gb()
    if free is None:
        return Check("Machine", "free memory", NOTE, "unknown on this system")
    if free >= MIN_FREE_GB:
        return Check("Machine", "free memory", OK, f"{free:.1f} GB")
    remedy = "close other programs, or crop large images: an 8192² image needs up to 3 GB"
    return Check("Machine", "free memory", PROBLEM, f"{free:.1f} GB", remedy)


def _free_memory_gb() -> float | None:
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return None
    found = re.search(r"MemAvailable:\s+(\d+) kB", text)
    return int(found.group(1)) * 1024 / 1e9 if found else None


def _gpu() -> Check:
    try:
        import torch
    except Exception as error:
        remedy = f"install it again (it does not load: {error}): pip install -c constraints.txt torch"
        return Check("Machine", "GPU", PROBLEM, "unknown, torch does not load", remedy)
    if torch.cuda.is_available():
        return Check("Machine", "GPU", OK, f"{torch.cuda.get_device_name(0)}: atomnb uses it")
    return Check("Machine", "GPU", OK, "none: atomnb uses the processor; only training wants a GPU")


def _disk() -> Check:
    free = shutil.disk_usage(Path.cwd()).free / 1e9
    if free >= MIN_FREE_GB:
        return Check("Machine", "free disk space", OK, f"{free:.0f} GB")
    return Check("Machine", "free disk space", PROBLEM, f"{free:.1f} GB", "free some space before analysing")


def _pages() -> list[Check]:
    checks = []
    for kind in KINDS:
        try:
            folder = pages_dir(kind)
        except AtomnbError as error:
            checks.append(Check("Pages and data", kind, PROBLEM, "missing", str(error)))
            continue
        count = sum(1 for _ in folder.glob("*.ipynb"))
        if count:
            checks.append(Check("Pages and data", kind, OK, f"{count} in {folder}"))
        else:
            checks.append(Check("Pages and data", kind, PROBLEM, f"none in {folder}", "install atomnb again"))
    return checks


def _data_folder() -> Check:
    named = os.environ.get("ATOMNB_DATA")
    if named is None:
        return Check("Pages and data", "data folder", OK, f"{Path.cwd()} (ATOMNB_DATA is not set)")
    if Path(named).is_dir():
        return Check("Pages and data", "data folder", OK, f"{named} (from ATOMNB_DATA)")
    remedy = "set ATOMNB_DATA to a folder that exists, or unset it"
    return Check("Pages and data", "data folder", PROBLEM, f"ATOMNB_DATA={named} does not exist", remedy)


def _models() -> list[Check]:
    import atomnb

    try:
        cards = atomnb.list_models()
    except Exception as error:
        return [Check("Models", "models", PROBLEM, f"cannot be listed: {error}", "install atomnb again")]
    if not cards:
        return [Check("Models", "models", PROBLEM, "none", "install atomnb again")]
    return [_model(card) for card in cards]


def _model(card) -> Check:
    import atomnb

    try:
        atomnb.load_model(card.name)
    except Exception as error:
        return Check("Models", card.name, PROBLEM, "damaged", f"install atomnb again: {error}")
    return Check("Models", card.name, OK, "loads, weights match their hash")


def _chromium() -> Check:
    found = find_chromium()
    if found:
        return Check("For developers", "Chromium", OK, found)
    return Check("For developers", "Chromium", NOTE, "not found; only the tests need one (make test gets it)")
