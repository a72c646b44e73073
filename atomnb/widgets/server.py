"""The server of the pages: standalone Voilà, our template and home page, and nothing from another host."""

from __future__ import annotations

import asyncio
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import threading
import webbrowser
from pathlib import Path
from urllib.parse import quote, urlencode

import tornado.ioloop
import tornado.web
from jupyter_core.utils import ensure_async
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.services.kernels.kernelmanager import AsyncMappingKernelManager
from traitlets.config import Config
from voila.app import Voila
from voila.configuration import VoilaConfiguration
from voila.shutdown_kernel_handler import VoilaShutdownKernelHandler
from voila.static_file_handler import AllowListFileHandler
from voila.tornado.contentshandler import VoilaContentsHandler
from voila.tornado.handler import TornadoVoilaHandler
from voila.tornado.treehandler import TornadoVoilaTreeHandler

from atomnb.errors import AtomnbError
from atomnb.widgets.catalogue import PAGES, Page, page_named
from atomnb.widgets.home import home_html

DEFAULT_PORT = 8866
PORTS_TRIED = 50
MESSAGE_LIMIT_BYTES = 268_435_456
IDLE_KERNEL_SECONDS = 600
WIDGETS = Path(__file__).parent
DATA_VARIABLE = "ATOMNB_DATA"
"""Environment variable that names the folder the pages may open files from."""


def serve(
    page: str = "home",
    *,
    file=None,
    host: str = "127.0.0.1",
    port: int | None = None,
    token: str | None = None,
    open_browser: bool = True,
    data_dir=None,
) -> None:
    """Serve the dashboards until Ctrl-C.

    Parameters
    ----------
    page : str
        'home' or the name of a dashboard, for example 'find_atoms'.
    file : path, optional
        File the dashboard opens at once.
    host : str
        Address to listen on. Anything but this machine needs a `token`.
    port : int, optional
        Default 8866, or the next free one when it is taken.
    token : str, optional
        Word visitors must know; printed as part of the address.
    open_browser : bool
        Open the page in the browser, if there is one.
    data_dir : path, optional
        The only folder files may be opened from. Default: the folder of `file`, else the environment variable
        ATOMNB_DATA, else the current folder.

    Raises
    ------
    AtomnbError
        For an unknown page, a missing file or folder, a taken port, or a public address without token.
    """
    folder, name = _data_folder(file, data_dir)
    _check_address(host, token)
    path = _page_path(page, name)
    os.environ[DATA_VARIABLE] = str(folder)
    _add_template_path()
    # jupyter_server counts the pings of a connection in ms, tornado takes them for seconds and complains.
    logging.getLogger("tornado.general").setLevel(logging.ERROR)
    chosen = _free_port(host, port)
    with tempfile.TemporaryDirectory(prefix="atomnb_") as stage:
        _copy_pages(Path(stage))
        server = PageServer(
            ip=host, port=chosen, token=token, config=_config(stage, public=bool(token)), config_file_paths=[]
        )
        server.start_path = path
        server.wants_browser = open_browser
        server.initialize([])
        server.start()


class PageServer(Voila):
    """Voilà with our home page in place of its tree, and only our pages to render."""

    start_path = "/"
    wants_browser = False

    def init_handlers(self) -> list:
        replaced = (
            TornadoVoilaTreeHandler,
            VoilaContentsHandler,
            AllowListFileHandler,
            TornadoVoilaHandler,
            VoilaShutdownKernelHandler,
        )
        kept = [rule for rule in super().init_handlers() if rule[1] not in replaced]
        render = {
            "template_paths": self.template_paths,
            "config": self.config,
            "voila_configuration": self.voila_configuration,
        }
        with_code = VoilaConfiguration(parent=self)
        with_code.strip_sources = False
        ours = [
            (r"/", _Home),
            (r"/assets/(.*)", tornado.web.StaticFileHandler, {"path": str(WIDGETS / "assets")}),
            (r"/apps/(?P<name>\w+)", _PageHandler, {**render, "kind": "dashboard"}),
            (
                r"/notebooks/(?P<name>\w+)",
                _PageHandler,
                {**render, "voila_configuration": with_code, "kind": "notebook"},
            ),
            (r"/notebooks/(?P<name>\w+)\.ipynb", _Download),
            (r"/voila/api/shutdown/(.*)", _Shutdown),
        ]
        return ours + kept

    def listen(self) -> None:
        self.app.listen(self.port, self.ip)
        print(f"atomnb is ready at {self.page_url()}", flush=True)
        print("Stop it with Ctrl-C.", flush=True)
        if self.wants_browser:
            _open_browser(self.page_url())
        self.ioloop = tornado.ioloop.IOLoop.current()
        signal.signal(signal.SIGINT, self._handle_signal_stop)
        try:
            self.ioloop.start()
        finally:
            self.stop()

    def page_url(self) -> str:
        """The address to open, token included."""
        host = f"[{self.ip}]" if ":" in self.ip else self.ip
        if host in ("", "0.0.0.0", "[::]"):
            host = socket.gethostname()
        path = self.start_path
        if self.token:
            path += ("&" if "?" in path else "?") + urlencode({"token": self.token})
        return f"http://{host}:{self.port}{path}"

    def stop(self) -> None:
        # in the loop that started them: kernels that are still starting cannot be awaited from another
        self.ioloop.asyncio_loop.run_until_complete(ensure_async(self.kernel_manager.shutdown_all(now=True)))
        shutil.rmtree(self.connection_dir, ignore_errors=True)
        print("atomnb has stopped.", flush=True)


class PageKernels(AsyncMappingKernelManager):
    """Kernels that keep their start-up advice to themselves, and that can be ended while they start."""

    async def start_kernel(self, **options) -> str:
        return await super().start_kernel(**options, extra_arguments=["--IPKernelApp.log_level=40"])

    async def shutdown_all(self, now: bool = False) -> None:
        await asyncio.gather(*self._pending_kernels.values(), return_exceptions=True)
        await super().shutdown_all(now=now)


class _Home(JupyterHandler):
    @tornado.web.authenticated
    def get(self) -> None:
        self.set_header("Cache-Control", "no-store")
        self.finish(home_html(data_folder=os.environ[DATA_VARIABLE]))


class _PageHandler(TornadoVoilaHandler):
    """Renders a page we know by its name; every other name is a 404."""

    def initialize(self, *, kind: str, **voila) -> None:
        super().initialize(**voila)
        self.kind = kind

    @tornado.web.authenticated
    async def get(self, name: str) -> None:
        page = page_named(self.kind, name)
        if page is None:
            raise tornado.web.HTTPError(404, f"there is no {self.kind} named {name!r}")
        async for html in self.get_generator(path=_staged(page)):
            self.write(html)
            self.flush()


class _Download(JupyterHandler):
    """A notebook as a file, to open in JupyterLab."""

    @tornado.web.authenticated
    def get(self, name: str) -> None:
        page = page_named("notebook", name)
        if page is None:
            raise tornado.web.HTTPError(404, f"there is no notebook named {name!r}")
        self.set_header("Content-Type", "application/x-ipynb+json")
        self.set_header("Content-Disposition", f'attachment; filename="{page.name}.ipynb"')
        self.finish(page.path.read_bytes())


class _Shutdown(VoilaShutdownKernelHandler):
    """Ends the kernel of a page that was closed.

    The page sends this request while it unloads, when it cannot add the usual anti-forgery token. The
    browser's own statement that the request comes from our page takes its place; no other site can forge it.
    """

    def check_xsrf_cookie(self) -> None:
        if self.request.headers.get("Sec-Fetch-Site") != "same-origin":
            super().check_xsrf_cookie()


def _copy_pages(stage: Path) -> None:
    """Copy the pages into an empty folder: Voilà then sees nothing else, and kernels leave nothing behind."""
    for page in PAGES:
        target = stage / _staged(page)
        target.parent.mkdir(exist_ok=True)
        shutil.copyfile(page.path, target)


def _staged(page: Page) -> str:
    return f"{page.kind}s/{page.path.name}"


def _config(root_dir: str, *, public: bool) -> Config:
    config = Config()
    config.Voila.root_dir = root_dir
    config.Voila.log_level = "ERROR"
    config.Voila.tornado_settings = {
        "websocket_max_message_size": MESSAGE_LIMIT_BYTES,
        # Without a token, only pages opened under a local name may talk to us: another site cannot pass as one.
        "allow_remote_access": public,
        "headers": {"Content-Security-Policy": _SECURITY_POLICY},
    }
    config.VoilaConfiguration.template = "atomnb"
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.allow_theme_override = "NO"
    # Both throw errors in Voilà's page and neither is needed there.
    config.VoilaConfiguration.extension_denylist = ["jupyterlab-jupytext", "@pyviz/jupyterlab_pyviz"]
    config.VoilaConfiguration.multi_kernel_manager_class = PageKernels
    config.VoilaConfiguration.preheat_kernel = True
    config.VoilaKernelManager.preheat_denylist = ["notebooks/"]
    config.VoilaExecutor.cell_error_instruction = (
        "This page could not start. Run `atomnb doctor` in a terminal: it says what is missing."
    )
    # An open page keeps its kernel; one whose page has gone is ended after ten minutes.
    config.MappingKernelManager.cull_idle_timeout = IDLE_KERNEL_SECONDS
    config.MappingKernelManager.cull_interval = 60
    return config


_SECURITY_POLICY = (
    "default-src 'self' data: blob:; script-src 'self' 'unsafe-inline' 'unsafe-eval' blob: data:; "
    "style-src 'self' 'unsafe-inline'; connect-src 'self' ws: wss: blob: data:; frame-ancestors 'self'"
)
"""Lets the browser itself refuse anything from another host."""


def _add_template_path() -> None:
    """Let Voilà find our template without installing anything outside the package."""
    share = str(WIDGETS / "share")
    known = os.environ.get("JUPYTER_PATH", "")
    if share not in known.split(os.pathsep):
        os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [share, known]))


def _data_folder(file, data_dir) -> tuple[Path, str | None]:
    """The folder files may be opened from, and `file` relative to it."""
    target = None if file is None else Path(file).expanduser().resolve()
    if target is not None and not target.is_file():
        raise AtomnbError(f"there is no file {target}. Check the name, or start atomnb without a file.")
    wanted = data_dir or (target.parent if target else os.environ.get(DATA_VARIABLE)) or Path.cwd()
    folder = Path(wanted).expanduser().resolve()
    if not folder.is_dir():
        raise AtomnbError(f"the data folder {folder} does not exist: create it, or name another.")
    if target is None:
        return folder, None
    if not target.is_relative_to(folder):
        raise AtomnbError(f"{target} is not in the data folder {folder}: leave data_dir out, or move the file.")
    return folder, str(target.relative_to(folder))


def _page_path(page: str, file: str | None) -> str:
    if page == "home":
        if file is not None:
            raise AtomnbError("the home page opens no file: name a dashboard, for example page='find_atoms'.")
        return "/"
    known = page_named("dashboard", page)
    if known is None:
        raise AtomnbError(f"there is no dashboard named {page!r}.")
    return known.url if file is None else f"{known.url}?file={quote(file)}"


def _check_address(host: str, token: str | None) -> None:
    if host not in ("127.0.0.1", "localhost", "::1") and not token:
        raise AtomnbError(
            f"{host} can be reached by others, and whoever opens the pages can read the data folder: "
            "choose a token, or listen on 127.0.0.1 (and reach it through an ssh tunnel)."
        )


def _free_port(host: str, port: int | None) -> int:
    candidates = [port] if port else range(DEFAULT_PORT, DEFAULT_PORT + PORTS_TRIED)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for candidate in candidates:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            # As the server itself does: a port in TIME_WAIT is free.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, candidate))
            except OSError:
                continue
            return candidate
    if port:
        raise AtomnbError(f"port {port} is taken or not allowed: leave it out to get a free one.")
    raise AtomnbError(f"no free port between {DEFAULT_PORT} and {DEFAULT_PORT + PORTS_TRIED}: name one with port=.")


def _open_browser(url: str) -> None:
    """Open `url` if there is a window to open it in; a text browser would take over the terminal."""
    headless = sys.platform.startswith("linux") and not any(
        os.environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )
    if headless:
        print("No browser to open here: copy the address above into one.", flush=True)
        return
    threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
