"""What every command that calls a server takes, and the client that comes of it."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from service.client.client import Client
from service.client.commands.screen import Screen, telling
from service.client.errors import InvalidCall

URL = "http://127.0.0.1:8000"

Url = Annotated[str, typer.Option("--url", envvar="TENANTRY_URL", help="Address of the service.")]
Key = Annotated[
    str | None,
    typer.Option(
        "--key",
        envvar="TENANTRY_KEY",
        show_default=False,
        help="Key of a tenant or the operator; - asks for it. The variable is better: others on"
        " this machine can see a command line.",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option("--key-file", show_default=False, help="File with the key in its first line."),
]
Timeout = Annotated[
    float,
    typer.Option("--timeout", min=0.001, help="Seconds that a call may take, repetitions too."),
]
Json = Annotated[
    bool, typer.Option("--json", help="Print JSON for programs; errors too, on standard output.")
]
Model = Annotated[str, typer.Argument(metavar="TENANT.ADAPTER", help="The adapter's full name.")]
Tenant = Annotated[str, typer.Argument(metavar="TENANT", help="The tenant's name.")]
IfMatch = Annotated[
    int | None,
    typer.Option(
        "--if-match",
        min=0,
        show_default=False,
        help="Change nothing unless the rollout is at this revision.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask.")]


@contextmanager
def connected(
    url: str, key: str | None, key_file: Path | None, timeout_s: float, *, json: bool
) -> Iterator[tuple[Client, Screen]]:
    """Give a client and the screen; errors of the client become a line and an exit status."""
    screen = Screen(json=json)
    with telling(screen), Client(url, _key(key, key_file), timeout_s=timeout_s) as client:
        yield client, screen


def _key(key: str | None, key_file: Path | None) -> str | None:
    """Return the key; a file that was named goes before the environment."""
    if key_file is not None:
        return _first_key(key_file)
    if key == "-":
        if not sys.stdin.isatty():
            return sys.stdin.readline().strip()
        return str(typer.prompt("Key", hide_input=True, err=True))
    return key


def _first_key(path: Path) -> str:
    """Return the first key of a file; the service's own files of admin keys can be given too."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidCall(f"{path} cannot be read: {error}") from error
    keys = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    if not keys:
        raise InvalidCall(f"{path} holds no key")
    return keys[0]
