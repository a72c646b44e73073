"""The Python behind a result: what the page did, as lines to paste into a notebook."""

from __future__ import annotations

from typing import NamedTuple

WIDTH = 43
"""Characters that a line of the code panel holds."""


class Source(NamedTuple):
    """Where an image came from.

    `kind` is 'sample', 'file' or 'upload'; `name` the sample's name, the file's path below the data folder, or the
    uploaded file's name; `channel` the index of the signal, None for the default; `path` the whole path of a file.
    """

    kind: str
    name: str
    channel: int | None = None
    path: str = ""


class Request(NamedTuple):
    """The settings of one analysis; `frame` is None for a single image or a whole stack."""

    source: Source
    frame: int | None
    pixel_size: float | None
    model: str
    contrast: str
    refine: bool
    floor: float


def code_of(request: Request, *, threshold: float) -> str:
    """Python that gives the same atoms."""
    lines = [*analysis_lines(request), 'score = analysis.atoms.df["score"]', f"sure = score >= {threshold:.2f}"]
    lines += ["atoms = analysis.atoms.select(sure)", "", 'atoms.save("atoms.csv")']
    return "\n".join(lines)


def analysis_lines(request: Request, *, rules: str | None = None) -> list[str]:
    """Python that opens the image and analyses it, with `rules` where there are any."""
    lines = ["import atomnb", "", *_opening(request.source)]
    if request.frame is not None:
        lines.append(f"image = atomnb.as_micrograph(image.frame({request.frame}))")
    options = [f"threshold={request.floor:g}"]
    if request.pixel_size is not None:
        options.insert(0, f"pixel_size={float(f'{request.pixel_size:.9g}')!r}")
    if request.model != "universal":
        options.insert(0, f"model={request.model!r}")
    if request.contrast != "auto":
        options.append(f"contrast={request.contrast!r}")
    if not request.refine:
        options.append("refine=False")
    if rules is not None:
        options.append(f"rules={rules!r}")
    call = f"analysis = atomnb.analyze(image, {', '.join(options)})"
    if len(call) > WIDTH:
        call = "analysis = atomnb.analyze(\n    image,\n" + "".join(f"    {o},\n" for o in options) + ")"
    return [*lines, call]


def notebook_of(code: str, *, title: str, page: str = "Find atoms", table: str = "atoms.df") -> bytes:
    """The code as a Jupyter notebook that also shows the table it makes and draws the result."""
    import nbformat
    from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

    picture = "from atomnb.viz.overlay import show_atoms\n\nshow_atoms(analysis);"
    cells = [
        new_markdown_cell(f"# {title}\n\nMade by *{page}*; it gives the same as the page."),
        new_code_cell(code),
        new_code_cell(f"{table}.head()"),
        new_code_cell(picture),
    ]
    kernel = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    return nbformat.writes(new_notebook(cells=cells, metadata=kernel)).encode()


def _opening(source: Source) -> list[str]:
    if source.kind == "sample":
        return [f"image = atomnb.sample_image({source.name!r})"]
    channel = "" if source.channel is None else f", channel={source.channel}"
    read = f"image = atomnb.read_image({(source.path or source.name)!r}{channel})"
    return ["# the file you uploaded: give its path", read] if source.kind == "upload" else [read]
