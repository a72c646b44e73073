"""Rule sets of the user's own: checked, then kept beside those of the package under a name."""

from __future__ import annotations

import re
from pathlib import Path

from atomnb.graph.rules import RULES_DIR, RulesError, parse_rules, user_rules_folder
from atomnb.io.atomic import atomic_path


def save_rules(name: str, text: str) -> Path:
    """Keep a rule set as one of the user's own; an older one of that name is replaced.

    Parameters
    ----------
    name : letters, digits, - and _; not that of a rule set of the package
    text : YAML

    Returns
    -------
    Path
        The file, in `user_rules_folder()`.

    Raises
    ------
    RulesError
        If the text is no rule set (nothing is written), or the name is taken or cannot be one.
    """
    if not re.fullmatch(r"\w[\w-]{0,60}", name):
        raise RulesError(f"rules cannot be called {name!r}: use letters, digits, - and _, at most 61.")
    if (RULES_DIR / f"{name}.yaml").exists():
        raise RulesError(f"the rules {name!r} come with atomnb and stay as they are: choose another name.")
    parse_rules(text, name=name)
    path = user_rules_folder() / f"{name}.yaml"
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
    return path


def delete_rules(name: str) -> None:
    """Remove one of the user's own rule sets.

    Raises
    ------
    RulesError
        If there is none of that name.
    """
    path = user_rules_folder() / f"{name}.yaml"
    if Path(name).name != name or not path.is_file():
        raise RulesError(f"there are no rules {name!r} of your own to delete.")
    path.unlink()
