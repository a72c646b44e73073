"""Write a benchmark's raw values with what is needed to repeat it: command, commit, versions, machine."""

from __future__ import annotations

import json
import math
import os
import platform
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
RESULTS = Path(__file__).resolve().parent / "results"

PACKAGES = ("torch", "numpy", "scipy", "scikit-image", "hyperspy")
"""What atomnb computes with; a result states all of them."""

PEERS = ("abtem", "atomai", "atomap", "trackpy", "photutils")
"""Packages we compare with; a result states those that are installed."""


def write_result(name: str, values: Mapping[str, Any], *, command: str | None = None) -> Path:
    """Write `benchmarks/results/NAME.json`, replacing an older one in one step.

    Parameters
    ----------
    name : str
        What was measured, a plain file name without ending.
    values : mapping
        The raw values: numbers, strings, lists, mappings, NumPy arrays. NaN and infinity become null.
    command : str, optional
        How to repeat it; by default the running command line.

    Returns
    -------
    pathlib.Path
        The file written.
    """
    if name != Path(name).name or not name or name.startswith("."):
        raise ValueError(f"name must be a plain file name without folders, got {name!r}.")
    record = {
        "name": name,
        "command": command or running_command(),
        "commit": git_commit(),
        "date_utc": datetime.now(UTC).isoformat(timespec="seconds"),
        "versions": installed_versions(),
        "machine": machine(),
        "values": plain(values),
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    text = json.dumps(record, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    path = RESULTS / f"{name}.json"
    descriptor, temporary = tempfile.mkstemp(dir=RESULTS, prefix=f".{name}.", suffix=".tmp")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as handle:
            handle.write(text)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def read_result(name: str) -> dict[str, Any]:
    """The record that `write_result(name, ...)` wrote."""
    return json.loads((RESULTS / f"{name}.json").read_text(encoding="utf-8"))


def running_command() -> str:
    """The command line of this process, with paths relative to the repository where they lie in it."""
    arguments = [_relative(a) for a in sys.argv]
    return " ".join(["python", *arguments])


def git_commit() -> str:
    """The checked-out commit, followed by ' dirty' when tracked code beside the results has been changed."""
    commit = _git("rev-parse", "HEAD")
    if commit is None:
        return "unknown"
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", ".", ":!benchmarks/results")
    return f"{commit} dirty" if changed else commit


def installed_versions() -> dict[str, str]:
    """Versions of Python, atomnb, what it computes with, and the peers that are installed."""
    found = {"python": platform.python_version()}
    for package in PACKAGES + PEERS:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            if package in PACKAGES:
                found[package] = "not installed"
    found["atomnb"] = _checkout_version()
    return found


def machine() -> dict[str, Any]:
    """Processor, usable cores, memory in GB; the GPU if torch has been loaded and sees one; what networks compute in.

    In bfloat16 and float32 they differ in the last digits, which now and then decides a doubtful atom.
    """
    return {
        "system": f"{platform.system()} {platform.machine()}",
        "cpu": cpu_model(),
        "cores": usable_cores(),
        "memory_gb": _memory_gb(),
        "gpu": _gpu(),
        "networks_in": _network_format(),
    }


def cpu_model() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or "unknown"


def usable_cores() -> int:
    """Cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def plain(value: Any) -> Any:
    """`value` as JSON can hold it: arrays as lists, NaN and infinity as None."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (bool, int, str)):
        return value
    return str(value)


def _relative(argument: str) -> str:
    path = Path(argument)
    return str(path.relative_to(ROOT)) if path.is_absolute() and path.is_relative_to(ROOT) else argument


def _checkout_version() -> str:
    """The version in the source tree: what runs, installed or not."""
    text = (ROOT / "atomnb" / "__init__.py").read_text(encoding="utf-8")
    return re.search(r'^__version__ = "(.+)"$', text, re.MULTILINE).group(1)


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def _memory_gb() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1)
    except (AttributeError, ValueError, OSError):
        return None


def _network_format() -> str | None:
    torch, shared = sys.modules.get("torch"), sys.modules.get("atomnb.nets.shared")
    if torch is None or shared is None:
        return None
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    return "bfloat16" if shared.has_fast_bf16(device) else "float32"


def _gpu() -> str | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_available():
        return None
    return torch.cuda.get_device_name(0)
