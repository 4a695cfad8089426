"""The first commands that the service's page shows, run by a shell as they stand there."""

import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from html import unescape
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.fakes.listening import listening
from tests.fakes.packages import files_of
from tests.fakes.service import ADMIN_KEY, bearer
from tests.fixtures_service import MakeService
from tests.needs import needs_program

# What the machine's own `zip` does with these arguments; not every machine has one.
ZIP = f'#!/bin/sh\nexec {sys.executable} -m zipfile -c "$@"\n'


@pytest.mark.parametrize("keyed", [False, True])
def test_the_first_steps_work_as_they_are_written(
    service_with: MakeService, tmp_path: Path, keyed: bool
) -> None:
    needs_program("curl")
    service = service_with(admin_key=ADMIN_KEY) if keyed else service_with()
    labels = ("refund", "delivery")
    service.batcher.labels = defaultdict(lambda: labels, service.batcher.labels)
    files = files_of(service.bundle.manifest, labels=2)
    folder = tmp_path / "adapter"
    folder.mkdir()
    for name, content in files.items():
        (folder / name).write_bytes(content)
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "zip").write_text(ZIP)
    (programs / "zip").chmod(0o700)
    with listening(service) as address:
        headers = bearer(ADMIN_KEY) if keyed else {}
        shown = httpx.get(address, headers=headers).text
        commands = [
            unescape(one) for one in re.findall("<pre><code>(.*?)</code></pre>", shown, re.DOTALL)
        ]
        assert len(commands) == 5 + keyed
        ran = subprocess.run(
            [
                "sh",
                "-ec",
                "\n".join(commands).replace("TENANTRY_KEY=...", f"TENANTRY_KEY={ADMIN_KEY}"),
            ],
            cwd=tmp_path,
            env={**os.environ, "PATH": f"{programs}:{os.environ['PATH']}"},
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
    tenant, key, version, rollout, answer = _documents(ran.stdout)
    assert tenant["name"] == "acme"
    assert key["key"]
    assert version["version"] == rollout["live"] == 1
    assert answer["model"]["adapter"] == "support"
    assert answer["predictions"][0]["label"] in labels


def _documents(text: str) -> list[dict[str, Any]]:
    """Return the JSON objects that were printed one behind the other."""
    decoder, found, at = json.JSONDecoder(), [], 0
    while at < len(text):
        document, at = decoder.raw_decode(text, at)
        found.append(document)
    return found
