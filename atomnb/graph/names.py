"""The user's own names of defects: kept by topology in one small file, so that a name once given sticks."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from atomnb.errors import AtomnbError
from atomnb.io.atomic import atomic_path

NAMES_VARIABLE = "ATOMNB_NAMES"
"""Environment variable that names the file of the user's names."""

LONGEST = 80
"""Characters of a name."""


def names_file() -> Path:
    """The file of the user's names: the environment variable ATOMNB_NAMES, else ~/.local/share/atomnb/defects.json.

    It need not exist.
    """
    own = os.environ.get(NAMES_VARIABLE)
    return Path(own).expanduser() if own else Path.home() / ".local" / "share" / "atomnb" / "defects.json"


def load_names(path: Path | None = None) -> dict[str, str]:
    """Names by topology; empty before any was given.

    Raises
    ------
    AtomnbError
        If the file is damaged.

    Examples
    --------
    >>> atomnb.find_defects(atoms, rules="graphene", names=load_names())  # doctest: +SKIP
    """
    path = path or names_file()
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise AtomnbError(f"the names of defects in {path} cannot be read ({error}): repair or remove it.") from error
    if not isinstance(values, dict) or not all(isinstance(name, str) for name in values.values()):
        raise AtomnbError(f"{path} must map topologies to names: repair or remove it.")
    return values


def save_name(topology: str, name: str, path: Path | None = None) -> dict[str, str]:
    """Call every defect of this topology `name` from now on; an empty name goes back to the systematic one.

    Parameters
    ----------
    topology : as in the column of a table of defects
    name : of at most LONGEST characters
    path : file to use in place of the user's

    Returns
    -------
    dict
        All names there are now.

    Raises
    ------
    AtomnbError
        If the name or the topology cannot be one, or the file is damaged.
    """
    path = path or names_file()
    name = " ".join(name.split())
    if not re.fullmatch(r"[0-9a-f]{16}", topology):
        raise AtomnbError(f"a topology has 16 hexadecimal digits, got {topology!r}: take it from a table of defects.")
    if len(name) > LONGEST or not name.isprintable():
        raise AtomnbError(f"a name has at most {LONGEST} letters and signs, got {len(name)}: choose a shorter one.")
    names = {key: value for key, value in load_names(path).items() if key != topology}
    if name:
        names[topology] = name
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(names, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    return names


def apply_names(defects: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """The same defects, called by the user's names where their topology has one."""
    pairs = zip(defects["topology"], defects["name"], strict=True)
    called = [names.get(topology, name) for topology, name in pairs]
    return defects.assign(name=pd.Series(called, defects.index, object))
