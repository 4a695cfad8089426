"""The commands that call a server: `adapters`, `tenants`, `predict`, against the real routes."""

import io
import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import pytest

from service import command
from service.client.client import Client
from tests.fakes.listening import listening
from tests.fakes.manifests import BACKBONE
from tests.fakes.packages import labels_of
from tests.fakes.service import ADMIN_KEY, FakeService
from tests.fixtures_service import MakeService
from tests.integration.test_client import METADATA, adapter_folder

COMMANDS = [
    EntryPoint(name, f"service.client.commands.{name}:{name}", command.GROUP)
    for name in ("adapters", "tenants", "predict")
]


class Ran:
    """What a command said, and its status."""

    def __init__(self, status: object, out: str, err: str) -> None:
        self.status, self.out, self.err = status, out, err

    @property
    def document(self) -> Any:
        return json.loads(self.out)


Run = Callable[..., Ran]


@pytest.fixture
def keyed(service_with: MakeService) -> FakeService:
    return service_with(admin_key=ADMIN_KEY)


@pytest.fixture
def run(
    keyed: FakeService, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Run]:
    """Run commands with the address and the key in the environment, as people have them."""

    def ran(*arguments: str, typed: str | None = None) -> Ran:
        monkeypatch.setattr(sys, "stdin", io.StringIO(typed or ""))
        with pytest.raises(SystemExit) as stopped:
            command.run(arguments, COMMANDS)
        said = capsys.readouterr()
        for text in (said.out, said.err):
            assert ADMIN_KEY not in text
        return Ran(stopped.value.code or 0, said.out, said.err)

    with listening(keyed) as url:
        monkeypatch.setenv("TENANTRY_URL", url)
        monkeypatch.setenv("TENANTRY_KEY", ADMIN_KEY)
        yield ran


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return adapter_folder(tmp_path / "adapter")


@pytest.fixture
def pushed(run: Run, keyed: FakeService, folder: Path) -> Run:
    """An adapter with two versions, the first of them live."""
    assert run("tenants", "create", "acme").status == 0
    other = adapter_folder(folder.parent / "other", seed=1)
    for source in (folder, other):
        ran = push(run, source, "--json")
        assert ran.status == 0, ran.err
        version = ran.document["version"]
        keyed.batcher.labels[version["digest"]] = tuple(version["labels"])
    assert run("adapters", "rollout", "acme.support", "--live", "1").status == 0
    return run


def push(run: Run, source: Path, *more: str) -> Ran:
    labels = str(source / "labels.txt")
    return run("adapters", "push", "acme.support", str(source), "--labels", labels, *more)


# --- adapters


def test_push_uploads_a_folder_and_says_what_comes_next(run: Run, folder: Path) -> None:
    run("tenants", "create", "acme")
    ran = push(run, folder, "--license", "CC0-1.0", "--dataset", "tickets", "--owner", "me")
    assert ran.status == 0, ran.err
    assert re.search(r"version +1 of acme\.support", ran.out)
    assert re.search(r"state +validated", ran.out)
    assert BACKBONE in ran.out
    assert "unverified" not in ran.out, "the service told its backbone"
    assert "tenantry adapters rollout acme.support --live 1" in ran.err
    shown = run("adapters", "show", "acme.support", "--version", "1", "--json").document
    assert shown["metadata"]["license"] == "CC0-1.0"
    assert shown["metadata"]["dataset"]["id"] == "tickets"
    assert shown["metadata"]["backbone_digest"] == BACKBONE
    again = push(
        run, folder, "--license", "CC0-1.0", "--dataset", "tickets", "--owner", "me", "--json"
    )
    assert (again.status, again.document["created"]) == (0, False)


def test_push_can_make_the_version_live_at_once(run: Run, folder: Path) -> None:
    run("tenants", "create", "acme")
    ran = push(run, folder, "--live", "--json")
    assert ran.status == 0, ran.err
    assert ran.document["rollout"]["live"] == 1
    assert ran.document["version"]["version"] == 1


def test_push_names_every_problem(run: Run, folder: Path) -> None:
    run("tenants", "create", "acme")
    (folder / "adapter_config.json").write_text('{"use_dora": true}')
    ran = push(run, folder)
    assert ran.status == 1
    assert re.match(r"tenantry: refused for \d+ reasons \[invalid-adapter\]:\n", ran.err)
    assert re.search(r"^ +adapter_config\.json", ran.err, re.MULTILINE)
    told = push(run, folder, "--json")
    assert told.status == 1
    error = told.document["error"]
    assert (error["status"], error["code"]) == (422, "invalid-adapter")
    assert {"where", "what"} == set(error["problems"][0])


def test_a_rejected_version_shows_why_and_how_to_force_it(
    run: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("tenants", "create", "acme")
    upload = Client.upload
    report = {
        "verdict": "rejected",
        "summary": "rejected: 12 points less accurate than the live version 1",
        "checks": [
            {"name": "accuracy_against_live", "passed": False, "sentence": "12 points less"},
            {"name": "calibration_error", "passed": None, "sentence": "not judged"},
        ],
    }

    def rejecting(self: Client, *given: Any, **more: Any) -> Any:
        from dataclasses import replace

        uploaded = upload(self, *given, **more)
        document = {**uploaded.version.document, "state": "rejected", "report": report}
        version = replace(uploaded.version, state="rejected", report=report, document=document)
        return replace(uploaded, version=version)

    monkeypatch.setattr(Client, "upload", rejecting)
    ran = push(run, folder, "--live")
    assert ran.status == 1
    assert re.search(r"FAILED +accuracy_against_live +12 points less", ran.out)
    assert 'tenantry adapters rollout acme.support --live 1 --force "REASON"' in ran.err
    assert run("adapters", "rollout", "acme.support", "--json").document["live"] is None
    told = push(run, folder, "--json")
    assert (told.status, told.document["version"]["state"]) == (1, "rejected")


def test_push_with_a_folder_that_is_none_says_what_to_give(run: Run, tmp_path: Path) -> None:
    run("tenants", "create", "acme")
    (tmp_path / "labels.txt").write_text("a\nb\n")
    (tmp_path / "adapter_model.bin").write_bytes(b"pickle")
    ran = push(run, tmp_path)
    assert (ran.status, ran.out) == (1, "")
    assert "a pickle, which can run code" in ran.err
    assert "save_pretrained" in ran.err


def test_list_and_show(pushed: Run) -> None:
    table = pushed("adapters", "list", "acme")
    assert re.search(r"^adapter +live +canary +shadow +versions +latest", table.out)
    assert re.search(r"^support +1 +- +- +2 +2 ", table.out, re.MULTILINE)
    [line] = pushed("adapters", "list", "acme", "--json").document["adapters"]
    assert (line["adapter"], line["live"], line["versions"]) == ("support", 1, 2)
    shown = pushed("adapters", "show", "acme.support", "--json").document
    assert shown["rollout"]["live"] == 1
    assert [version["state"] for version in shown["versions"]] == ["live", "validated"]
    assert re.search(
        r"^ +1 +live +3 ", pushed("adapters", "show", "acme.support").out, re.MULTILINE
    )


def test_a_rollout_changes_what_is_named_and_nothing_else(pushed: Run) -> None:
    def rollout(*options: str) -> Any:
        ran = pushed("adapters", "rollout", "acme.support", *options, "--json")
        assert ran.status == 0, ran.err
        return {name: ran.document.get(name) for name in ("live", "canary", "shadow")}

    assert rollout("--canary", "2:10") == {
        "live": 1,
        "canary": {"version": 2, "percent": 10.0},
        "shadow": None,
    }
    assert rollout("--canary", "2:50%")["canary"] == {"version": 2, "percent": 50.0}
    assert rollout("--canary", "none", "--shadow", "2") == {
        "live": 1,
        "canary": None,
        "shadow": [2],
    }
    assert rollout("--live", "2") == {"live": 2, "canary": None, "shadow": None}, "promoted"
    shown = pushed("adapters", "rollout", "acme.support")
    assert re.search(r"^live +2$", shown.out, re.MULTILINE)
    assert pushed("adapters", "rollback", "acme.support", "--json").document["shadow"] == [2]
    assert rollout("--live", "none", "--shadow", "none") == {
        "live": None,
        "canary": None,
        "shadow": None,
    }


@pytest.mark.parametrize(
    "options",
    [
        ("--live", "two"),
        ("--live", "0"),
        ("--canary", "2"),
        ("--canary", "2:much"),
        ("--shadow", "none", "--shadow", "2"),
    ],
)
def test_a_rollout_that_cannot_be_read_is_a_wrong_use(run: Run, options: tuple[str, ...]) -> None:
    ran = run("adapters", "rollout", "acme.support", *options)
    assert ran.status == 2
    assert options[0] in ran.err


def test_who_was_slower_sees_what_holds_now(pushed: Run) -> None:
    ran = pushed("adapters", "rollout", "acme.support", "--live", "2", "--if-match", "0")
    assert ran.status == 1
    assert re.search(r"^live +1$", ran.out, re.MULTILINE), "the current rollout"
    assert "revision-mismatch" in ran.err
    told = pushed("adapters", "rollback", "acme.support", "--if-match", "0", "--json")
    assert told.document["error"]["status"] == 412


def test_deleting_asks_first(pushed: Run) -> None:
    asked = pushed("adapters", "delete", "acme.support", "--version", "2", typed="n\n")
    assert asked.status == 1
    assert "Delete version 2 of acme.support for good?" in asked.err
    assert len(pushed("adapters", "show", "acme.support", "--json").document["versions"]) == 2
    done = pushed("adapters", "delete", "acme.support", "--version", "2", "--yes", "--json")
    assert done.document == {"deleted": {"tenant": "acme", "adapter": "support", "version": 2}}
    live = pushed("adapters", "delete", "acme.support", "--yes")
    assert (live.status, "[409 conflict]" in live.err) == (1, True)
    assert "`tenantry adapters rollout acme.support`" in live.err
    assert "--live none" in live.err
    tenant = pushed("tenants", "delete", "acme", "--yes")
    assert (tenant.status, "tenantry adapters rollout acme.ADAPTER" in tenant.err) == (1, True)


# --- tenants and keys


def test_a_tenant_s_settings_change_one_by_one(run: Run) -> None:
    made = run("tenants", "create", "acme", "--weight", "2", "--requests-per-s", "5", "--json")
    assert made.document["rates"]["requests_per_s"] == 5.0
    after = run("tenants", "set", "acme", "--no-log-embedding", "--concurrent-requests", "3")
    assert after.status == 0, after.err
    shown = run("tenants", "show", "acme", "--json").document
    assert shown["weight"] == 2.0
    assert shown["rates"] == {
        "requests_per_s": 5.0,
        "tokens_per_s": None,
        "concurrent_requests": 3,
    }
    assert shown["log"] == {"text": False, "embedding": False, "sample": 1.0}
    run("tenants", "set", "acme", "--requests-per-s", "none")
    assert run("tenants", "show", "acme", "--json").document["rates"]["requests_per_s"] is None
    again = run("tenants", "create", "acme")
    assert again.status == 1
    assert "tenantry tenants set acme" in again.err
    assert run("tenants", "set", "acme", "--weight", "-1").status == 1
    assert run("tenants", "set", "acme", "--tokens-per-s", "many").status == 2


def test_tenants_are_listed_and_deleted(run: Run) -> None:
    run("tenants", "create", "acme")
    assert re.search(r"^acme +standard +1 ", run("tenants", "list").out, re.MULTILINE)
    assert run("tenants", "delete", "acme", typed="no\n").status == 1
    assert run("tenants", "delete", "acme", "--yes").status == 0
    assert run("tenants", "list", "--json").document == {"tenants": []}
    missing = run("tenants", "delete", "acme")
    assert (missing.status, "unknown-tenant" in missing.err) == (1, True)


def test_a_key_is_shown_once_and_alone(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    run("tenants", "create", "acme")
    made = run("tenants", "keys", "create", "acme", "--scope", "predict", "--scope", "publish")
    assert made.status == 0, made.err
    key = made.out.removesuffix("\n")
    assert re.fullmatch(r"tk_[0-9a-f]{16}_[\w-]{43}", key)
    [line] = run("tenants", "keys", "list", "acme", "--json").document["keys"]
    assert line["scopes"] == ["predict", "publish"]
    assert line["id"] in made.err
    assert key not in run("tenants", "keys", "list", "acme").out
    monkeypatch.setenv("TENANTRY_KEY", key)
    assert run("adapters", "list", "acme").status == 0
    assert run("tenants", "keys", "list", "acme").status == 1
    monkeypatch.setenv("TENANTRY_KEY", ADMIN_KEY)
    assert run("tenants", "keys", "revoke", "acme", line["id"], "--yes").status == 0
    monkeypatch.setenv("TENANTRY_KEY", key)
    gone = run("adapters", "list", "acme")
    assert (gone.status, "--key-file" in gone.err) == (1, True)


def test_a_key_comes_from_a_file_or_is_asked_for(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TENANTRY_KEY", "wrong")
    path = tmp_path / "key"
    path.write_text(ADMIN_KEY + "\n")
    assert run("tenants", "list", "--key-file", str(path)).status == 0
    assert run("tenants", "list", "--key", "-", typed=ADMIN_KEY + "\n").status == 0
    assert run("tenants", "list").status == 1
    path.write_text(f"# the operator's\n\n{ADMIN_KEY}\nanother\n")
    assert run("tenants", "list", "--key-file", str(path)).status == 0
    path.write_text("# none\n")
    assert "holds no key" in run("tenants", "list", "--key-file", str(path)).err
    missing = run("tenants", "list", "--key-file", str(tmp_path / "nowhere"))
    assert (missing.status, "cannot be read" in missing.err) == (2, True)


def test_the_key_of_a_tenant_makes_no_other_tenant_and_is_told_who_does(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run("tenants", "create", "acme")
    key = run("tenants", "keys", "create", "acme", "--scope", "admin").out.strip()
    monkeypatch.setenv("TENANTRY_KEY", key)
    ran = run("tenants", "create", "another")
    assert (ran.status, "unknown-tenant" in ran.err) == (1, True)
    assert "the operator alone makes tenants" in ran.err


def test_usage_is_a_table_of_days(pushed: Run) -> None:
    table = pushed("tenants", "usage", "acme", "--since", "2025-01-01", "--until", "2025-01-31")
    assert table.status == 0, table.err
    assert re.search(r"^in all +0 +0 +0 ", table.out, re.MULTILINE)
    told = pushed("tenants", "usage", "acme", "--json").document
    assert told["tenant"] == "acme"
    assert pushed("tenants", "usage", "acme", "--since", "yesterday").status == 2


# --- predict


def test_predict_answers_texts_in_their_order(pushed: Run) -> None:
    table = pushed("predict", "acme.support", "Where is my money?", "[bold]No[/bold]\x1b[31m")
    assert table.status == 0, table.err
    assert "acme.support version 1, fp32 on cpu" in table.err
    rows = table.out.splitlines()
    assert rows[1].startswith("Where is my money?")
    assert rows[2].startswith("[bold]No[/bold]\N{REPLACEMENT CHARACTER}[31m")
    told = pushed("predict", "acme.support", "a", "b", "--json", "--version", "2")
    lines = [json.loads(line) for line in told.out.splitlines()]
    assert [line["model"]["version"] for line in lines] == [2, 2]
    assert all(set(line["scores"]) == set(labels_of()) for line in lines)


def test_predict_reads_files_and_standard_input(pushed: Run, tmp_path: Path) -> None:
    texts = [f"text {number}" for number in range(250)]
    path = tmp_path / "texts.txt"
    path.write_text("\n".join(texts) + "\n\n", encoding="utf-8")
    from_file = pushed("predict", "acme.support", "--file", str(path), "--json", "--top")
    assert len(from_file.out.splitlines()) == 250
    assert all("scores" not in json.loads(line) for line in from_file.out.splitlines())
    piped = pushed("predict", "acme.support", "--json", "--top", typed="\n".join(texts[:2]))
    labels = [json.loads(line)["label"] for line in from_file.out.splitlines()]
    assert [json.loads(line)["label"] for line in piped.out.splitlines()] == labels[:2]
    rows = tmp_path / "rows.jsonl"
    rows.write_text('"text 0"\n{"text": "text 1", "label": "x"}\n{"text": "a", "pair": "b"}\n')
    from_rows = pushed("predict", "acme.support", "--file", str(rows), "--json")
    assert [json.loads(line)["label"] for line in from_rows.out.splitlines()][:2] == labels[:2]
    rows.write_text('"fine"\n{"txt": "?"}\n')
    wrong = pushed("predict", "acme.support", "--file", str(rows))
    assert (wrong.status, "rows.jsonl, line 2: neither a text" in wrong.err) == (2, True)


def test_predict_without_any_text_says_so(pushed: Run) -> None:
    ran = pushed("predict", "acme.support", typed="\n\n")
    assert (ran.status, ran.out) == (0, "")
    assert "no texts were given" in ran.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("acme", "a"), "write TENANT.ADAPTER"),
        (("acme.support", "a", "--file", "b"), "not both"),
        (("acme.support", "--file", "/no/such/file"), "cannot be read"),
        (("Acme.support", "a"), "cannot be the name of a tenant"),
    ],
)
def test_a_wrong_use_of_predict(run: Run, arguments: tuple[str, ...], words: str) -> None:
    ran = run("predict", *arguments)
    assert ran.status == 2
    assert words in " ".join(ran.err.split())


def test_an_adapter_without_a_live_version_says_how_to_make_one_live(
    run: Run, folder: Path
) -> None:
    run("tenants", "create", "acme")
    push(run, folder)
    ran = run("predict", "acme.support", "a")
    assert ran.status == 1
    assert "rollout TENANT.ADAPTER --live N" in ran.err


# --- what all have in common


def test_help_shows_where_a_key_comes_from_and_never_the_key(run: Run) -> None:
    for words in (("tenants", "list"), ("adapters", "push"), ("predict",)):
        ran = run(*words, "--help")  # `run` looks for the key in all that is said
        assert ran.status == 0
        assert "TENANTRY_KEY" in ran.out


def test_nobody_there_says_where_it_looked(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TENANTRY_URL", "http://127.0.0.1:9")
    ran = run("tenants", "list", "--timeout", "0.3", "--json")
    assert ran.status == 1
    assert "nobody answers at http://127.0.0.1:9" in ran.document["error"]["detail"]
    assert "is `tenantry serve` running there" in ran.err
    monkeypatch.setenv("TENANTRY_URL", "no address")
    assert run("tenants", "list").status == 2


def test_the_commands_start_without_what_only_the_service_needs() -> None:
    script = (
        "import sys\n"
        "import service.client.commands.adapters, service.client.commands.tenants\n"
        "import service.client.commands.predict, service.state_tools.command\n"
        "heavy = {'torch', 'fastapi', 'numpy', 'sqlalchemy', 'pydantic', 'pyarrow', 'orjson'}\n"
        "print(sorted(heavy & sys.modules.keys()))\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert said == "[]\n"


def test_the_client_imports_nothing_else_of_the_project() -> None:
    script = (
        "import sys\n"
        "import service.client.commands.adapters, service.client.commands.tenants\n"
        "import service.client.async_client, service.client.commands.predict\n"
        "own = [name for name in sys.modules if name.startswith('service.')]\n"
        "print([name for name in own if not name.startswith('service.client')])\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    ).stdout
    assert said == "[]\n"


def test_metadata_of_a_folder_needs_no_options(run: Run, folder: Path) -> None:
    run("tenants", "create", "acme")
    (folder / "metadata.json").write_text(json.dumps(METADATA))
    ran = run("adapters", "push", "acme.support", str(folder), "--json")
    assert ran.status == 0, ran.err
    assert ran.document["version"]["metadata"]["license"] == "CC0-1.0"


def test_the_audit_trail_is_a_table_of_what_changed_lately(pushed: Run) -> None:
    assert pushed("adapters", "rollout", "acme.support", "--canary", "2:5").status == 0
    table = pushed("tenants", "audit")
    assert table.status == 0, table.err
    assert re.search(r"admin +rollout\.set +acme\.support +.*live - -> 1", table.out)
    assert "canary - -> version=2 percent=5" in table.out.splitlines()[-1]
    lines = pushed("tenants", "audit", "--tenant", "acme", "--since", "2d", "--json").document
    assert lines["lines"][0]["action"] == "tenant.created"
    assert pushed("tenants", "audit", "--since", "2999-01-01").out.count("\n") == 1  # its head
    for since in ("yesterday", "6", "-1h", "0h"):
        assert pushed("tenants", "audit", "--since", since).status == 2
