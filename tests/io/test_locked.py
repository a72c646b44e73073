"""A lock lets one in at a time, and ends with the process that holds it."""

import errno
import os
import signal
import subprocess
import sys
import threading
from types import SimpleNamespace

import pytest

from atomnb.io.locked import locked

HOLD = """
import sys, threading
from pathlib import Path
from atomnb.io.locked import locked
with locked(Path(sys.argv[1])):
    print("in", flush=True)
    threading.Event().wait()
"""


def test_the_next_waits_until_the_first_is_gone_however_it_ends(tmp_path):
    path, entered = tmp_path / ".lock", threading.Event()
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "in\n"

    def enter():
        with locked(path):
            entered.set()

    waiting = threading.Thread(target=enter)
    waiting.start()
    assert not entered.wait(0.5)
    os.kill(holder.pid, signal.SIGKILL)
    assert entered.wait(10)
    waiting.join()
    holder.wait()
    holder.stdout.close()


def test_on_windows_too_it_waits_as_long_as_it_takes(tmp_path, monkeypatch):
    """There the system gives up after ten seconds, which a training that ends elsewhere may take."""
    answers = iter([OSError(errno.EDEADLK, "Resource deadlock avoided")] * 2 + [None, OSError(errno.EACCES, "denied")])

    def locking(_file, mode, _bytes):
        assert mode == "wait"
        answer = next(answers)
        if answer:
            raise answer

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_LOCK="wait", locking=locking))
    with locked(tmp_path / ".lock"):
        assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OSError, match="denied"), locked(tmp_path / ".lock"):
        pass
