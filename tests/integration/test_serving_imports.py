"""Serving needs neither torch nor transformers nor peft: not installed, not imported."""

import json
import subprocess
import sys
from collections.abc import Callable

import pytest

from service.engine.bundle import Bundle
from tests.fixtures_bundles import ROOT

HEAVY = ("torch", "transformers", "peft", "onnx", "onnxscript", "exporter", "monitoring")

# Whoever tries to import one of them is told so, as on a machine that lacks it.
BLOCKED = """
import json, sys

class Lacking:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {heavy!r}:
            raise ModuleNotFoundError(f"{{name}} is not part of serving", name=name)

sys.meta_path.insert(0, Lacking())
{work}
print(json.dumps(sorted({{name.partition(".")[0] for name in sys.modules}} & set({heavy!r}))))
"""

ANSWER = """
import asyncio
from pathlib import Path
from service.batching.assembly import EngineLimits, assemble
from service.batching.jobs import Job
from service.engine.adapter import Adapter
from service.engine.bundle import open_bundle
from service.engine.tokens import Tokeniser
from tests.fakes.adapters import adapter_of
from tests.fakes.metrics import FakeBatchMetrics

bundle = open_bundle(Path({bundle!r}))
adapter = adapter_of(bundle.manifest, "a")
limits = EngineLimits(4, 1, 100, 10_000, 1 << 20)

async def main():
    batcher, _ = assemble(bundle, "auto", limits, lambda _: adapter, FakeBatchMetrics())
    await batcher.start()
    texts = Tokeniser(bundle).encode(["a text", ("and", "a pair")])
    answer = await batcher.answer(Job(adapter.digest, texts))
    assert answer.probabilities.shape == (2, 3)
    await batcher.stop(5.0)

asyncio.run(main())
"""


def imported(work: str) -> list[str]:
    """Return which of the heavy packages the work imported, in a process that lacks them."""
    script = BLOCKED.format(heavy=HEAVY, work=work)
    ran = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    found: list[str] = json.loads(ran.stdout.splitlines()[-1])
    return found


@pytest.mark.parametrize(
    "module", ["service.serve", "service.api.app", "service.batching.assembly"]
)
def test_the_service_is_imported_without_them(module: str) -> None:
    assert imported(f"import {module}") == []


def test_a_batcher_answers_without_them(bundle_of: Callable[[str], Bundle]) -> None:
    assert imported(ANSWER.format(bundle=str(bundle_of("bert").path))) == []


def test_importing_one_of_them_would_be_noticed() -> None:
    with pytest.raises(AssertionError, match="torch is not part of serving"):
        imported("import torch")
