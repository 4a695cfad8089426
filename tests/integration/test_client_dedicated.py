"""Publishing a dedicated bundle's own classifier with the client and its commands."""

import json
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from service import command
from service.client.async_client import AsyncClient
from service.client.client import Client
from service.client.errors import Refused, UnusablePackage
from tests.fakes.gating import GateBatcher
from tests.fakes.listening import listening
from tests.fakes.manifests import BACKBONE, dedicated_manifest_of
from tests.fakes.packages import labels_of
from tests.fixtures_service import MakeService
from tests.integration.test_client import METADATA, adapter_folder

COMMANDS = [EntryPoint("adapters", "service.client.commands.adapters:adapters", command.GROUP)]
LABELS = tuple(labels_of())
ROWS = [{"text": f"text number {n}", "label": LABELS[n % 3]} for n in range(60)]


@pytest.fixture
def url(service_with: MakeService) -> Iterator[str]:
    """Return the address of a service of a dedicated bundle, with a tenant."""
    service = service_with(batcher=GateBatcher({}), manifest=dedicated_manifest_of(LABELS))
    with listening(service) as address:
        with Client(address) as client:
            client.put_tenant("acme")
        yield address


def push(capsys: pytest.CaptureFixture[str], url: str, *arguments: str) -> tuple[int, Any, str]:
    words = ["adapters", "push", "acme.support", *arguments, "--url", url, "--json"]
    with pytest.raises(SystemExit) as stopped:
        command.run(words, COMMANDS)
    said = capsys.readouterr()
    status = stopped.value.code or 0
    assert isinstance(status, int)
    return status, json.loads(said.out) if said.out else None, said.err


def test_push_needs_no_folder_and_can_make_it_live(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, document, told = push(capsys, url, "--dedicated", "--live")
    assert status == 0, told
    assert document["version"]["labels"] == list(LABELS)
    assert document["version"]["metadata"]["backbone_digest"] == BACKBONE
    assert document["rollout"]["live"] == 1


def test_a_folder_brings_a_hold_out(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "holdout.jsonl").write_text("\n".join(map(json.dumps, ROWS)))
    (tmp_path / "README.md").write_text("# Card")
    status, document, told = push(capsys, url, str(tmp_path), "--dedicated")
    assert status == 0, told
    assert document["version"]["report"]["measured"]["rows"] == len(ROWS)


def test_a_folder_with_an_adapter_is_no_dedicated_upload(
    url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = adapter_folder(tmp_path / "adapter")
    status, document, _ = push(capsys, url, str(folder), "--dedicated")
    assert status == 1
    assert "goes without an adapter" in json.dumps(document)


def test_without_a_folder_it_says_what_to_name(
    url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, document, _ = push(capsys, url)
    assert status != 0
    assert "--dedicated" in json.dumps(document)


def test_the_library_takes_none_for_a_package(url: str) -> None:
    with Client(url) as client:
        made = client.upload("acme", "support", None, {"dedicated": True})
        assert made.created
        with pytest.raises(UnusablePackage, match="nothing to upload"):
            client.upload("acme", "support", None, METADATA)
        with pytest.raises(Refused) as caught:
            client.upload("acme", "support", None, {"dedicated": True, "labels": ["a", "b"]})
    assert [problem.where for problem in caught.value.problems] == ["metadata/labels"]


@pytest.mark.anyio
async def test_so_does_the_asynchronous_one(url: str) -> None:
    async with AsyncClient(url) as client:
        assert (await client.upload("acme", "support", None, {"dedicated": True})).created
