"""A lock lets one in at a time, and ends with the process that holds it."""

import os
import signal
import subprocess
import sys
import threading

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
