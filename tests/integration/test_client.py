"""The clients against the real routes, over a real socket."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from service.client.async_client import AsyncClient
from service.client.client import Client
from service.client.documents import Label, Version
from service.client.errors import (
    BadRequest,
    Changed,
    Conflict,
    KeyRefused,
    NotFound,
    NotPermitted,
    ServerBusy,
    Unreachable,
)
from tests.fakes.listening import listening
from tests.fakes.manifests import BACKBONE, manifest_of
from tests.fakes.packages import files_of, labels_of
from tests.fakes.service import ADMIN_KEY, FakeService
from tests.fixtures_service import MakeService


def adapter_folder(path: Path, *, seed: int = 0) -> Path:
    """Write what `save_pretrained` would, and the labels beside it."""
    path.mkdir(parents=True)
    for name, data in files_of(manifest_of("bert"), seed=seed).items():
        (path / name).write_bytes(data)
    (path / "labels.txt").write_text("\n".join(labels_of()))
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return adapter_folder(tmp_path / "adapter")


@pytest.fixture
def keyed(service_with: MakeService) -> FakeService:
    return service_with(admin_key=ADMIN_KEY)


@pytest.fixture
def url(keyed: FakeService) -> Iterator[str]:
    with listening(keyed) as address:
        yield address


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url, ADMIN_KEY) as made:
        yield made


METADATA: dict[str, Any] = {"labels": labels_of(), "license": "CC0-1.0"}


def upload_two(keyed: FakeService, client: Client, folder: Path) -> list[Version]:
    """Upload two versions that the fake can answer with."""
    other = adapter_folder(folder.parent / "other", seed=1)
    found = [client.upload("acme", "support", each, METADATA).version for each in (folder, other)]
    keyed.batcher.labels |= {version.digest: version.labels for version in found}
    return found


def test_tenants_and_uploads(client: Client, folder: Path) -> None:
    assert client.ready().ready
    assert client.put_tenant("acme", {"weight": 2.0}).created
    assert not client.put_tenant("acme", {"weight": 3.0}).created
    assert [one.weight for one in client.tenants()] == [3.0]
    sent: list[tuple[int, int]] = []
    assert client.backbone().digest == BACKBONE
    metadata = {**METADATA, "backbone_digest": client.backbone().digest}
    first = client.upload(
        "acme", "support", folder, metadata, progress=lambda done, total: sent.append((done, total))
    )
    assert (first.created, first.version.version, first.version.state) == (True, 1, "validated")
    assert first.version.report["verified_backbone"] is True
    assert sent[-1][0] == sent[-1][1]
    again = client.upload("acme", "support", folder, metadata)
    assert (again.created, again.version.digest) == (False, first.version.digest)
    assert client.report("acme", "support", 1) == first.version.report
    assert client.card("acme", "support", 1).startswith("# ")
    assert [one.action for one in client.audit("acme")] == [
        "tenant.created",
        "tenant.changed",
        "version.published",
    ]
    assert client.usage("acme").tenant == "acme"


def test_rollouts_and_answers(keyed: FakeService, client: Client, folder: Path) -> None:
    client.put_tenant("acme")
    first, second = upload_two(keyed, client, folder)
    before = client.rollout("acme", "support")
    assert (before.revision, before.live) == (0, None)
    live = client.set_rollout("acme", "support", 1, if_match=0)
    assert (live.live, live.revision) == (1, 1)
    with pytest.raises(Changed) as refused:
        client.set_rollout("acme", "support", 2, if_match=0)
    assert refused.value.code == "revision-mismatch"
    both = client.set_rollout("acme", "support", 1, canary=(2, 25))
    assert both.canary is not None
    assert (both.canary.version, both.canary.percent) == (2, 25.0)
    [line] = client.adapters("acme")
    assert (line.live, line.canary, line.versions) == (1, both.canary, 2)
    assert client.rollback("acme", "support").canary is None
    assert client.adapter("acme", "support").revision == 3

    answer = client.predict("acme", "support", ["a text", "another"], embedding=True)
    assert answer.model.digest == first.digest
    assert {one.label for one in answer.predictions} <= set(labels_of())
    assert answer.predictions[0].embedding is not None
    pinned = client.predict("acme", "support", ["a text"], 2, scores="top")
    assert (pinned.model.digest, pinned.predictions[0].scores) == (second.digest, None)


def test_deletions(keyed: FakeService, client: Client, folder: Path) -> None:
    client.put_tenant("acme")
    upload_two(keyed, client, folder)
    client.set_rollout("acme", "support", 1)
    assert client.version("acme", "support", 2) == client.versions("acme", "support")[1]
    with pytest.raises(Conflict):
        client.delete_version("acme", "support", 1)
    client.delete_version("acme", "support", 2)
    with pytest.raises(NotFound) as missing:
        client.version("acme", "support", 2)
    assert missing.value.code == "unknown-version"
    client.set_rollout("acme", "support", None)
    client.delete_adapter("acme", "support")
    client.delete_tenant("acme")
    assert client.tenants() == ()


def test_keys_open_what_they_should(client: Client, url: str, folder: Path) -> None:
    client.put_tenant("acme")
    client.put_tenant("globex")
    made = client.create_key("acme", ["predict"])
    assert made.scopes == ("predict",)
    [key] = client.keys("acme")
    assert (key.id, key.scopes) == (made.id, ("predict",))
    with Client(url, made.key) as theirs:
        assert [one.name for one in theirs.tenants()] == ["acme"]
        with pytest.raises(NotPermitted, match="ask whoever runs the server"):
            theirs.upload("acme", "support", folder, METADATA)
        with pytest.raises(NotFound):
            theirs.tenant("globex")
        client.revoke_key("acme", made.id)
        with pytest.raises(KeyRefused, match="--key-file"):
            theirs.tenants()


def test_feedback_finds_its_prediction(keyed: FakeService, client: Client) -> None:
    keyed.publish("acme", "support")
    [one] = client.predict("acme", "support", ["a text"]).predictions
    told = client.feedback([Label(one.id, labels_of()[0]), Label(one.id[:-1] + "?", "x")])
    assert (told.accepted, told.refused) == (1, 1)
    assert told.problems[0].where == "labels/1/id"


def test_every_problem_of_an_upload_comes_back(client: Client, folder: Path) -> None:
    client.put_tenant("acme")
    (folder / "adapter_config.json").write_text('{"use_dora": true}')
    with pytest.raises(BadRequest) as refused:
        client.upload("acme", "support", folder, {**METADATA, "colour": "green"})
    assert refused.value.code == "invalid-adapter"
    places = {problem.where for problem in refused.value.problems}
    assert "metadata/colour" in places
    assert any(place.startswith("adapter_config.json") for place in places)


def test_an_upload_that_is_refused_while_it_is_sent_says_why(service_with: MakeService) -> None:
    with listening(service_with(max_upload_bytes=100_000)) as url, Client(url) as client:
        client.put_tenant("acme")
        with pytest.raises(BadRequest, match="send less at once") as refused:
            client.upload("acme", "support", bytes(20 << 20), METADATA)
    assert refused.value.code == "body-too-large"


def test_a_server_that_stops_is_asked_again_and_then_given_up(keyed: FakeService, url: str) -> None:
    keyed.lifecycle.draining = True
    with Client(url, ADMIN_KEY, retries=1) as client, pytest.raises(ServerBusy) as refused:
        client.tenants()
    assert refused.value.retry_after_s == 1
    with Client(url, ADMIN_KEY) as client:
        assert client.ready().reason == "draining"


def test_nobody_there_is_an_error_of_its_own(unused_tcp_port: int) -> None:
    address = f"http://127.0.0.1:{unused_tcp_port}"
    with Client(address, retries=0) as client, pytest.raises(Unreachable, match=address):
        client.tenants()


@pytest.fixture
def unused_tcp_port() -> int:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port: int = taken.getsockname()[1]
        return port


def test_the_asynchronous_client_does_the_same(
    keyed: FakeService, client: Client, url: str, folder: Path
) -> None:
    client.put_tenant("acme")

    async def work() -> list[str]:
        async with AsyncClient(url, ADMIN_KEY) as theirs:
            made = await theirs.upload("acme", "support", folder, METADATA)
            keyed.batcher.labels[made.version.digest] = made.version.labels
            await theirs.set_rollout("acme", "support", made.version.version)
            texts = [f"text {number}" for number in range(20)]
            answers = await asyncio.gather(
                *(theirs.predict("acme", "support", [text]) for text in texts)
            )
            lines = [line.action async for line in theirs.audit()]
            assert "rollout.set" in lines
            return [answer.predictions[0].label for answer in answers]

    together = asyncio.run(work())
    alone = client.predict("acme", "support", [f"text {number}" for number in range(20)])
    assert together == [one.label for one in alone.predictions]


def test_proxies_of_the_environment_have_no_part_in_loopback(
    client: Client, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("ALL_PROXY", "http://127.0.0.1:9")
    client.put_tenant("acme")
    with Client(url, ADMIN_KEY, retries=0) as fresh:
        assert len(fresh.tenants()) == 1
