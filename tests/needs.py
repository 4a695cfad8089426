"""What a test may need of the machine, beyond the packages that `make install` brings.

Call these in a test, in a fixture, or at the head of a module. Without the thing the test is
skipped with the reason. A program that is not installed is a failure under CI, where `.ci/run`
installs every program that tests need; a data set that is absent is a skip there too, since the
data sets are not part of the project.
"""

import os
import shutil
from pathlib import Path

import pytest

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


def needs_program(name: str) -> Path:
    """Return where the program is."""
    found = shutil.which(name)
    if found is not None:
        return Path(found)
    reason = f"the program {name!r} is not installed"
    if os.environ.get("CI", "").lower() in {"1", "true", "yes"}:
        pytest.fail(f"{reason}, and CI must have it: see .ci/run", pytrace=False)
    pytest.skip(reason, allow_module_level=True)


def needs_data(name: str) -> Path:
    """Return the folder of a data set, below `TENANTRY_DATA` or `../shared/data`."""
    folder = Path(os.environ.get("TENANTRY_DATA", DATA)) / name
    if not folder.is_dir():
        pytest.skip(f"the data set {name!r} is not in {folder.parent}", allow_module_level=True)
    return folder
