"""Make `.peers/`: a virtual environment with the packages the benchmarks compare with, apart from ours.

AtomAI imports torchvision, which has no build for every CPU-only torch. Its U-Net path uses none of it, so a
stand-in with the two imported names is installed instead; both raise when something does call them.

Run ``python benchmarks/setup_peers.py``; the benchmarks find the environment by themselves.
"""

from __future__ import annotations

import subprocess
import sys
import sysconfig
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PEERS = ROOT / ".peers"
TORCH = "torch==2.13.0"
PACKAGES = ("atomai==0.8.1", "atomap==0.4.2", "six")
"""mendeleev, which AtomAI needs, imports six without declaring it."""

STAND_IN_VERSION = "0.13.0"
STAND_IN = {
    "torchvision/__init__.py": '"""A stand-in: AtomAI imports torchvision, its U-Net does not use it."""\n'
    "from torchvision import models, utils\n\n__all__ = ['models', 'utils']\n",
    "torchvision/models.py": '"""Stand-in."""\n\n\ndef _absent(*args, **kwargs):\n'
    '    raise NotImplementedError("this environment has a stand-in for torchvision")\n\n\n'
    "mobilenet_v2 = resnet50 = vgg16 = _absent\n",
    "torchvision/utils.py": '"""Stand-in."""\n\n\ndef make_grid(*args, **kwargs):\n'
    '    raise NotImplementedError("this environment has a stand-in for torchvision")\n',
}


def peers_python() -> Path:
    """The Python of the peers' environment."""
    return PEERS / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def install_stand_in(site_packages: Path) -> None:
    """Write the torchvision stand-in, with metadata so that pip counts it as installed."""
    for name, text in STAND_IN.items():
        target = site_packages / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    info = site_packages / f"torchvision-{STAND_IN_VERSION}.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: torchvision\nVersion: {STAND_IN_VERSION}\n")
    (info / "INSTALLER").write_text("setup_peers.py\n")
    (info / "RECORD").write_text("".join(f"{name},,\n" for name in STAND_IN))


def main() -> None:
    if not peers_python().exists():
        subprocess.run([sys.executable, "-m", "venv", str(PEERS)], check=True)
    pip = [str(peers_python()), "-m", "pip", "install", "--quiet"]
    subprocess.run([*pip, TORCH], check=True)
    where = sysconfig.get_path("purelib", vars={"base": str(PEERS), "platbase": str(PEERS)})
    install_stand_in(Path(where))
    subprocess.run([*pip, *PACKAGES], check=True)
    check = "import torch, atomai, atomap; print('torch', torch.__version__, 'atomai', atomai.__version__)"
    subprocess.run([str(peers_python()), "-c", check], check=True)


if __name__ == "__main__":
    main()
