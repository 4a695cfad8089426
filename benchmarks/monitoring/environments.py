"""Environments of their own for comparators whose pins conflict with ours.

Each is made once, of exact pins, and kept in the user's cache. A comparator runs there as a script
of `comparators/`, which reads and writes files; it gets no more of the environment's variables than
it needs, a home of its own, and its telemetry is off.
"""

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.bundles import cache_folder
from benchmarks.rounds import show

_HERE = Path(__file__).parent / "comparators"
_INSTALL_S_MAX = 1200
_QUIET = {
    "DO_NOT_TRACK": "1",
    "NML_DISABLE_USAGE_LOGGING": "1",
    "NML_DISABLE_USER_ANALYTICS": "1",
    "PYTHONWARNINGS": "ignore",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "no_proxy": "*",
}


class NotInstalled(Exception):
    """The environment could not be made; the text says why."""


class ComparatorFailed(Exception):
    """A comparator ended with an error; the text holds the end of what it said."""


@dataclass(frozen=True, slots=True)
class Comparator:
    """A package, the version that was asked for, and the script that runs it."""

    name: str
    package: str
    script: str
    lacks: tuple[str, ...] = ()  # what it imports, and its metadata does not ask for

    @property
    def _pins(self) -> Path:
        return _HERE / f"{self.name}-constraints.txt"

    def environment(self) -> Path:
        """Return its environment's folder, made where it is missing; raise `NotInstalled`."""
        folder = cache_folder() / "monitoring" / self.package.replace("==", "-")
        done = folder / "installed"
        if done.is_file() and done.read_bytes() == self._pins.read_bytes():
            return folder
        show(f"installing {self.package} into {folder}")
        shutil.rmtree(folder, ignore_errors=True)
        pip = [str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet"]
        for command in (
            [sys.executable, "-m", "venv", str(folder)],
            [*pip, "-c", str(self._pins), self.package, *self.lacks],
        ):
            ran = subprocess.run(
                command, capture_output=True, text=True, check=False, timeout=_INSTALL_S_MAX
            )
            if ran.returncode:
                raise NotInstalled(f"{self.package} could not be installed: {ran.stderr[-400:]}")
        shutil.copy(self._pins, done)
        return folder

    def run(self, *words: str, timeout_s: float = 900) -> None:
        """Run its script with words; raise `ComparatorFailed` or `NotInstalled`."""
        folder = self.environment()
        home = folder / "home"
        home.mkdir(exist_ok=True)
        done = subprocess.run(
            [folder / "bin" / "python", "-I", _HERE / self.script, *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
            env={"PATH": os.environ["PATH"], "HOME": str(home), **_QUIET},
        )
        if done.returncode:
            raise ComparatorFailed(f"{self.package}: {done.stderr[-800:]}")


EVIDENTLY = Comparator("evidently", "evidently==0.7.23", "evidently_drift.py")
NANNYML = Comparator("nannyml", "nannyml==0.13.1", "nannyml_cbpe.py", ("statsmodels",))
