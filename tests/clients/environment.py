"""Environments of their own for clients whose pins conflict with ours.

Each is made once from a file of exact pins and kept in the user's cache, under a name that changes
with the file and the interpreter; several test processes wait for the one that makes it. A client
runs there as a script that prints what it saw as JSON.
"""

import fcntl
import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
_MAKING_S_MAX = 300
_RUNNING_S_MAX = 100
_READY = "ready"


@dataclass(frozen=True)
class Environment:
    """An environment that has a client."""

    folder: Path

    @property
    def python(self) -> Path:
        return self.folder / "bin" / "python"

    def run(self, script: str, *arguments: str) -> dict[str, Any]:
        """Run a script of this folder there, and return the JSON that it prints last."""
        done = subprocess.run(
            [self.python, "-I", HERE / script, *arguments],
            capture_output=True,
            text=True,
            timeout=_RUNNING_S_MAX,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), "no_proxy": "*"},
            check=False,
        )
        assert done.returncode == 0, done.stderr
        told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return told


def environment(name: str) -> Environment:
    """Return the environment of `tests/clients/<name>.txt`; make it where it is not there.

    Where the packages cannot be had, the test is skipped, and fails under CI.
    """
    requirements = HERE / f"{name}.txt"
    made_of = (
        requirements.read_text(encoding="utf-8"),
        sys.base_prefix,
        platform.python_version(),
        platform.machine(),
    )
    digest = hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:12]
    folder = _cache() / f"{name}-{digest}"
    with _alone(folder.with_suffix(".lock")):
        if not (folder / _READY).exists():
            try:
                _make(folder, requirements)
            except (subprocess.SubprocessError, OSError) as error:
                _give_up(name, error)
            (folder / _READY).touch()
    return Environment(folder)


def _cache() -> Path:
    root = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    cache = root / "tenantry-tests" / "clients"
    cache.mkdir(parents=True, exist_ok=True)
    return cache


@contextmanager
def _alone(path: Path) -> Iterator[None]:
    """Hold a lock among processes; it falls when the process ends, however it does."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _make(folder: Path, requirements: Path) -> None:
    if folder.exists():
        shutil.rmtree(folder)  # its making was broken off
    python = folder / "bin" / "python"
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", "--without-pip", str(folder)],
        [*pip, "install", "--quiet", "--no-deps", "--only-binary=:all:", "-r", str(requirements)],
    ):
        subprocess.run(
            command,
            check=True,
            timeout=_MAKING_S_MAX,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )


def _give_up(name: str, error: Exception) -> None:
    said = getattr(error, "stderr", None) or b""
    reason = f"the packages of tests/clients/{name}.txt cannot be installed: {error}\n"
    reason += said.decode("utf-8", "replace")[-2000:]
    if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)
