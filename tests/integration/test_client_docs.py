"""The guides of the client and the state tools do what they say: every command is run."""

import re
import shlex
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from service import command
from service.errors import UnknownAdapter, UnknownTenant
from service.events.keys import KeyRing
from tests.fakes.listening import listening
from tests.fakes.service import ADMIN_KEY, FakeService
from tests.fixtures_service import MakeService
from tests.integration.test_client import adapter_folder

GUIDES = Path(__file__).resolve().parents[2] / "docs" / "guides"
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMANDS = [
    EntryPoint(name, f"service.client.commands.{name}:{name}", command.GROUP)
    for name in ("adapters", "tenants", "predict")
] + [EntryPoint("state", "service.state_tools.command:state", command.GROUP)]


def blocks(page: str, language: str) -> list[str]:
    text = (GUIDES / page).read_text(encoding="utf-8")
    return [found[2] for found in FENCE.finditer(text) if found[1] == language]


def lines_of(page: str) -> list[list[str]]:
    """Return the words of each `tenantry` command of a page, but for those that do not end."""
    found = [
        shlex.split(line)
        for block in blocks(page, "sh")
        for line in block.splitlines()
        if line.startswith("tenantry ")
    ]
    return [words[1:] for words in found if words[1] != "serve"]


@pytest.fixture
def service(service_with: MakeService) -> FakeService:
    return service_with(admin_key=ADMIN_KEY)


@pytest.fixture
def url(service: FakeService) -> Iterator[str]:
    with listening(service) as address:
        yield address


@pytest.fixture
def desk(tmp_path: Path, service: FakeService, url: str, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with everything that the guides name, and the variables that they set."""
    desk = tmp_path / "desk"
    desk.mkdir()
    for seed, name in enumerate(("adapter", "second")):
        adapter_folder(desk / name, seed=seed)
    (desk / "adapter" / "labels.txt").rename(desk / "labels.txt")
    (desk / "texts.txt").write_text("one\ntwo\n")
    (desk / "texts.jsonl").write_text('"one"\n{"text": "two", "pair": null}\n')
    (desk / "state").symlink_to(service.state)
    KeyRing.open(service.state)
    monkeypatch.chdir(desk)
    monkeypatch.setenv("TENANTRY_URL", url)
    monkeypatch.setenv("TENANTRY_KEY", ADMIN_KEY)
    return desk


@pytest.fixture
def run(service: FakeService, capsys: pytest.CaptureFixture[str]) -> Callable[[list[str]], str]:
    def ran(words: list[str]) -> str:
        with pytest.raises(SystemExit) as stopped:
            command.run(words, COMMANDS)
        said = capsys.readouterr()
        assert stopped.value.code in (None, 0), f"{words}: {said.err}"
        learn(service)
        return said.out

    return ran


def learn(service: FakeService) -> None:
    """Let the fake answer with whatever was uploaded."""
    try:
        for version in service.registry.versions("acme", "support"):
            service.batcher.labels[version.digest] = version.labels
    except (UnknownAdapter, UnknownTenant):
        pass


def test_the_commands_of_the_client_s_guide(desk: Path, run: Callable[[list[str]], str]) -> None:
    commands = lines_of("client.md")
    assert len(commands) >= 15
    for words in commands:
        end = words.index(">") if ">" in words else len(words)
        out = run(words[:end])
        assert out, f"{words} says nothing"
        for target in words[end + 1 :]:
            (desk / target).write_text(out)
    assert (desk / "acme.key").read_text().startswith("tk_")
    assert len((desk / "answers.jsonl").read_text().splitlines()) == 2


def test_the_python_of_the_client_s_guide(
    desk: Path, service: FakeService, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    service.publish("acme", "support", seed=5)
    asking, waiting, publishing = (
        block.replace("http://127.0.0.1:8000", url).replace("tk_...", ADMIN_KEY)
        for block in blocks("client.md", "python")
    )
    asking = asking.replace('"refund"', '"label 0"')  # which the fake answers with
    exec(compile(asking, "client.md", "exec"), {})
    assert capsys.readouterr().out.endswith("1 0\n"), "a label was accepted, none refused"
    exec(compile(waiting, "client.md", "exec"), {})
    assert "['acme']" in capsys.readouterr().out
    exec(compile(publishing, "client.md", "exec"), {})
    assert "2 validated" in capsys.readouterr().out
    assert service.registry.rollout("acme", "support").live == 2
    assert desk.exists()


def test_the_commands_of_the_guide_to_backups(
    desk: Path, service: FakeService, run: Callable[[list[str]], str]
) -> None:
    service.publish("acme", "support")
    for words in lines_of("backup.md"):
        run([word.replace("/backups", str(desk)) for word in words])
    assert (desk / "restored" / "registry.sqlite3").is_file()
    service.registry.close()


def test_the_commands_of_the_guide_to_rotation(
    desk: Path, service: FakeService, run: Callable[[list[str]], str]
) -> None:
    service.publish("acme", "support")
    create, _, revoke, rotate = lines_of("rotating-keys.md")
    key = run(create[: create.index(">")])
    run([key.split("_")[1] if re.fullmatch("[0-9a-f]{16}", word) else word for word in revoke])
    assert service.registry.keys("acme") == []
    assert "key 1 signs from now on" in run(rotate)
    assert desk.exists()
