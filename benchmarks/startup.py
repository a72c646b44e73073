"""Time of `import atomnb`, and time until the home page answers.

python benchmarks/startup.py
"""

from __future__ import annotations

import argparse
import json
import re
import selectors
import subprocess
import sys
import time
import urllib.error
import urllib.request
from statistics import median

from record import ROOT, write_result

IMPORT = """
import json, sys, time
start = time.perf_counter()
import atomnb
print(json.dumps({"seconds": time.perf_counter() - start, "torch_loaded": "torch" in sys.modules}))
"""

HOME = {
    "atomnb --no-browser": [sys.executable, "-c", "from atomnb.cli import main; main()", "--no-browser"],
    "make run": ["make", "run", "ARGS=--no-browser"],
}
PATIENCE_S = 120


def import_times(repeats: int) -> list[dict]:
    """Each in a fresh process."""
    done = [
        subprocess.run([sys.executable, "-c", IMPORT], cwd=ROOT, capture_output=True, text=True, check=True)
        for _ in range(repeats)
    ]
    return [json.loads(d.stdout) for d in done]


def home_page_ready(command: list[str]) -> float:
    """Seconds from the command to the first complete answer of the address it prints."""
    start = time.perf_counter()
    server = subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
    )
    try:
        url = _printed_url(server, start)
        while time.perf_counter() - start < PATIENCE_S:
            if _answers(url):
                return time.perf_counter() - start
            time.sleep(0.05)
        raise TimeoutError(f"{url} did not answer within {PATIENCE_S} s")
    finally:
        _stop(server)


def _printed_url(server, start: float) -> str:
    seen = []
    waiting = selectors.DefaultSelector()
    waiting.register(server.stdout, selectors.EVENT_READ)
    while time.perf_counter() - start < PATIENCE_S:
        if not waiting.select(timeout=1.0):
            continue
        line = server.stdout.readline()
        if not line:
            raise RuntimeError("the server ended without printing an address:\n" + "".join(seen))
        seen.append(line)
        found = re.search(r"https?://\S+", line)
        if found:
            return found[0].rstrip(".,)")
    raise TimeoutError("no address printed:\n" + "".join(seen))


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=30) as page:
            return page.status == 200 and b"</html>" in page.read()
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return False


def _stop(server) -> None:
    import os
    import signal

    if server.poll() is None:
        os.killpg(server.pid, signal.SIGTERM)  # its own session: make and the servers it started
        try:
            server.wait(timeout=15)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)
            server.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--dry", action="store_true", help="print, write no result")
    options = parser.parse_args()
    imports = import_times(options.repeats)
    import_s = median(i["seconds"] for i in imports)
    print(f"import atomnb: {import_s:.3f} s, torch loaded: {any(i['torch_loaded'] for i in imports)}")
    home = {}
    for name, command in HOME.items():
        home[name] = [home_page_ready(command) for _ in range(min(options.repeats, 3))]
        print(f"home page after `{name}`: {median(home[name]):.1f} s  {[round(s, 1) for s in home[name]]}")
    rows = [["`import atomnb`", import_s], *([f"home page after `{n}`", median(s)] for n, s in home.items())]
    if not options.dry:
        write_result("startup", {"import": imports, "home": home, "table": {"columns": ["start", "s"], "rows": rows}})


if __name__ == "__main__":
    main()
