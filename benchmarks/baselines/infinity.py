"""`infinity-emb`, serving the bare backbone with no LoRA at all.

It needs older packages than the product does, so it lives in an environment of its own in the
benchmarks' cache, made here when it is missing.
"""

import shutil
import subprocess
import sys
from pathlib import Path

from benchmarks.bundles import cache_folder, minilm
from benchmarks.rounds import show
from benchmarks.servers import Server, free_port

PACKAGE = "infinity-emb[server,torch]==0.0.78"
MODEL = "minilm"
PATH = "/embeddings"

_CONSTRAINTS = Path(__file__).with_name("infinity-constraints.txt")
_DTYPES = {"fp32": "float32", "bf16": "bfloat16"}
_INSTALL_S_MAX = 900


class NotInstalled(Exception):
    """The environment could not be made; the text says why."""


def environment() -> Path:
    """Return the environment's folder, made where it is missing; raise `NotInstalled`."""
    folder = cache_folder() / "infinity-0.0.78"
    done = folder / "installed"
    if done.is_file() and done.read_bytes() == _CONSTRAINTS.read_bytes():
        return folder
    show(f"installing {PACKAGE} into {folder}")
    shutil.rmtree(folder, ignore_errors=True)
    pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
    for command in (
        [sys.executable, "-m", "venv", str(folder)],
        [*pip, "-c", str(_CONSTRAINTS), PACKAGE, "torch==2.13.0"],
    ):
        ran = subprocess.run(
            command, capture_output=True, text=True, check=False, timeout=_INSTALL_S_MAX
        )
        if ran.returncode:
            raise NotInstalled(f"infinity-emb could not be installed: {ran.stderr[-400:]}")
    shutil.copy(_CONSTRAINTS, done)
    return folder


def start(dtype: str) -> Server:
    """Start it with the bare MiniLM on the CPU; raise `NotInstalled` or `ServerFailed`."""
    port = free_port()
    words = [str(environment() / "bin" / "infinity_emb"), "v2", "--engine", "torch"]
    words += ["--model-id", str(minilm()), "--served-model-name", MODEL, "--device", "cpu"]
    words += ["--dtype", _DTYPES[dtype], "--host", "127.0.0.1", "--port", str(port)]
    words += ["--log-level", "warning"]
    quiet = {"DO_NOT_TRACK": "1", "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
    return Server(words, port, "/health", quiet)
