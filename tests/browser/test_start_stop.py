"""Starting and stopping the server: quick to the home page, and nothing left behind."""

import time

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
