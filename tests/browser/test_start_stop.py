"""Starting and stopping the server: quick to the home page, and nothing left behind."""

import time
import urllib.error
import urllib.request

import pytest

from .conftest import Served

pytestmark = [pytest.mark.browser, pytest.mark.slow]


def test_ctrl_c_ends_the_server_and_its_kernels(tmp_path):
    server = Served(tmp_path)
    deadline = time.monotonic() + 60
    while not (kernels := server.kernels()):
        assert time.monotonic() < deadline, "no kernel was started ahead of the first visitor"
        time.sleep(0.2)
    said = server.stop()
    assert server.process.returncode == 0, said
    assert "atomnb has stopped." in said
    assert "Traceback" not in said
    assert not any(kernel.is_running() for kernel in kernels)


def status(url: str, **headers: str) -> int:
    class Stay(urllib.request.HTTPRedirectHandler):
        def redirect_request(self, *_arguments):
            return None

    try:
        return urllib.request.build_opener(Stay).open(urllib.request.Request(url, headers=headers)).status
    except urllib.error.HTTPError as error:
        return error.code


def test_a_token_is_asked_for(tmp_path):
    server = Served(tmp_path, token="sesame")
    try:
        for path in ("/", "/apps/find_atoms", "/notebooks/01_find_atoms", "/notebooks/01_find_atoms.ipynb"):
            assert status(server.url + path) == 302
            assert status(f"{server.url}{path}?token=wrong") == 302
        assert status(f"{server.url}/?token=sesame") == 200
    finally:
        server.stop()


def test_only_our_pages_are_served_and_only_under_a_local_name(served):
    assert status(served.url) == 200
    assert status(served.url, Host="evil.example") == 403
    gone = ("/apps/other", "/apps/../server", "/voila/tree", "/voila/api/contents/", "/voila/files/find_atoms.ipynb")
    for path in (
        *gone,
        "/assets/../server.py",
        "/assets/%2e%2e/server.py",
        "/voila/render/dashboards/find_atoms.ipynb",
    ):
        assert status(served.url + path) in (403, 404), path
