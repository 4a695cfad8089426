"""`tenantry serve` and `tenantry monitor` on one state directory, as an operator starts them."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from examples.gameday.programs import HOST, Program, free_port, running

COMMAND = (sys.executable, "-c", "from service.command import main; main()")


@contextmanager
def serving(
    bundle: Path,
    state: Path,
    log: Path,
    *,
    settings: Mapping[str, object] | None = None,
    port: int | None = None,
    prefix: Sequence[str] = (),
    command: Sequence[str] = COMMAND,
) -> Iterator[Program]:
    """Run the service around the block, from when it is ready; settings by their names.

    `prefix` is a command that runs it, `command` another one in its place.
    """
    port = port or free_port()
    options = ["--bundle", bundle, "--state", state, "--port", port, "--provider", "cpu"]
    words = [*prefix, *command, "serve", *map(str, options), "--threads", "1"]
    chosen = {"log_format": "json", **(settings or {})}
    with running("the service", f"http://{HOST}:{port}", words, log, _variables("", chosen)) as it:
        it.wait_until_ready("/readyz")
        yield it


@contextmanager
def monitoring(
    state: Path,
    log: Path,
    *,
    settings: Mapping[str, object] | None = None,
    port: int | None = None,
    prefix: Sequence[str] = (),
) -> Iterator[Program]:
    """Run the sidecar around the block, from when it is ready; settings by their names."""
    port = port or free_port()
    words = [*prefix, *COMMAND, "monitor", "--state", str(state), "--port", str(port)]
    variables = _variables("MONITOR_", settings or {})
    with running("the sidecar", f"http://{HOST}:{port}", words, log, variables) as it:
        it.wait_until_ready("/readyz")
        yield it


def _variables(prefix: str, settings: Mapping[str, object]) -> dict[str, str]:
    return {f"TENANTRY_{prefix}{name.upper()}": str(value) for name, value in settings.items()}
