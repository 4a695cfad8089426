"""The state directory: check, back up, restore, rotate signing keys, find and erase events."""

import json as json_module
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TaskProgressColumn, TextColumn

state = typer.Typer(help=__doc__, no_args_is_help=True)

_BROKEN = 1

State = Annotated[
    Path,
    typer.Option(
        "--state",
        envvar="TENANTRY_STATE",
        help="The state directory, as `tenantry serve` has it.",
        show_default=False,
    ),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON for programs.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@state.command()
def check(state: State, json: Json = False) -> None:
    """Read everything once, while services go on, and name each thing that is wrong.

    Exits with 1 where there is any. Nothing is changed.
    """
    from service.state_tools.check import problems

    with _telling(), _bars() as progress:
        found = list(problems(state, progress))
    if json:
        listed = [{"where": one.where, "what": one.what} for one in found]
        _print({"state": str(state), "whole": not found, "problems": listed})
    elif found:
        for one in found:
            typer.echo(str(one))
    else:
        typer.echo(f"{state} is whole")
    if found:
        raise typer.Exit(_BROKEN)


@state.command()
def backup(
    target: Annotated[
        Path, typer.Argument(help="What is written: one file that ends in .tar, or a folder.")
    ],
    state: State,
    events: Annotated[
        bool, typer.Option("--events", help="The event log too; it may hold personal data.")
    ] = False,
    json: Json = False,
) -> None:
    """Back the state up, while services go on: proven whole, readable by its owner alone.

    It holds the registry, adapters, uploaded files and the keys that sign prediction ids.
    """
    from service.state_tools.backup import back_up

    with _telling(), _bars() as progress:
        made = back_up(state, target, progress, events=events)
    manifest = made.manifest
    if json:
        _print(
            {
                "backup": str(made.path),
                "digest": made.digest,
                "made_at": manifest.made_at,
                "schema": manifest.schema,
                "events": manifest.events,
                "files": len(manifest.files),
                "bytes": manifest.bytes,
            }
        )
        return
    typer.echo(f"{target}: {len(manifest.files)} files, {manifest.bytes:,} bytes")
    typer.echo("it holds signing keys: keep it as you keep passwords")


@state.command()
def restore(
    source: Annotated[Path, typer.Argument(help="What `backup` wrote.")],
    state: State,
    json: Json = False,
) -> None:
    """Restore a backup into a state directory that is empty, or not there yet."""
    from service.state_tools.restore import restore as restore_backup

    with _telling(), _bars() as progress:
        manifest = restore_backup(source, state, progress)
    if json:
        _print(
            {
                "state": str(state),
                "made_at": manifest.made_at,
                "made_by": manifest.made_by,
                "schema": manifest.schema,
                "events": manifest.events,
                "files": len(manifest.files),
                "bytes": manifest.bytes,
            }
        )
        return
    typer.echo(
        f"{state} is as it was at {manifest.made_at};"
        f" next: tenantry serve --bundle BUNDLE --state {state}"
    )


@state.command("rotate-keys")
def rotate_keys(state: State, json: Json = False) -> None:
    """Sign prediction ids with a new key from now on; ids that were signed before stay good."""
    from service.events.keys import rotate

    with _telling():
        rotated = rotate(state)
    if json:
        _print({"current": rotated.current, "kept": list(rotated.kept), "dropped": rotated.dropped})
        return
    typer.echo(
        f"key {rotated.current} signs from now on; {len(rotated.kept)} older ones are still read"
    )
    if rotated.dropped is not None:
        typer.echo(f"key {rotated.dropped} made room: labels for its predictions are now refused")


@state.command()
def erase(
    state: State,
    tenant: Annotated[str, typer.Option(help="Whose events.")],
    yes: Yes = False,
    json: Json = False,
) -> None:
    """Take a tenant's events out of the event log, while services go on writing it.

    Events that come meanwhile stay: take the tenant's keys first, or delete it. Backups that hold
    the log keep their copies.
    """
    from service.engine.errors import TenantryError
    from service.events.erasure import erase as erase_events
    from service.registry.records import check_name
    from service.state_tools.contents import EVENTS

    check_name(tenant, "a tenant")
    if not yes:
        typer.confirm(f"Erase every event of {tenant} for good?", abort=True, err=True)
    with _telling():
        erased = erase_events(state / EVENTS, tenant)
    if json:
        _print(
            {
                "tenant": tenant,
                "events": erased.events,
                "segments": erased.segments,
                "damaged": erased.damaged,
                "unsealed": list(erased.unsealed),
            }
        )
    else:
        typer.echo(f"erased {erased.events} events from {erased.segments} segments")
    if erased.unsealed:
        writers = ", ".join(erased.unsealed)
        raise TenantryError(
            f"these writers did not let go of what they write: {writers}; erase again"
        )


@state.command()
def find(
    state: State,
    request_id: Annotated[
        str | None, typer.Option(help="As the answer's X-Request-Id, or the log line, has it.")
    ] = None,
    trace_id: Annotated[str | None, typer.Option(help="Of a trace or an exemplar.")] = None,
    prediction_id: Annotated[
        str | None, typer.Option(help="As the answer has it, or a label that came back.")
    ] = None,
    json: Json = False,
) -> None:
    """Show what the event log has of one request, trace or prediction; never its text.

    All of the log is read. Exits with 1 where there is nothing of it.
    """
    from service.state_tools.contents import EVENTS
    from service.state_tools.finding import Id
    from service.state_tools.finding import find as find_events

    asked: tuple[tuple[Id, str | None], ...] = (
        ("request_id", request_id),
        ("trace_id", trace_id),
        ("prediction_id", prediction_id),
    )
    given = [(by, value) for by, value in asked if value is not None]
    if len(given) != 1:
        raise typer.BadParameter("give one of --request-id, --trace-id and --prediction-id")
    [(by, value)] = given
    count = 0
    with _telling():
        for event in find_events(state / EVENTS, by, value):
            count += 1
            if json:
                _print(event)
            else:
                typer.echo("\n".join(f"{name:20}{one}" for name, one in event.items()) + "\n")
    if not count:
        typer.echo(f"the log has no event with this {by.replace('_', ' ')}", err=True)
        raise typer.Exit(_BROKEN)


@contextmanager
def _telling() -> Iterator[None]:
    """Raise what goes wrong as an error whose text is for whoever called the command."""
    from service.engine.errors import TenantryError
    from service.events.keys import InvalidKeyFile
    from service.events.schema import UnknownSchema

    try:
        yield
    except (InvalidKeyFile, UnknownSchema, OSError) as error:
        raise TenantryError(str(error)) from error


def _print(document: object) -> None:
    sys.stdout.write(json_module.dumps(document, ensure_ascii=False) + "\n")


class _Bars:
    """A bar for each thing that is done, one after the other."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._tasks: dict[str, TaskID] = {}

    def __call__(self, what: str, done: int, total: int) -> None:
        if what not in self._tasks:
            self._tasks[what] = self._progress.add_task(what)
        self._progress.update(self._tasks[what], completed=done, total=total)


@contextmanager
def _bars() -> Iterator[_Bars]:
    """Show how far it is, where somebody looks."""
    columns = (TextColumn("{task.description:20}"), BarColumn(), TaskProgressColumn())
    console = Console(stderr=True)
    quiet = not console.is_terminal
    with Progress(*columns, console=console, transient=True, disable=quiet) as progress:
        yield _Bars(progress)
