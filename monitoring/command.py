"""`tenantry monitor`: whether inputs moved, and whether probabilities still mean what they say."""

import logging
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer

monitor = typer.Typer(invoke_without_command=True, no_args_is_help=False)

State = Annotated[
    Path | None,
    typer.Option(help="The service's state directory, or one with `events`.", show_default=False),
]


@monitor.callback()
def run(
    context: typer.Context,
    state: State = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on (127.0.0.1).", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0: any (8001).", show_default=False)
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(help="debug, info, warning or error (info).", show_default=False),
    ] = None,
) -> None:
    """Watch a service's event log: drift, calibration and retrain triggers for each adapter.

    Each option is also a variable: TENANTRY_STATE, TENANTRY_MONITOR_PORT and so on;
    docs/reference/monitor-settings.md lists those that have no option.
    """
    given = {"state": state, "host": host, "port": port, "log_level": log_level}
    if context.invoked_subcommand is not None:
        context.obj = given
        return
    with _telling():
        from monitoring.logs import begin_logging
        from monitoring.process import run as run_sidecar
        from monitoring.settings import read_settings

        settings = read_settings(**given)
        begin_logging(settings.log_level)
        run_sidecar(settings)


@monitor.command()
def report(
    context: typer.Context,
    state: State = None,
    out: Annotated[Path, typer.Option(help="The HTML file to write.")] = Path("report.html"),
    tenant: Annotated[
        str | None, typer.Option(help="Of this tenant alone.", show_default=False)
    ] = None,
    most: Annotated[
        int, typer.Option(min=1, max=1000, help="Adapters that are told of in full, the worst.")
    ] = 50,
    json: Annotated[
        bool, typer.Option("--json", help="Write the fleet's report to standard output instead.")
    ] = False,
) -> None:
    """Write the page as one HTML file, after reading what is new in the log.

    Beside a running sidecar, what it has written down last is shown.
    """
    with _telling():
        from monitoring.settings import read_settings

        given: dict[str, Any] = dict(context.obj or {})
        settings = read_settings(**(given | ({"state": state} if state is not None else {})))
        _begin_logging()
        text = _rendered(settings, tenant, most, json=json)
        if json:
            sys.stdout.write(text)
            return
        out.write_text(text, encoding="utf-8")
        typer.echo(f"wrote {out}")


def _rendered(settings: Any, tenant: str | None, most: int, *, json: bool) -> str:
    import msgspec

    from monitoring.errors import UnknownWatched
    from monitoring.web.static_report import render, worst

    with closing(_caught_up(settings)) as sidecar:
        fleet = sidecar.reports.fleet(tenant)
        if tenant is not None and not fleet.adapters:
            raise UnknownWatched(f"there is nothing of a tenant {tenant!r} in the log")
        if json:
            return msgspec.json.encode(fleet).decode() + "\n"
        adapters = (sidecar.reports.adapter(*one) for one in worst(fleet, most))
        return render(fleet, adapters, adapters_max=most)


def _caught_up(settings: Any) -> Any:
    """Return a sidecar that has read the log; or another's figures, where one is running."""
    from monitoring.errors import MonitorError, StateInUse
    from monitoring.ingest.progress import bar
    from monitoring.sidecar import EVENTS, FOLDER, Sidecar

    if not any((settings.state / name).is_dir() for name in (EVENTS, FOLDER)):
        raise MonitorError(f"there is no event log in {settings.state}; name another --state")
    try:
        sidecar = Sidecar(settings)
    except StateInUse:
        return Sidecar(settings, reading=True)
    try:
        with bar() as tell:
            sidecar.follower.catch_up(tell)
    except BaseException:
        sidecar.close()
        raise
    return sidecar


@contextmanager
def _telling() -> Iterator[None]:
    """Say in one line what goes wrong on purpose, and end with status 1."""
    from monitoring.errors import MonitorError

    try:
        yield
    except (MonitorError, OSError) as error:
        typer.echo(f"tenantry monitor: {error}", err=True)
        raise typer.Exit(1) from error


def _begin_logging() -> None:
    """Tell whoever asked for a report of warnings, in words."""
    logging.basicConfig(
        level=logging.WARNING, format="%(asctime)s %(levelname)s %(message)s", stream=sys.stderr
    )
