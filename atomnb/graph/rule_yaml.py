"""YAML as rule files need it: the elements N, Y and No stay text, and what is written twice is an error."""

from __future__ import annotations

import re
from typing import Any

import yaml

_BOOL = "tag:yaml.org,2002:bool"


class _RuleLoader(yaml.SafeLoader):
    """The safe loader with true and false as the only truth values: YAML 1.1 takes yes, no, on, off, y, n for them."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict:
        seen: dict[str, yaml.ScalarNode] = {}
        for key in (key for key, _ in node.value if isinstance(key, yaml.ScalarNode)):
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    f"{key.value!r} is given here", seen[key.value].start_mark, "and again here: keep one of them",
                    key.start_mark,
                )  # fmt: skip
            seen[key.value] = key
        return super().construct_mapping(node, deep=deep)


_RuleLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _BOOL]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_RuleLoader.add_implicit_resolver(_BOOL, re.compile("^(?:true|True|TRUE|false|False|FALSE)$"), list("tTfF"))


def load_rule_yaml(text: str) -> Any:
    """What a YAML text holds.

    Raises
    ------
    yaml.YAMLError
        If it is no YAML, or an entry is given twice, with both places.
    """
    return yaml.load(text, Loader=_RuleLoader)
