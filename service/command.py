"""The one command, `tenantry`, and the subcommands that its rooms bring.

A subcommand is an entry point of the group `tenantry.commands`: a function that typer can read, or
a `typer.Typer`, with the extra that it needs, if any, in brackets. Only the subcommand that is
called is imported; the others are listed by the first line of their docstring, read without
importing them. So `tenantry serve` starts without torch, and `tenantry --help` answers at once.
"""

import ast
import sys
from collections.abc import Iterable, Sequence
from importlib.metadata import EntryPoint, entry_points, version
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from service.engine.errors import TenantryError

GROUP = "tenantry.commands"
ROOMS = frozenset({"examples", "exporter", "monitoring", "service"})


def main() -> None:
    """Run the command line of this process."""
    run(sys.argv[1:], entry_points(group=GROUP))


def run(arguments: Sequence[str], commands: Iterable[EntryPoint]) -> None:
    """Run one of the commands and raise `SystemExit` with its status.

    A command whose room is not part of this installation is not known. An error that Tenantry
    raises on purpose is one line and status 1; a wrong use is status 2.
    """
    known = {
        command.name: command
        for command in commands
        if find_spec(command.module.partition(".")[0]) is not None
    }
    called = known.get(next((word for word in arguments if not word.startswith("-")), ""))
    try:
        _application(known.values(), called)(args=list(arguments), prog_name="tenantry")
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if called is None or not called.extras or package in ROOMS:
            raise
        extras = ",".join(called.extras)
        _fail(f"'tenantry {called.name}' needs: pip install 'tenantry[{extras}]' ({error})")
    except TenantryError as error:
        _fail(str(error))


def _fail(reason: str) -> None:
    typer.echo(f"tenantry: {reason}", err=True)
    raise SystemExit(1)


def _show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"tenantry {version('tenantry')}")
        raise typer.Exit


def _application(commands: Iterable[EntryPoint], called: EntryPoint | None) -> typer.Typer:
    application = typer.Typer(
        add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False
    )
    application.callback()(_options)
    for command in sorted(commands, key=lambda command: command.name):
        if command is not called:
            application.command(command.name, help=_summary(command))(_not_called)
            continue
        found = command.load()
        if isinstance(found, typer.Typer):
            application.add_typer(found, name=command.name)
        else:
            application.command(command.name)(found)
    return application


def _options(
    *,
    _version: Annotated[
        bool,
        typer.Option(
            "--version", is_eager=True, callback=_show_version, help="Show the version and exit."
        ),
    ] = False,
) -> None:
    """One backbone, many tenants: LoRA classifiers of many customers, served from one encoder."""


def _not_called() -> None:
    raise AssertionError("a command that was not called has run")


def _summary(command: EntryPoint) -> str:
    """Return the first line of the command's docstring, or of its module's, without an import."""
    spec = find_spec(command.module)
    if spec is None or spec.origin is None:
        return ""
    module = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
    own = next(
        (
            ast.get_docstring(node)
            for node in module.body
            if isinstance(node, ast.FunctionDef) and node.name == command.attr
        ),
        None,
    )
    return (own or ast.get_docstring(module) or "").partition("\n")[0]
