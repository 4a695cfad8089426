"""The README's walkthrough, its commands run as they are written."""

import json
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx
import pytest

from examples.demo.backbone import model_path
from examples.demo.businesses import BUSINESSES, read_rows
from examples.demo.train import train_adapter
from tests.needs import needs_program

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
DEFAULT_ADDRESS = "127.0.0.1:8000"
STEP_S_MAX = 300
STOP_S_MAX = 60


def blocks(language: str) -> list[str]:
    """Return the walkthrough's blocks in a language, in their order."""
    section = README.partition("## Five minutes for an ML team")[2].partition("\n## ")[0]
    found = re.findall(rf"^```{language}\n(.*?)^```$", section, re.MULTILINE | re.DOTALL)
    assert found, f"the walkthrough has no {language} blocks"
    return found


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder with what the walkthrough expects in it: the environment and the demo's adapter."""
    (tmp_path / ".venv").symlink_to(sys.prefix)
    shop = BUSINESSES[1]
    rows = read_rows(shop, "train")
    train_adapter(
        model_path(),
        rows[:32],
        sorted({row.label for row in rows}),
        replace(shop.recipe, epochs=1),
        tmp_path / "demo" / "adapters" / shop.tenant / "adapter",
        lambda *_: None,
    )
    return tmp_path


def free_address() -> str:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return f"127.0.0.1:{taken.getsockname()[1]}"


@contextmanager
def served(script: str, checkout: Path, address: str) -> Iterator[None]:
    """Run the block that serves, in a terminal of its own, around the others."""
    port = address.partition(":")[2]
    with (checkout / "serve.log").open("wb") as log:
        process = subprocess.Popen(
            ["sh", "-ec", script.replace("tenantry serve", "exec tenantry serve")],
            cwd=checkout,
            env=os.environ | {"TENANTRY_PORT": port},
            stdout=log,
            stderr=log,
        )
    try:
        wait_until_ready(process, address, checkout / "serve.log")
        yield
    finally:
        process.terminate()
        status = process.wait(STOP_S_MAX)
    assert status == 0


def wait_until_ready(process: subprocess.Popen[bytes], address: str, log: Path) -> None:
    until = time.monotonic() + STEP_S_MAX
    with httpx.Client(base_url=f"http://{address}", trust_env=False) as client:
        while time.monotonic() < until:
            assert process.poll() is None, log.read_text(encoding="utf-8")
            try:
                if client.get("/readyz").status_code == 200:
                    return
            except httpx.TransportError:
                pass
            time.sleep(0.1)
    pytest.fail(f"not ready after {STEP_S_MAX} s: {log.read_text(encoding='utf-8')}")


def run(script: str, checkout: Path, url: str) -> str:
    """Run a block and return what it printed."""
    done = subprocess.run(
        ["sh", "-ec", script],
        cwd=checkout,
        env=os.environ | {"TENANTRY_URL": url},
        capture_output=True,
        text=True,
        timeout=STEP_S_MAX,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def facts(printed: str) -> dict[str, str]:
    """Return what a command told of one thing, a line each; the last of several wins."""
    found = re.findall(r"^(\w+(?: \w+)*) {2,}(.+?) *$", printed, re.MULTILINE)
    return dict(found)


def form(document: Any) -> Any:
    """Return a document with the types of its values in place of the values."""
    if isinstance(document, dict):
        return {key: form(value) for key, value in document.items()}
    if isinstance(document, list):
        return [form(value) for value in document]
    return type(document).__name__


def test_the_walkthrough_works_as_it_is_written(checkout: Path) -> None:
    needs_program("curl")
    address = free_address()
    url = f"http://{address}"
    activate, export, serve, *others = (
        block.replace(DEFAULT_ADDRESS, address) for block in blocks("sh")
    )
    run(activate + export, checkout, url)
    assert (checkout / "bundle" / "bundle.json").is_file()
    with served(activate + serve, checkout, address):
        pushed, asked, tried, answered, labelled = (
            run(activate + block, checkout, url) for block in others
        )
    version = facts(pushed)
    assert (version["tenant"], version["version"]) == ("acme", "1 of acme.mail")
    assert version["state"] == "validated"
    labels = version["labels"].split(", ")
    [head, line] = asked.splitlines()[-2:]
    [shown] = blocks("text")
    assert head.split() == shown.splitlines()[0].split()
    assert line.split("  ")[1].strip() in labels
    assert facts(tried) | {"live": "1", "canary": "-", "revision": "3"} == facts(tried)
    assert facts(tried)["before"] == "1 live, canary 2 (10 %)"
    predicted, told = json.loads(answered), json.loads(labelled)
    assert predicted["model"]["digest"] == version["digest"]
    assert predicted["predictions"][0]["label"] in labels
    assert [form(json.loads(block)) for block in blocks("json")] == [form(predicted), form(told)]
    assert told["accepted"] == 1


def test_the_commands_of_the_readme_are_targets_of_the_makefile() -> None:
    targets = re.findall(
        r"^([a-z-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    named = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, re.MULTILINE))
    assert {"demo", "test"} <= named <= set(targets)
