"""Choosing a provider: a short measurement on this machine, checked against fp32, remembered.

`auto` runs full passes of mixed adapters on every provider that runs here and takes the fastest
whose numbers agree with the CPU provider's fp32. The choice is remembered, keyed by everything it
depends on: bundle, processor, threads and versions.
"""

import platform
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import numpy as np
import orjson

from service.engine import digest
from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle
from service.engine.errors import ProviderUnavailable, TenantryError
from service.engine.feed import make_feed
from service.engine.packing import plan
from service.engine.providers import PROVIDERS, processor_flags, processors
from service.engine.runtime import OnnxRuntime
from service.engine.tokens import Tokens

AUTO = "auto"
_TOLERANCE = 2e-2  # relative, of the pooled state; bf16 on OpenVINO gives 0.6 to 1.0e-2
_PASSES = 5
_ADAPTERS = 8


@dataclass(frozen=True, slots=True)
class Candidate:
    """What was found of one provider."""

    provider: str
    tokens_per_second: float | None
    error: float | None  # worst relative difference from the CPU's fp32
    verdict: str


@dataclass(frozen=True, slots=True)
class Choice:
    """The provider to serve with, and why."""

    provider: str
    reason: str
    remembered: bool
    candidates: tuple[Candidate, ...]


def choose(
    bundle: Bundle,
    wanted: str,
    memory: Path | None,
    threads: int | None = None,
    progress: Callable[[str], None] = lambda _: None,
) -> Choice:
    """Return the provider to use where `wanted` is a provider's name or `auto`.

    `memory` is the file that remembers the choice. Raises `ProviderUnavailable` where a provider
    asked for by name does not run here, or none does.
    """
    if wanted != AUTO:
        if wanted not in PROVIDERS:
            have = ", ".join([AUTO, *PROVIDERS])
            raise ProviderUnavailable(f"{wanted!r} is no provider; there are {have}")
        return Choice(wanted, f"asked for: {PROVIDERS[wanted].find()}", False, ())
    key = _key(bundle, threads)
    remembered = _recall(memory, key)
    if remembered is not None:
        return remembered
    candidates = _measure_all(bundle, threads, progress)
    usable = [c for c in candidates if c.verdict == "usable" and c.tokens_per_second]
    if not usable:
        raise ProviderUnavailable("; ".join(f"{c.provider}: {_words(c)}" for c in candidates))
    best = max(usable, key=lambda c: c.tokens_per_second or 0.0)
    others = "; ".join(f"{c.provider}: {_words(c)}" for c in candidates if c is not best)
    reason = f"fastest here, {_words(best)}" + (f" ({others})" if others else "")
    choice = Choice(best.provider, reason, False, tuple(candidates))
    _remember(memory, key, choice)
    return choice


def _measure_all(
    bundle: Bundle, threads: int | None, progress: Callable[[str], None]
) -> list[Candidate]:
    baseline: FloatArray | None = None
    found = []
    for name, traits in PROVIDERS.items():  # cpu comes first: its numbers are the measure
        progress(name)
        try:
            traits.find()
            speed, pooled = _try(bundle, name, threads)
        except ProviderUnavailable as error:
            found.append(Candidate(name, None, None, str(error)))
            continue
        if baseline is None:
            baseline = pooled
        same = min(len(pooled), len(baseline))  # the texts of the smaller full pass
        worst = float(np.abs(pooled[:same] - baseline[:same]).max() / np.abs(baseline).max())
        close = np.isfinite(worst) and worst <= _TOLERANCE
        verdict = "usable" if close else f"differs from fp32 by {worst:.1e}"
        found.append(Candidate(name, speed, worst, verdict))
    return found


def _try(bundle: Bundle, provider: str, threads: int | None) -> tuple[float, FloatArray]:
    """Measure; a provider that is there and fails all the same is one that does not run here."""
    try:
        return _measure(bundle, provider, threads)
    except TenantryError:
        raise
    except Exception as error:  # onnxruntime raises its own C++ errors, of no common class
        raise ProviderUnavailable(f"{provider}: fails here: {error}") from error


def _measure(bundle: Bundle, provider: str, threads: int | None) -> tuple[float, FloatArray]:
    """Return tokens per second of full passes of mixed adapters, and the pooled states."""
    runtime = OnnxRuntime(bundle, provider, slots=_ADAPTERS, threads=threads)
    leases = [
        runtime.write(slot, adapter)
        for slot, adapter in enumerate(_random_adapters(bundle), start=1)
    ]
    shape = max(runtime.grid.by_row[0], key=lambda s: s.capacity)
    length = min(16, shape.tokens)
    count = shape.capacity // length
    rng = np.random.default_rng(0)
    texts = [Tokens(rng.integers(1, 200, length).tolist(), None, False, 0) for _ in range(count)]
    numbers = [i % _ADAPTERS for i in range(count)]
    planned = plan([length] * count, numbers, runtime.grid, _ADAPTERS)
    offset = bundle.manifest.position_offset
    feed = make_feed(planned, texts, numbers, leases, offset, runtime.layout)
    by_text = np.argsort(list(planned.placed))
    pooled = runtime.run(feed).pooled[:count][by_text]
    seconds = []
    for _ in range(_PASSES):
        start = time.perf_counter()
        runtime.run(feed)
        seconds.append(time.perf_counter() - start)
    return float(shape.capacity / np.median(seconds)), pooled


def _random_adapters(bundle: Bundle) -> Sequence[Adapter]:
    rng = np.random.default_rng(1)
    rank = min(8, bundle.manifest.max_rank)

    def normal(rows: int, width: int) -> FloatArray:
        return (0.02 * rng.standard_normal((rows, width))).astype(np.float32)

    return [
        Adapter(
            digest=f"measure:{number}",
            rank=rank,
            deltas={
                target.name: (normal(rank, target.in_features), normal(rank, target.out_features))
                for target in bundle.manifest.targets
            },
            head={},
            labels=("a", "b"),
        )
        for number in range(_ADAPTERS)
    ]


def _words(candidate: Candidate) -> str:
    if candidate.tokens_per_second is None:
        return candidate.verdict.removeprefix(f"{candidate.provider}: ")
    speed = f"{candidate.tokens_per_second:,.0f} tokens/s"
    return speed if candidate.verdict == "usable" else f"{speed}, {candidate.verdict}"


def _key(bundle: Bundle, threads: int | None) -> str:
    """Return the digest of everything that a choice depends on."""
    packages = ("onnxruntime", "onnxruntime-gpu", "openvino", "tenantry")
    return digest.of_document(
        {
            "bundle": bundle.digest,
            "processor": [platform.machine(), platform.processor(), *sorted(processor_flags())],
            "processors": processors(),
            "threads": threads,
            "versions": {name: _version(name) for name in packages},
        }
    )


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _recall(memory: Path | None, key: str) -> Choice | None:
    """Return the remembered choice for this key; None where there is none that can be read."""
    if memory is None or not memory.is_file():
        return None
    try:
        document = orjson.loads(memory.read_bytes())
        if document["key"] != key or document["provider"] not in PROVIDERS:
            return None
        PROVIDERS[document["provider"]].find()
        candidates = tuple(Candidate(**entry) for entry in document["candidates"])
        return Choice(document["provider"], document["reason"], True, candidates)
    except (orjson.JSONDecodeError, KeyError, TypeError, ProviderUnavailable):
        return None


def _remember(memory: Path | None, key: str, choice: Choice) -> None:
    if memory is None:
        return
    document = {
        "key": key,
        "provider": choice.provider,
        "reason": choice.reason,
        "candidates": [asdict(candidate) for candidate in choice.candidates],
    }
    part = memory.with_suffix(".part")
    part.write_bytes(orjson.dumps(document, option=orjson.OPT_INDENT_2))
    part.replace(memory)
