import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from service import command

HELLO = '''
"""Greets people."""
import typer
from service.engine.errors import TenantryError

def greet(name: str, fail: bool = False) -> None:
    """Greet one person.

    At length.
    """
    if fail:
        raise TenantryError(f"cannot greet {name}")
    typer.echo(f"hello {name}")

many = typer.Typer()

@many.command()
def first() -> None:
    typer.echo("first of many")

@many.command()
def second() -> None:
    typer.echo("second of many")
'''


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the module path, with one module of commands."""
    (tmp_path / "room_of_greetings.py").write_text(HELLO, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "room_of_greetings", raising=False)
    return tmp_path


def entry(name: str, value: str) -> EntryPoint:
    return EntryPoint(name, value, command.GROUP)


def status_of(arguments: list[str], *commands: EntryPoint) -> object:
    with pytest.raises(SystemExit) as stopped:
        command.run(arguments, commands)
    return stopped.value.code


@pytest.mark.usefixtures("room")
def test_a_function_becomes_a_subcommand(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["greet", "Ada"], entry("greet", "room_of_greetings:greet")) == 0
    assert capsys.readouterr().out == "hello Ada\n"


@pytest.mark.usefixtures("room")
def test_a_typer_becomes_a_subcommand_with_its_own(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["many", "second"], entry("many", "room_of_greetings:many")) == 0
    assert capsys.readouterr().out == "second of many\n"


@pytest.mark.usefixtures("room")
def test_help_shows_first_lines_and_imports_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [
        entry("greet", "room_of_greetings:greet"),
        entry("many", "room_of_greetings:many"),
        entry("later", "examples.no_such_module:later"),
    ]
    assert status_of(["--help"], *commands) == 0
    shown = capsys.readouterr().out
    assert "Greet one person." in shown
    assert "At length." not in shown
    assert "Greets people." in shown
    assert "later" in shown
    assert "room_of_greetings" not in sys.modules


@pytest.mark.usefixtures("room")
def test_an_error_raised_on_purpose_is_one_line_and_status_1(
    capsys: pytest.CaptureFixture[str],
) -> None:
    arguments = ["greet", "Ada", "--fail"]
    assert status_of(arguments, entry("greet", "room_of_greetings:greet")) == 1
    assert capsys.readouterr().err == "tenantry: cannot greet Ada\n"


def test_an_unknown_subcommand_is_a_wrong_use(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["dance"], entry("greet", "room_of_greetings:greet")) == 2
    assert "dance" in capsys.readouterr().err


@pytest.mark.usefixtures("room")
def test_a_command_of_an_absent_room_is_not_known(capsys: pytest.CaptureFixture[str]) -> None:
    commands = [
        entry("greet", "room_of_greetings:greet"),
        entry("gone", "no_such_room.command:gone"),
    ]
    assert status_of(["gone"], *commands) == 2
    capsys.readouterr()
    assert status_of(["--help"], *commands) == 0
    assert "gone" not in capsys.readouterr().out


def test_a_missing_package_names_the_extra_that_brings_it(
    room: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (room / "room_of_torches.py").write_text("import torch_of_tomorrow", encoding="utf-8")
    light = entry("light", "room_of_torches:light [export]")
    assert status_of(["light"], light) == 1
    said = capsys.readouterr().err
    assert "'tenantry light' needs: pip install 'tenantry[export]'" in said
    assert "torch_of_tomorrow" in said


def test_a_missing_module_of_our_own_is_a_bug_and_no_missing_extra(room: Path) -> None:
    (room / "room_of_bugs.py").write_text("import service.no_such_module", encoding="utf-8")
    with pytest.raises(ModuleNotFoundError, match=r"service\.no_such_module"):
        command.run(["bug"], [entry("bug", "room_of_bugs:bug [export]")])


def test_the_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert status_of(["--version"]) == 0
    assert capsys.readouterr().out == "tenantry 0.1.0\n"
