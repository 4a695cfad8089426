"""The ground: packaging, lock, arrows, and what a skip means under CI."""

import ast
import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import pytest

from tests.needs import needs_data, needs_program

ROOT = Path(__file__).resolve().parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
LOCK = [
    line
    for line in (ROOT / "requirements.lock").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]
EXTRAS: dict[str, list[str]] = PROJECT["project"]["optional-dependencies"]
COMMANDS: dict[str, str] = PROJECT["project"]["entry-points"]["tenantry.commands"]

# One import that each contract forbids: file, import, and words of the contract's name.
FORBIDDEN = [
    ("exporter/a.py", "import service.registry", "exporter enters the service"),
    ("exporter/a.py", "import service.events.ids", "exporter enters the service"),
    ("exporter/a.py", "import service.credentials.scopes", "exporter enters the service"),
    ("exporter/a.py", "import monitoring", "exporter enters the service"),
    ("monitoring/a.py", "import service.engine.bundle", "sidecar enters the service"),
    ("monitoring/a.py", "import service.registry", "sidecar enters the service"),
    ("monitoring/a.py", "import exporter", "sidecar enters the service"),
    ("service/registry/a.py", "import exporter", "neither exporter nor sidecar"),
    ("service/engine/a.py", "import service.errors", "doors stand alone"),
    ("service/events/ids.py", "import service.engine.bundle", "doors stand alone"),
    ("service/events/ids.py", "import service.credentials.scopes", "doors stand alone"),
    ("service/credentials/scopes.py", "import service.events.ids", "doors stand alone"),
    ("service/credentials/scopes.py", "import service.errors", "doors stand alone"),
    ("service/batching/a.py", "import service.api", "arrows point down"),
    ("service/brand_new.py", "", "arrows point down"),
    ("service/client/a.py", "import service.errors", "client stands alone"),
    ("grafana/a.py", "import service.metrics", "rules know no other room"),
    ("service/registry/a.py", "import torch", "need no torch"),
    ("monitoring/a.py", "import torch", "need no torch"),
    ("monitoring/a.py", "import transformers", "need no torch"),
    ("monitoring/backends/a.py", "import transformers", "need no torch"),
    ("service/batching/a.py", "import starlette", "neither HTTP nor SQL"),
    ("service/engine/a.py", "import fastapi", "neither HTTP nor SQL"),
    ("service/credentials/scopes.py", "import sqlalchemy", "neither HTTP nor SQL"),
    ("service/credentials/scopes.py", "import starlette", "neither HTTP nor SQL"),
    ("service/measures.py", "import sqlalchemy", "neither HTTP nor SQL"),
]
ALLOWED = [
    ("exporter/a.py", "import service.engine.bundle, service.measures"),
    ("exporter/a.py", "import torch, transformers, peft"),
    ("monitoring/a.py", "import service.events.ids, service.measures"),
    ("monitoring/a.py", "import service.credentials.scopes"),
    ("monitoring/backends/a.py", "import torch"),
    ("service/api/a.py", "import service.batching, service.engine.bundle, fastapi"),
]


def name_of(requirement: str) -> str:
    """Return the normal form of the package that a requirement names."""
    return re.sub(r"[-_.]+", "-", re.split(r"[\[<>=!~ ;]", requirement)[0]).lower()


def test_the_lock_holds_exact_public_versions_and_no_addresses() -> None:
    names = [line.partition("==")[0] for line in LOCK]
    assert sorted(set(names)) == names
    for line in LOCK:
        assert re.fullmatch(r"[a-z0-9-]+==[A-Za-z0-9.]+", line), line


@pytest.mark.parametrize("extra", sorted(EXTRAS.keys() - {"gpu"}))
def test_the_lock_pins_what_an_extra_asks_for(extra: str) -> None:
    asked = PROJECT["project"]["dependencies"] + EXTRAS[extra]
    pinned = {line.partition("==")[0] for line in LOCK} | {"tenantry"}
    assert {name_of(requirement) for requirement in asked} <= pinned


def test_alibi_detect_comes_with_no_other_extra() -> None:
    bringing = [
        extra
        for extra, requirements in EXTRAS.items()
        if any("alibi" in requirement for requirement in requirements)
    ]
    assert bringing == ["alibi"]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_subcommand_is_there_and_has_a_first_line(name: str) -> None:
    reference, _, extra = COMMANDS[name].partition(" ")
    module, _, attribute = reference.partition(":")
    source = (ROOT / module.replace(".", "/")).with_suffix(".py").read_text(encoding="utf-8")
    tree = ast.parse(source)
    docstrings = {
        node.name: ast.get_docstring(node)
        for node in tree.body
        if isinstance(node, ast.FunctionDef)
    }
    if any(
        isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == attribute
        for node in tree.body
    ):
        docstrings[attribute] = ast.get_docstring(tree)  # a `typer.Typer`: its module tells of it
    assert docstrings.get(attribute), f"{reference} is no command with a docstring"
    assert extra.strip("[]") in {"", *EXTRAS}


def test_help_and_version_import_neither_torch_nor_a_web_framework() -> None:
    for argument in ("--help", "--version"):
        script = (
            "import atexit, sys\n"
            "heavy = {'torch', 'transformers', 'peft', 'onnxruntime', 'fastapi', 'sqlalchemy'}\n"
            "atexit.register(lambda: print('IMPORTED', *sorted(heavy & sys.modules.keys())))\n"
            f"sys.argv = ['tenantry', '{argument}']\n"
            "from service.command import main\n"
            "main()\n"
        )
        said = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        assert said.splitlines()[-1] == "IMPORTED"


@pytest.fixture
def skeleton(tmp_path: Path) -> Path:
    """A project with our contracts and nothing in it but empty modules."""
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for module in (
        "exporter/a",
        "grafana/a",
        "monitoring/a",
        "monitoring/backends/a",
        "service/api/a",
        "service/batching/a",
        "service/client/a",
        "service/credentials/scopes",
        "service/engine/a",
        "service/engine/bundle",
        "service/errors",
        "service/events/ids",
        "service/measures",
        "service/gate/a",
        "service/registry/a",
        "service/settings",
        "service/uploads/a",
    ):
        path = (tmp_path / module).with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
        (path.parent / "__init__.py").touch()
        (tmp_path / Path(module).parts[0] / "__init__.py").touch()
    return tmp_path


def lint_imports(folder: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    environment = {**os.environ, "PYTHONPATH": str(folder), "COLUMNS": "200"}
    return subprocess.run(
        [program, "--no-cache"],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(("file", "line", "contract"), FORBIDDEN)
def test_an_arrow_that_points_the_wrong_way_breaks_its_contract(
    skeleton: Path, file: str, line: str, contract: str
) -> None:
    (skeleton / file).write_text(f"{line}\n", encoding="utf-8")
    linted = lint_imports(skeleton)
    assert linted.returncode == 1, linted.stdout + linted.stderr
    broken = [name for name in linted.stdout.splitlines() if name.endswith("BROKEN")]
    assert any(contract in name for name in broken), linted.stdout


def test_the_doors_are_open_to_those_who_may_enter(skeleton: Path) -> None:
    for file, line in ALLOWED:
        with (skeleton / file).open("a", encoding="utf-8") as source:
            source.write(f"{line}\n")
    linted = lint_imports(skeleton)
    assert linted.returncode == 0, linted.stdout + linted.stderr


def test_a_missing_program_is_a_skip_at_home_and_a_failure_under_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no-such-program"):
        needs_program("no-such-program")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no-such-program"):
        needs_program("no-such-program")


def test_a_program_that_is_there_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    assert needs_program("sh").is_file()


def test_a_missing_data_set_is_a_skip_even_under_ci(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("TENANTRY_DATA", str(tmp_path))
    with pytest.raises(pytest.skip.Exception, match="no-such-data"):
        needs_data("no-such-data")
    (tmp_path / "some-data").mkdir()
    assert needs_data("some-data") == tmp_path / "some-data"


@pytest.mark.parametrize("script", [".ci/run", "deploy/smoke-container"])
def test_a_script_can_be_run(script: str) -> None:
    assert os.access(ROOT / script, os.X_OK)


def test_ci_installs_every_program_that_a_test_needs() -> None:
    asked = {
        name
        for path in (ROOT / "tests").rglob("test_*.py")
        if path != Path(__file__)
        for name in re.findall(r"needs_program\(\"([^\"]+)\"\)", path.read_text(encoding="utf-8"))
    }
    listed = re.search(r"packages=\(([^)]*)\)", (ROOT / ".ci/run").read_text(encoding="utf-8"))
    assert listed
    assert asked <= {pair.partition(":")[2] for pair in listed[1].split()}
