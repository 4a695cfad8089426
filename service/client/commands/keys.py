"""Keys of a tenant: list, create, revoke."""

from typing import Annotated

import typer

from service.client.client import TIMEOUT_S
from service.client.commands.options import (
    URL,
    Json,
    Key,
    KeyFile,
    Tenant,
    Timeout,
    Url,
    Yes,
    connected,
)
from service.client.commands.screen import confirm, many

keys = typer.Typer(help=__doc__, no_args_is_help=True)


@keys.command("list")
def list_(
    tenant: Tenant,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """List a tenant's keys by their ids; what opens is kept nowhere."""
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        found = client.keys(tenant)
        if screen.json:
            screen.document({"keys": many(found)})
            return
        screen.table(
            ("id", "scopes", "created", "by"),
            [(one.id, one.scopes, one.created_at[:19], one.actor) for one in found],
        )


@keys.command()
def create(
    tenant: Tenant,
    scope: Annotated[
        list[str],
        typer.Option(metavar="SCOPE", help="predict, publish or admin; may be repeated."),
    ],
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """Make a key of a tenant, and show it this once.

    The key alone goes to standard output, so that it can go straight into a file or a vault.
    """
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        made = client.create_key(tenant, scope)
        if screen.json:
            screen.document(made.document)
            return
        screen.note(f"key {made.id} of {tenant}, for {', '.join(made.scopes)}; shown this once:")
        screen.line(made.key)


@keys.command()
def revoke(
    tenant: Tenant,
    key_id: Annotated[str, typer.Argument(metavar="ID", help="The key's id, as `list` shows it.")],
    yes: Yes = False,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """Revoke a key: it opens nothing from now on, on every process within two seconds."""
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        confirm(f"Revoke the key {key_id} of {tenant} for good?", yes=yes)
        client.revoke_key(tenant, key_id)
        if screen.json:
            screen.document({"revoked": {"tenant": tenant, "id": key_id}})
        else:
            screen.line(f"revoked {key_id}")
