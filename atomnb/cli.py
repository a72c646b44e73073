"""The `atomnb` command: pages, notebooks, batch analysis, models, doctor."""

from __future__ import annotations

import json
import os
import sys
import warnings
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from atomnb import __version__
from atomnb.errors import AtomnbError

LOCAL = ("127.0.0.1", "localhost", "::1")
"""Addresses only this machine can reach."""

FILE_APP = "find_atoms"
"""The dashboard that opens a file."""

DEBUG = "--debug"

_debug: ContextVar[bool] = ContextVar("debug", default=False)


class _FileOrCommand(TyperGroup):
    """A first word that is no command is a file to open."""

    def resolve_command(self, ctx, args):
        if args and args[0] not in self.commands:
            if not Path(args[0]).exists():
                raise AtomnbError(f"there is no file {args[0]!r} and no such command{_did_you_mean(args[0])}.")
            args = ["open", *args]
        return super().resolve_command(ctx, args)


app = typer.Typer(
    cls=_FileOrCommand,
    help="Every atom of an atomically resolved image, with its uncertainty.\n\n"
    "Without a command, atomnb opens its home page; with a FILE, it opens the file in Find atoms.",
    epilog=f"Add {DEBUG} to any command to see the full traceback of an error.",
    subcommand_metavar="[FILE | COMMAND] ...",
    no_args_is_help=False,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@dataclass(frozen=True)
class ServerOptions:
    """Where to serve and what to open; None = not given."""

    host: str | None = None
    port: int | None = None
    token: str | None = None
    data: Path | None = None
    no_browser: bool = False

    def over(self, other: ServerOptions) -> ServerOptions:
        """These options, and `other`'s where these say nothing."""
        return ServerOptions(
            host=self.host or other.host,
            port=self.port or other.port,
            token=self.token or other.token,
            data=self.data or other.data,
            no_browser=self.no_browser or other.no_browser,
        )

    def address(self) -> str:
        """The host to listen on.

        Raises
        ------
        AtomnbError
            For an address others can reach, without a token.
        """
        host = self.host or LOCAL[0]
        if host not in LOCAL and not self.token:
            raise AtomnbError(
                f"--host {host} lets other machines in: add --token WORD, which visitors must then know, "
                f"or leave --host out to serve this machine only."
            )
        return host


Host = Annotated[str | None, typer.Option(help="Address to serve at (default 127.0.0.1).", metavar="ADDRESS")]
Port = Annotated[int | None, typer.Option(help="Port to serve at (default: a free one).", min=1, max=65535)]
Token = Annotated[str | None, typer.Option(help="Word that visitors must know.", metavar="WORD")]
Data = Annotated[
    Path | None, typer.Option(help="Folder whose files the pages may open (default: here).", metavar="DIR")
]
NoBrowser = Annotated[bool, typer.Option("--no-browser", help="Print the address, open no browser.")]


@app.callback(invoke_without_command=True)
def home(
    ctx: typer.Context,
    host: Host = None,
    port: Port = None,
    token: Token = None,
    data: Data = None,
    no_browser: NoBrowser = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and stop.")] = False,
) -> None:
    """Serve the home page when no command follows, else keep the options for it."""
    if version:
        typer.echo(f"atomnb {__version__}")
        raise typer.Exit
    ctx.obj = ServerOptions(host, port, token, data, no_browser)
    if ctx.invoked_subcommand is None:
        _serve("home", ctx.obj)


@app.command("open", hidden=True)
def open_file(
    ctx: typer.Context,
    file: Annotated[Path, typer.Argument(help="A microscope file.", metavar="FILE")],
    host: Host = None,
    port: Port = None,
    token: Token = None,
    data: Data = None,
    no_browser: NoBrowser = False,
) -> None:
    """Open FILE in the Find atoms page."""
    if file.is_dir() and file.suffix != ".zspy":
        raise AtomnbError(
            f"{file} is a folder: `atomnb --data {file}` lets the pages open its files, "
            f"`atomnb analyze {file} -o RESULTS` analyses them all."
        )
    _serve(FILE_APP, ServerOptions(host, port, token, data, no_browser).over(ctx.obj), file=file)


@app.command()
def lab(
    ctx: typer.Context,
    host: Host = None,
    port: Port = None,
    token: Token = None,
    no_browser: NoBrowser = False,
) -> None:
    """Open JupyterLab at the notebooks."""
    options = ServerOptions(host, port, token, None, no_browser).over(ctx.obj)
    host = options.address()
    from jupyterlab.labapp import LabApp

    from atomnb.pages import working_notebooks

    folder = working_notebooks()
    typer.echo(f"The notebooks are in {folder}")
    _use_lab_settings()
    LabApp.launch_instance(argv=_lab_arguments(options, host, folder))


@app.command()
def analyze(
    files: Annotated[
        list[str], typer.Argument(help="Files, folders or patterns such as 'data/*.dm3'.", metavar="FILE")
    ],
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the results.", metavar="DIR")],
    model: Annotated[
        str, typer.Option(help="Which model; `atomnb models` lists them. 'auto': by the crystal.")
    ] = "universal",
    pixel_size: Annotated[
        float | None, typer.Option(help="Pixel size in Å, for all files; default: as the file says.")
    ] = None,
    threshold: Annotated[
        float, typer.Option(help="Probability above which a peak is an atom.", min=0.0, max=1.0)
    ] = 0.5,
    contrast: Annotated[
        Literal["auto", "bright", "dark"],
        typer.Option(help="Atoms bright (HAADF, ADF) or dark (BF, ABF); by default found out."),
    ] = "auto",
    rules: Annotated[
        str | None,
        typer.Option(
            help="Draw bonds and name defects by these rules; `atomnb rules` lists them. 'auto': by the crystal.",
            metavar="NAME",
        ),
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")] = False,
) -> None:
    """Find the atoms of many files, and with --rules their defects: a folder for each file, one summary over all."""
    import atomnb
    from atomnb.batch import AUTO, SUMMARY, analyze_files

    if pixel_size is not None and not pixel_size > 0:
        raise AtomnbError(f"--pixel-size must be a positive number of Å, got {pixel_size:g}.")
    if rules not in (None, AUTO):
        from atomnb.graph.rules import load_rules

        load_rules(rules)
    if model != AUTO:
        atomnb.load_model(model)
    status = _StatusLine()
    rows = analyze_files(
        files,
        output,
        model=model,
        pixel_size=pixel_size,
        threshold=threshold,
        contrast=contrast,
        rules=rules,
        overwrite=overwrite,
        progress=status.show,
        on_row=lambda row: _print_row(row, status),
    )
    typer.echo(f"Results in {output}, one line for each file in {output / SUMMARY}")
    bad = [row for row in rows if not row.ok]
    if bad:
        typer.echo(f"{len(bad)} of {len(rows)} files gave no new result:", err=True)
        for row in bad:
            typer.echo(f"  {row.file}: {row.error}", err=True)
            if _debug.get() and row.traceback:
                typer.echo(row.traceback, err=True)
        raise typer.Exit(1)


@app.command()
def models(
    name: Annotated[str | None, typer.Argument(help="Print the whole card of this model.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """List the models, or print one model's card."""
    import atomnb

    cards = [card.to_dict() for card in atomnb.list_models()]
    if name is None:
        if as_json:
            typer.echo(json.dumps(cards, indent=2, ensure_ascii=False))
            return
        width = max((len(card["name"]) for card in cards), default=0)
        for card in cards:
            typer.echo(f"{card['name']:{width}}  {card['summary']}")
        typer.echo("\n`atomnb models NAME` prints the whole card: training data, accuracy, when not to use it.")
        return
    # Only a name that is not in the list, perhaps a file of weights, is worth the seconds torch takes.
    card = next((c for c in cards if c["name"] == name), None) or atomnb.load_model(name).card.to_dict()
    typer.echo(json.dumps(card, indent=2, ensure_ascii=False) if as_json else _card_text(card))


@app.command()
def rules(
    name: Annotated[str | None, typer.Argument(help="Print the file of these rules.")] = None,
) -> None:
    """List the rule sets by which defects are named, or print one."""
    from atomnb.graph.rules import list_rules, load_rules, rules_text, user_rules_folder

    if name is not None:
        typer.echo(rules_text(name), nl=False)
        return
    names = list_rules()
    width = max(map(len, names))
    for known in names:
        try:
            about = load_rules(known).summary
        except AtomnbError as error:
            about = f"cannot be used: {error}"
        typer.echo(f"{known:{width}}  {about}")
    typer.echo(f"\n`atomnb rules NAME` prints one; a changed copy in {user_rules_folder()} is one of your own.")


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False) -> None:
    """Check the installation and say what to fix."""
    from atomnb import doctor

    checks = doctor.examine()
    report = doctor.as_dict(checks)
    typer.echo(json.dumps(report, indent=2, ensure_ascii=False) if as_json else doctor.as_text(checks))
    if not report["ok"]:
        raise typer.Exit(1)


def main(arguments: list[str] | None = None) -> None:
    """Run the command; an error is one line with its remedy and exit status 1."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    debug = DEBUG in words
    _debug.set(debug)
    try:
        with warnings.catch_warnings():
            if not debug:
                # Ours are part of every result's messages; those of other packages say nothing to a user.
                warnings.simplefilter("ignore")
            app(args=[word for word in words if word != DEBUG], prog_name="atomnb")
    except Exception as error:
        if debug:
            raise
        from atomnb.batch import one_line

        remedy = "" if isinstance(error, (AtomnbError, ImportError)) else f" (add {DEBUG} to see where)"
        typer.echo(f"atomnb: {one_line(error)}{remedy}", err=True)
        sys.exit(1)


def _serve(page: str, options: ServerOptions, *, file: Path | None = None) -> None:
    host = options.address()
    from atomnb.widgets.server import serve

    serve(
        page,
        file=file,
        host=host,
        port=options.port,
        token=options.token,
        open_browser=not options.no_browser,
        data_dir=options.data,
    )


def _use_lab_settings() -> None:
    """JupyterLab would otherwise ask at its first start whether it may fetch news from another host."""
    settings = str(Path(__file__).parent / "widgets" / "share" / "jupyter")
    known = os.environ.get("JUPYTER_CONFIG_PATH", "")
    if settings not in known.split(os.pathsep):
        os.environ["JUPYTER_CONFIG_PATH"] = os.pathsep.join(filter(None, [known, settings]))


def _lab_arguments(options: ServerOptions, host: str, folder: Path) -> list[str]:
    arguments = [
        str(folder),
        f"--ServerApp.ip={host}",
        # JupyterLab would otherwise ask other hosts for news, newer versions and extensions.
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
    ]
    if options.port:
        arguments += [f"--ServerApp.port={options.port}", "--ServerApp.port_retries=0"]
    if options.token:
        arguments.append(f"--IdentityProvider.token={options.token}")
    if options.no_browser:
        arguments.append("--no-browser")
    if hasattr(os, "geteuid") and os.geteuid() == 0:
        arguments.append("--allow-root")
    return arguments


def _did_you_mean(word: str) -> str:
    from difflib import get_close_matches

    commands = [c.name or c.callback.__name__ for c in app.registered_commands if not c.hidden]
    near = get_close_matches(word, commands, n=1)
    return f" (did you mean `atomnb {near[0]}`?)" if near else " (`atomnb --help` lists the commands)"


class _StatusLine:
    """What is going on, in one line that is written over; silent when nobody watches."""

    def __init__(self) -> None:
        self.watched = sys.stderr.isatty()

    def show(self, fraction: float, message: str) -> None:
        if self.watched:
            typer.echo(f"\r\x1b[2K{fraction:4.0%}  {message[:100]}", nl=False, err=True)

    def clear(self) -> None:
        if self.watched:
            typer.echo("\r\x1b[2K", nl=False, err=True)


def _print_row(row: Any, status: _StatusLine) -> None:
    status.clear()
    name = Path(row.file).name
    if not row.ok:
        typer.echo(f"{name}: {row.status}: {row.error}")
        return
    scale = "uncalibrated" if row.pixel_size is None else f"{row.pixel_size:.4g} Å/px"
    typer.echo(f"{name}: {row.atoms} atoms, {scale}, {row.seconds:.1f} s")
    if row.defects:
        typer.echo(f"  defects: {row.defects}")
    for message in row.messages:
        typer.echo(f"  note: {message}")


def _card_text(card: dict[str, Any]) -> str:
    """A card as indented lines, words instead of underscores."""
    return "\n".join(_card_lines(card, indent=0))


def _card_lines(values: dict[str, Any], *, indent: int) -> list[str]:
    lines = []
    for key, value in values.items():
        label = f"{' ' * indent}{str(key).replace('_', ' ')}:"
        if isinstance(value, dict):
            lines += [label, *_card_lines(value, indent=indent + 2)]
        elif isinstance(value, (list, tuple)):
            lines.append(f"{label} {', '.join(map(str, value))}")
        else:
            lines.append(f"{label} {value}")
    return lines
