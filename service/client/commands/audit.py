"""The audit trail for people: who changed what lately, a line a change."""

import re
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer

from service.client.client import TIMEOUT_S
from service.client.commands.options import URL, Json, Key, KeyFile, Timeout, Url, connected
from service.client.commands.screen import many, shown
from service.client.documents import AuditLine

_AGE = re.compile("([1-9][0-9]{0,4})([mhd])")
_UNITS = {"m": "minutes", "h": "hours", "d": "days"}
_CHARS_MAX = 120  # of one value; --json has the whole of it
_DIGEST_CHARS = 19


def audit(
    tenant: Annotated[
        str | None, typer.Option(metavar="TENANT", help="This tenant's lines alone.")
    ] = None,
    since: Annotated[
        str, typer.Option(metavar="AGE|TIME", help="How far back: 30m, 6h, 2d, or a time.")
    ] = "6h",
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """Show who changed what lately, the newest last; an operator sees all tenants."""
    moment = _moment(since)
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        lines = list(client.audit(tenant, moment))
        if screen.json:
            screen.document({"lines": many(lines)})
            return
        screen.table(
            ("at", "by", "action", "of", "what changed"),
            [(one.at[:19], one.actor, one.action, _of(one), _changed(one)) for one in lines],
        )


def _moment(text: str) -> datetime:
    """Return a time in UTC, which it is where it does not say otherwise."""
    age = _AGE.fullmatch(text)
    if age is not None:
        return datetime.now(UTC) - timedelta(**{_UNITS[age[2]]: int(age[1])})
    try:
        given = datetime.fromisoformat(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is neither an age, such as 6h, nor a time, such as 2025-03-31T09:30"
        ) from None
    return given.replace(tzinfo=UTC) if given.tzinfo is None else given.astimezone(UTC)


def _of(line: AuditLine) -> str:
    return ".".join(name for name in (line.tenant, line.adapter) if name is not None) or "-"


def _changed(line: AuditLine) -> str:
    """Return what differs between the states before and after."""
    before, after = (
        value if isinstance(value, dict) else {} for value in (line.before, line.after)
    )
    names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    if not before:
        return ", ".join(f"{name} {_short(after[name])}" for name in names) or "-"
    return ", ".join(
        f"{name} {_short(before.get(name))} -> {_short(after.get(name))}" for name in names
    )


def _short(value: Any) -> str:
    if isinstance(value, dict):
        text = " ".join(f"{name}={_short(one)}" for name, one in value.items())
    else:
        text = shown(value)
    most = _DIGEST_CHARS if text.startswith("sha256:") else _CHARS_MAX
    return text if len(text) <= most else f"{text[:most]}..."
