"""The Python behind *Simulate*: the lines that give the same image, or the same labelled set."""

from __future__ import annotations

from dataclasses import MISSING, fields

from atomnb.widgets.simulate_request import (
    IDEAL_PIXEL,
    MAX_STRAIN,
    FileChoice,
    Request,
    SetPlan,
    contents_of,
    defects_of,
    has_vacancies,
)

WIDTH = 66
"""Characters that a line of the code panel holds."""


def image_code(request: Request, structure) -> str:
    """Python that gives the image on the page as `scene`, a `LabelledScene`."""
    lines = [
        *_imports(request, varied=False),
        *_structure_import(request),
        _wrapped(f"structure = {_maker(request)}", _structure_arguments(request, str(request.structure.seed))),
        *_scheme_lines(request, [structure]),
        call_of(request.microscope.optics(), target="optics = "),
        *_image_lines(request),
        _wrapped("ideal = ideal_image", _ideal_arguments(request)),
        call_of(request.exposure.config(), target="config = "),
        f"scene = next(make_exposures(ideal, 1, config=config, seed={request.structure.seed}))",
    ]
    return "\n".join(lines)


def set_code(request: Request, plan: SetPlan, structure, *, name: str) -> str:
    """Python that writes the same labelled set to `name`; `structure` is one of its kind."""
    seed = request.structure.seed
    lines = [
        *(["import numpy as np", ""] if plan.vary_optics else []),
        "from atomnb.data.labelled_writer import write_labelled_set",
        *_imports(request, varied=plan.vary_optics),
        *_structure_import(request),
        "structures = [",
        "    " + _wrapped(_maker(request), _structure_arguments(request, "seed")).replace("\n", "\n    "),
        f"    for seed in range({seed}, {seed + plan.structures})",
        "]",
        *_set_scheme_lines(request, structure),
        call_of(plan.config(request.exposure), target="config = "),
        "scenes = []",
        "for number, structure in enumerate(structures):",
    ]
    if plan.vary_optics:
        ranges = call_of(request.microscope.ranges(), target="ranges = ")
        lines.insert(-2, ranges)
        inside = [f"rng = np.random.default_rng([{seed}, number])", "optics = sample_optics(rng, ranges)"]
    else:
        lines.insert(-2, call_of(request.microscope.optics(), target="optics = "))
        inside = []
    inside += [
        *_image_lines(request),
        _wrapped("ideal = ideal_image", _ideal_arguments(request)),
        f"scenes += make_exposures(ideal, {plan.images_each}, config=config, seed={seed})",
    ]
    lines += ["    " + line.replace("\n", "\n    ") for line in inside]
    lines += ["", f"write_labelled_set({name!r}, scenes, classes=scheme.classes)"]
    return "\n".join(lines)


def call_of(value, *, target: str = "") -> str:
    """A frozen dataclass as the call that makes it, with what differs from its defaults; `target` comes before."""
    changed = {f.name: getattr(value, f.name) for f in fields(value) if getattr(value, f.name) != _default(f)}
    return _wrapped(target + type(value).__name__, [f"{name}={_plain(v)!r}" for name, v in changed.items()])


def _default(field):
    return field.default if field.default_factory is MISSING else field.default_factory()


def _plain(value):
    """Numbers as Python's own, however deep."""
    if isinstance(value, dict):
        return {k: _plain(v) for k, v in value.items()}
    if isinstance(value, tuple):
        return tuple(_plain(v) for v in value)
    return value.item() if hasattr(value, "item") else value


def _wrapped(call: str, arguments: list[str]) -> str:
    line = f"{call}({', '.join(arguments)})"
    return line if len(line) <= WIDTH else f"{call}(\n" + "".join(f"    {a},\n" for a in arguments) + ")"


def _maker(request: Request) -> str:
    return "read_structure" if isinstance(request.structure, FileChoice) else "create_structure"


def _structure_import(request: Request) -> list[str]:
    """The import, and what to do about a file that lies only where the page was served."""
    chosen = request.structure
    uploaded = isinstance(chosen, FileChoice) and chosen.file.uploaded
    note = ["# the file you uploaded: give its path on your computer"] if uploaded else []
    return [f"from atomnb.simulate.structures import {_maker(request)}", "", *note]


def _file_arguments(chosen: FileChoice, seed: str) -> list[str]:
    path = chosen.file.path.name if chosen.file.uploaded else str(chosen.file.path)
    arguments = [repr(path), f"zone_axis={chosen.zone_axis}"]
    if chosen.thickness:
        arguments.append(f"thickness_angstrom={chosen.thickness:g}")
    if any(chosen.tilt_mrad):
        arguments.append("tilt_mrad=({:g}, {:g})".format(*chosen.tilt_mrad))
    arguments.append(f"size_angstrom=({chosen.size:g}, {chosen.size:g})")
    if chosen.max_strain != MAX_STRAIN:
        arguments.append(f"max_strain={chosen.max_strain:g}")
    return [*arguments, f"seed={seed}"]


def _structure_arguments(request: Request, seed: str) -> list[str]:
    chosen = request.structure
    if isinstance(chosen, FileChoice):
        return _file_arguments(chosen, seed)
    arguments = [repr(chosen.name), f"size_angstrom=({chosen.size:g}, {chosen.size:g})", f"seed={seed}"]
    return [*arguments, f"options={dict(chosen.options)!r}"] if chosen.options else arguments


def _imports(request: Request, *, varied: bool) -> list[str]:
    builder = {
        "content": "scheme_by_content",
        "element": "scheme_by_element",
        "defect": "scheme_by_defect",
    }.get(request.scheme, "SCHEMES")
    fast = request.microscope.engine == "fast"
    engine = "convolution import convolution_image" if fast else "multislice import simulate_multislice"
    optics = "OpticsRanges, sample_optics" if varied else "Optics"
    lines = [
        f"from atomnb.simulate.class_schemes import {builder}",
        f"from atomnb.simulate.{engine}",
        "from atomnb.simulate.exposures import ExposureConfig, make_exposures",
        "from atomnb.simulate.ideal import ideal_image",
        f"from atomnb.simulate.optics import {optics}",
    ]
    if not fast:
        lines.insert(2, "from atomnb.simulate.multislice_plan import MultisliceConfig")
    return sorted(lines)


def _scheme_lines(request: Request, structures) -> list[str]:
    key = request.scheme
    if key == "content":
        arguments = [repr(contents_of(structures)), *(["vacancies=True"] if has_vacancies(structures) else [])]
        return [_wrapped("scheme = scheme_by_content", arguments)]
    if key == "element":
        return [_wrapped("scheme = scheme_by_element", [repr(contents_of(structures))])]
    if key == "defect":
        return [_wrapped("scheme = scheme_by_defect", [repr(defects_of(structures))])]
    return [f"scheme = SCHEMES[{key!r}]"]


def _set_scheme_lines(request: Request, structure) -> list[str]:
    """The scheme from what all structures of the set hold."""
    key = request.scheme
    if key in ("content", "element"):
        vacancies = ", vacancies=True" if key == "content" and has_vacancies([structure]) else ""
        return [
            "contents = [c for s in structures for c in s.columns().content]",
            f"scheme = scheme_by_{key}(contents{vacancies})",
        ]
    if key == "defect":
        names = "names = sorted({d.name for s in structures for d in s.defects})"
        return [names, "scheme = scheme_by_defect(names)"]
    return _scheme_lines(request, [structure])


def _image_lines(request: Request) -> list[str]:
    microscope = request.microscope
    if microscope.engine == "fast":
        arguments = ["structure", "optics=optics", f"detector={microscope.detector!r}", f"pixel_size={IDEAL_PIXEL}"]
        return [_wrapped("image = convolution_image", arguments)]
    return [
        call_of(microscope.multislice(), target="settings = "),
        _wrapped("images = simulate_multislice", ["structure", "optics=optics", "config=settings"]),
        f"image = images.images[{microscope.detector!r}]",
    ]


def _ideal_arguments(request: Request) -> list[str]:
    from atomnb.simulate.ideal import DARK_DETECTORS

    arguments = ["image", "structure", f"pixel_size={IDEAL_PIXEL}", "scheme=scheme"]
    return [*arguments, "dark=True"] if request.microscope.detector in DARK_DETECTORS else arguments
