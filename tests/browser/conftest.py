"""A served atomnb and a headless Chromium that may talk to nothing else."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import psutil
import pytest

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
TIMEOUT_MS = 120_000

KNOWN_WARNINGS = re.compile(
    # Voilà brings modules of JupyterLab 4.2; the widgets of newer packages ask for newer ones and work with these.
    r"^(Unsatisfied version|No satisfying version) .* of shared( singleton)? module @jupyter"
    # Chromium without a graphics card, when a screenshot is taken.
    r"|GPU stall due to ReadPixels"
)
REAL_FILES = {
    "mos2": "stem/temul_pypi/example_Se_implanted_MoS2.dm3",
    "graphene": "stem/graphene/G-GrainBoundary-4nm.hdf5",
    "silicon": "stem/atomsegnet/Si110_5nmX25us_03_none_none.png",
    "trimer": "stem/graphene_si_library/Si3C6_15.hdf5",
    "unseen": "stem/graphene_si_library/Si2C5_58.hdf5",
}


class Served:
    """A running server: its address, data folder and process."""

    def __init__(self, data: Path, *, token: str | None = None) -> None:
        options = f"open_browser=False, data_dir={str(data)!r}, token={token!r}"
        code = f"from atomnb.widgets.server import serve; serve({options})"
        own = {"ATOMNB_NAMES": str(data / "own" / "names.json"), "ATOMNB_RULES": str(data / "own" / "rules")}
        environment = {**os.environ, **own, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "2"}
        self.data = data
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-c", code],
            cwd=data,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        line = self.process.stdout.readline()
        self.seconds_to_ready = time.monotonic() - self.started
        assert "atomnb is ready at http://127.0.0.1:" in line, line + self.process.stdout.read()
        self.url = line.split()[-1].partition("?")[0].rstrip("/")

    def kernels(self) -> list[psutil.Process]:
        children = psutil.Process(self.process.pid).children(recursive=True)
        return [p for p in children if p.is_running() and "ipykernel" in " ".join(_command(p))]

    def stop(self) -> str:
        """End the server as Ctrl-C does; returns what it printed."""
        self.process.send_signal(signal.SIGINT)
        return self.process.communicate(timeout=60)[0]


def _command(process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@pytest.fixture(scope="session")
def data_folder(tmp_path_factory) -> Path:
    """Images for the pages; the real ones only where they are at hand."""
    folder = tmp_path_factory.mktemp("pages_data")
    shared = Path(os.environ.get("ATOMNB_DATA", ROOT.parent / "shared" / "data"))
    for name, path in REAL_FILES.items():
        if (shared / path).exists():
            shutil.copyfile(shared / path, folder / f"{name}{Path(path).suffix}")
    (folder / "copper.xyz").write_text('1\nLattice="3.61 0 0 0 3.61 0 0 0 3.61"\nCu 0 0 0\n')
    (folder / "broken.dm3").write_bytes(b"no microscope wrote this")
    rng = np.random.default_rng(3)
    y, x = np.mgrid[:2048, :2048]
    lattice = 60 * (1 + np.cos(2 * np.pi * x / 12) * np.cos(2 * np.pi * y / 12))
    np.save(folder / "large.npy", rng.poisson(lattice).astype(np.float32))
    return folder


@pytest.fixture(scope="session")
def served(data_folder):
    server = Served(data_folder)
    yield server
    server.stop()


@pytest.fixture(scope="session")
def chromium():
    sync_api = pytest.importorskip("playwright.sync_api")
    path = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        yield browser
        browser.close()


@pytest.fixture
def page(chromium):
    """A page that fails its test if it asks another host for anything, or if anything goes wrong in the console."""
    context = chromium.new_context(viewport={"width": 1280, "height": 800}, accept_downloads=True)
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    foreign, complaints = [], []

    def route(request):
        url = urlsplit(request.request.url)
        if url.scheme in ("data", "blob") or url.hostname == "127.0.0.1":
            request.continue_()
        else:
            foreign.append(request.request.url)
            request.abort()

    def listen(message):
        if message.type in ("error", "warning") and not KNOWN_WARNINGS.search(message.text):
            complaints.append(f"{message.type}: {message.text}")

    page.route("**/*", route)
    page.on("console", listen)
    page.on("pageerror", lambda error: complaints.append(f"uncaught: {error}"))
    yield page
    context.close()
    assert foreign == [], "the page asked other hosts"
    assert complaints == [], "the console complained"
