"""The shape of the code: imports point one way, the core stays bare, options are spelt out, files say their reason."""

import ast
import json
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "atomnb"

LAYERS = (
    *(
        "errors",
        "said",
        "_require",
        "data",
        "io",
        "simulate",
        "nets",
        "metrics",
        "train",
        "resample",
        "denoise",
        "level",
        "scale",
        "segment",
    ),
    *("locate", "graph", "contours", "order", "track", "live"),
    *("viz", "report", "batch", "pages", "doctor", "widgets", "cli"),
)
"""Parts of atomnb from the bottom to the top: each may import itself and what stands before it."""

CONVENIENCES = {
    ("data", "io"),  # Micrograph.to_hyperspy, AtomTable.save
    ("data", "simulate"),  # samples that are simulated when asked for
    ("locate", "report"),  # Analysis.save
    ("locate", "graph"),  # analyze(..., rules=...)
}
"""Upward imports allowed inside functions: methods that spare the user an import."""

MAY_USE_THE_WHOLE = ("batch", "doctor", "widgets", "cli")
"""Parts that may use the lazy names of `atomnb` itself, which lead everywhere."""

CORE_PACKAGES = ("simulate", "nets", "train")
CORE_MODULES = (
    *("atomnb", "atomnb.errors", "atomnb._require"),
    *("atomnb.data", "atomnb.data.micrograph", "atomnb.data.flags"),
    *("atomnb.resample", "atomnb.scale", "atomnb.segment", "atomnb.metrics"),
    "atomnb.level",
    *("atomnb.locate", "atomnb.locate.peaks", "atomnb.locate.noise"),
    *("atomnb.locate.refine", "atomnb.locate.bound"),
)
NOT_CORE = ("atomnb.simulate.multislice", "atomnb.simulate.structures", "atomnb.simulate.movie")
CORE_MAY_IMPORT = {"numpy", "scipy", "torch", "skimage", "safetensors", "atomnb"}
BLOCKED = ("pandas", "matplotlib", "hyperspy", "ipywidgets", "networkx", "holoviews")


class Import(NamedTuple):
    """Module `source` imports `target`; `lazy` when inside a function."""

    source: str
    target: str
    lazy: bool


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


SOURCES = {module_name(path): path for path in sorted(PACKAGE.rglob("*.py"))}
TREES = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in SOURCES.items()}
CORE = [
    name
    for name in SOURCES
    if name not in NOT_CORE and (name in CORE_MODULES or name.split(".")[1:2] in [[p] for p in CORE_PACKAGES])
]


def imports_of(source: str, tree: ast.AST) -> list[Import]:
    found = []

    def visit(node: ast.AST, lazy: bool) -> None:
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            return
        if isinstance(node, ast.Import):
            found.extend(Import(source, alias.name, lazy) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{source}: relative import, line {node.lineno}"
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                found.append(Import(source, inner if inner in SOURCES else node.module, lazy))
        inside = lazy or isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for child in ast.iter_child_nodes(node):
            visit(child, inside)

    visit(tree, False)
    return found


IMPORTS = [found for name, tree in TREES.items() for found in imports_of(name, tree)]
OURS = [i for i in IMPORTS if i.target.split(".")[0] == "atomnb"]


def layer(module: str) -> str | None:
    """The part a module belongs to; None for `atomnb` itself."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else None


def test_every_part_has_its_place():
    unknown = {layer(name) for name in SOURCES} - {None} - set(LAYERS)
    assert not unknown, f"add {unknown} to LAYERS where they belong"


def points_down(found: Import) -> bool:
    source, target = layer(found.source), layer(found.target)
    if source is None:
        return target is None
    if target is None:
        return source in MAY_USE_THE_WHOLE or version_only(found.source)
    if found.lazy and (source, target) in CONVENIENCES:
        return True
    return LAYERS.index(target) <= LAYERS.index(source)


def version_only(source: str) -> bool:
    """Whether all that `source` takes from `atomnb` itself is its version."""
    nodes = list(ast.walk(TREES[source]))
    taken = {
        alias.name
        for node in nodes
        if isinstance(node, ast.ImportFrom) and node.module == "atomnb"
        for alias in node.names
        if f"atomnb.{alias.name}" not in SOURCES
    }
    taken |= {
        node.attr
        for node in nodes
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "atomnb"
    }
    return taken == {"__version__"}


def test_imports_point_down():
    assert [f"{i.source} imports {i.target}" for i in OURS if not points_down(i)] == []


def test_the_rule_would_catch_an_upward_import():
    assert not points_down(Import("atomnb.data.micrograph", "atomnb.io.stem", lazy=False))
    assert points_down(Import("atomnb.data.micrograph", "atomnb.io.bridges", lazy=True))
    assert not points_down(Import("atomnb.segment", "atomnb.widgets.canvas", lazy=True))
    assert imports_of("atomnb.x", ast.parse("def f():\n  from atomnb.io import safety")) == [
        Import("atomnb.x", "atomnb.io.safety", lazy=True)
    ]


def test_no_cycles():
    """Imports at the top of modules form no ring."""
    wants = {name: {i.target for i in OURS if i.source == name and not i.lazy} for name in SOURCES}
    done: set[str] = set()

    def walk(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join([*path[path.index(name) :], name])
        if name not in done:
            for other in sorted(wants.get(name, set()) - {"atomnb", name}):
                walk(other, (*path, name))
            done.add(name)

    for name in SOURCES:
        walk(name, ())


def test_the_core_names_only_core_packages():
    allowed = CORE_MAY_IMPORT | set(sys.stdlib_module_names)
    foreign = [f"{i.source}: {i.target}" for i in IMPORTS if i.source in CORE and i.target.split(".")[0] not in allowed]
    assert foreign == []


def test_the_core_imports_where_nothing_else_is_installed():
    script = """
import importlib, json, sys
class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in BLOCKED:
            raise ModuleNotFoundError(f"{name} is blocked", name=name)
sys.meta_path.insert(0, Blocked())
failed = {}
for name in NAMES:
    try:
        importlib.import_module(name)
    except ImportError as error:
        failed[name] = str(error)
print(json.dumps(failed))
"""
    header = f"BLOCKED = {BLOCKED!r}\nNAMES = {[n for n in CORE if not n.endswith('__main__')]!r}\n"
    done = subprocess.run([sys.executable, "-c", header + script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {}


def test_importing_atomnb_needs_no_torch():
    script = "import sys, atomnb; print('torch' in sys.modules, 'numpy' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False"]


def test_the_public_names_exist():
    """Every lazy name of `atomnb` is defined in the module it is said to come from."""
    import atomnb

    missing = []
    for name, module in atomnb._PUBLIC.items():
        tree = TREES.get(module)
        if tree is None or not ({name} & set(_top_level_names(tree))):
            missing.append(f"{name} from {module}")
    assert missing == []


@pytest.mark.parametrize("name", ["find_defects", "measure_strain", "measure_polarization", "DefectLibrary"])
def test_what_follows_the_atoms_is_one_import_away(name):
    import atomnb

    assert name in dir(atomnb) and getattr(atomnb, name).__name__ == name


def _top_level_names(tree: ast.Module):
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            yield node.name
        elif isinstance(node, ast.ImportFrom):
            yield from (alias.asname or alias.name for alias in node.names)


def public_functions(tree: ast.Module):
    """Functions and methods a user may call: no name on the way begins with an underscore."""

    def visit(nodes, prefix):
        for node in nodes:
            if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and not node.name.startswith("_"):
                yield prefix + node.name, node
            elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                yield from visit(node.body, f"{prefix}{node.name}.")

    yield from visit(tree.body, "")


def passes_on_to_super(function: ast.FunctionDef) -> bool:
    """Whether it extends a method of another package's class, whose options are not ours to spell out."""
    return f"super().{function.name}(" in ast.unparse(function)


@pytest.mark.parametrize("module", SOURCES)
def test_no_public_function_takes_any_keyword(module):
    """A misspelt option must be an error, not silence."""
    loose = [
        name
        for name, node in public_functions(TREES[module])
        if node.args.kwarg is not None and not passes_on_to_super(node)
    ]
    assert loose == []


@pytest.mark.parametrize("module", SOURCES)
def test_every_file_says_its_reason_in_its_first_line(module):
    docstring = ast.get_docstring(TREES[module])
    assert docstring, f"{module} has no docstring"
    first = docstring.splitlines()[0]
    assert len(first) > 15 and first[-1] in ".:", f"{module}: {first!r} is no sentence"


def test_no_file_is_called_after_nothing():
    nothing = {"utils", "helpers", "misc", "common", "util", "tools"}
    assert not [name for name in SOURCES if name.split(".")[-1] in nothing]
