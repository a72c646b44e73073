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
    answers = iter([PermissionError(errno.EACCES, "held")] * 2 + [None, OSError(errno.EBADF, "no file")])

    def locking(_file, mode, _bytes):
        assert mode == "at once"
        answer = next(answers)
        if answer:
            raise answer

    monkeypatch.setitem(sys.modules, "fcntl", None)
    monkeypatch.setitem(sys.modules, "msvcrt", SimpleNamespace(LK_NBLCK="at once", locking=locking))
    with locked(tmp_path / ".lock"):
        assert len(list(tmp_path.iterdir())) == 1
    with pytest.raises(OSError, match="no file"), locked(tmp_path / ".lock"):
        pass


def test_one_who_waits_is_asked_whether_to_go_on(tmp_path):
    path, asked = tmp_path / ".lock", []

    def enough():
        asked.append(1)
        if len(asked) == 3:
            raise InterruptedError

    with locked(path), pytest.raises(InterruptedError), locked(path, waiting=enough):
        pytest.fail("the first is still inside")
    with locked(path, waiting=enough):
        assert len(asked) == 3
