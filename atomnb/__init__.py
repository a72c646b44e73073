"""atomnb: every atom of an atomically resolved image, with its uncertainty.

The names below load on first use, so that `import atomnb` stays fast and needs no torch.
"""

from importlib import import_module

__version__ = "0.1.0.dev0"

_PUBLIC = {
    "Analysis": "atomnb.locate.pipeline",
    "AtomTable": "atomnb.data.atoms",
    "DefectLibrary": "atomnb.graph.library",
    "Flag": "atomnb.data.atoms",
    "Micrograph": "atomnb.data.micrograph",
    "analyze": "atomnb.locate.pipeline",
    "as_micrograph": "atomnb.data.micrograph",
    "find_defects": "atomnb.graph.defects",
    "list_models": "atomnb.nets.checkpoint",
    "list_rules": "atomnb.graph.rules",
    "list_samples": "atomnb.data.examples",
    "load_model": "atomnb.nets.checkpoint",
    "measure_polarization": "atomnb.order.polarization",
    "measure_strain": "atomnb.order.strain",
    "read_image": "atomnb.io.stem",
    "recognize_crystal": "atomnb.locate.recognize",
    "sample_image": "atomnb.data.examples",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    if name not in _PUBLIC:
        raise AttributeError(f"module 'atomnb' has no attribute {name!r}")
    value = getattr(import_module(_PUBLIC[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
