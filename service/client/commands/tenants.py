"""Tenants: list, create, show, set, delete, their keys, their usage, who changed what."""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any

import typer

from service.client.client import TIMEOUT_S, Client
from service.client.commands.audit import audit
from service.client.commands.keys import keys
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
from service.client.commands.rollout import emptying
from service.client.commands.screen import Screen, confirm, many
from service.client.documents import Tenant as TenantValue
from service.client.documents import Used
from service.client.errors import Conflict, NotFound

tenants = typer.Typer(help=__doc__, no_args_is_help=True)
tenants.add_typer(keys, name="keys")
tenants.command()(audit)

Class = Annotated[str | None, typer.Option("--class", help="Its class, a name of your own.")]
Weight = Annotated[float | None, typer.Option(help="Its share under load; 1 for everybody's.")]
Limit = Annotated[
    str | None, typer.Option(metavar="N|none", help="Requests a second; none: no own limit.")
]
TokenLimit = Annotated[
    str | None, typer.Option(metavar="N|none", help="Tokens a second; none: no own limit.")
]
Concurrency = Annotated[
    str | None, typer.Option(metavar="N|none", help="Requests at once; none: no own limit.")
]
LogText = Annotated[
    bool | None,
    typer.Option("--log-text/--no-log-text", help="Log the texts themselves, redacted."),
]
LogEmbedding = Annotated[
    bool | None, typer.Option("--log-embedding/--no-log-embedding", help="Log embeddings.")
]
LogSample = Annotated[
    float | None, typer.Option(min=0, max=1, help="Share of the predictions that is logged.")
]


@tenants.command("list")
def list_(
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """List the tenants that the key may see."""
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        found = client.tenants()
        if screen.json:
            screen.document({"tenants": many(found)})
            return
        screen.table(
            ("tenant", "class", ">weight", ">requests/s", ">tokens/s", ">at once", "since"),
            [
                (
                    one.name,
                    one.kind,
                    one.weight,
                    one.rates.requests_per_s,
                    one.rates.tokens_per_s,
                    one.rates.concurrent_requests,
                    one.created_at[:19],
                )
                for one in found
            ],
        )


@tenants.command()
def create(
    tenant: Tenant,
    class_: Class = None,
    weight: Weight = None,
    requests_per_s: Limit = None,
    tokens_per_s: TokenLimit = None,
    concurrent_requests: Concurrency = None,
    log_text: LogText = None,
    log_embedding: LogEmbedding = None,
    log_sample: LogSample = None,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """Make a tenant; what is not given takes its default."""
    rates = _rates(requests_per_s, tokens_per_s, concurrent_requests)
    log = {"text": log_text, "embedding": log_embedding, "sample": log_sample}
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        if _exists(client, tenant):
            raise Conflict(
                f"there is a tenant {tenant} already",
                advice=f"`tenantry tenants set {tenant}` changes it",
            )
        settings = _changed({}, class_, weight, rates, log)
        try:
            made = client.put_tenant(tenant, settings).tenant
        except NotFound as error:  # so is a tenant's key told of every tenant but its own
            raise error.with_advice("the operator alone makes tenants: use an admin key") from error
        _show(screen, made)


@tenants.command("set")
def set_(
    tenant: Tenant,
    class_: Class = None,
    weight: Weight = None,
    requests_per_s: Limit = None,
    tokens_per_s: TokenLimit = None,
    concurrent_requests: Concurrency = None,
    log_text: LogText = None,
    log_embedding: LogEmbedding = None,
    log_sample: LogSample = None,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """Change a tenant's settings; what is not given stays as it is."""
    rates = _rates(requests_per_s, tokens_per_s, concurrent_requests)
    log = {"text": log_text, "embedding": log_embedding, "sample": log_sample}
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        before = client.tenant(tenant).settings()
        settings = _changed(before, class_, weight, rates, log)
        _show(screen, client.put_tenant(tenant, settings).tenant)


@tenants.command()
def show(
    tenant: Tenant,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """Show a tenant's settings."""
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        _show(screen, client.tenant(tenant))


@tenants.command()
def delete(
    tenant: Tenant,
    yes: Yes = False,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """Delete a tenant with its adapters and keys; refused while one of them answers."""
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        client.tenant(tenant)  # who mistyped the name is told so, not asked
        confirm(f"Delete the tenant {tenant} with everything that it has, for good?", yes=yes)
        try:
            client.delete_tenant(tenant)
        except Conflict as error:
            raise error.with_advice(emptying(f"{tenant}.ADAPTER")) from error
        if screen.json:
            screen.document({"deleted": {"tenant": tenant}})
        else:
            screen.line(f"deleted {tenant}")


@tenants.command()
def usage(
    tenant: Tenant,
    since: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The first day, in UTC; else 30 days before."),
    ] = None,
    until: Annotated[
        datetime | None,
        typer.Option(formats=["%Y-%m-%d"], help="The last day, in UTC; else today."),
    ] = None,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """Show what a tenant used, by day and in all."""
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        found = client.usage(tenant, since and since.date(), until and until.date())
        if screen.json:
            screen.document(found.document)
            return
        screen.table(
            ("day", ">requests", ">texts", ">tokens", ">compute s", ">refused (429)"),
            [
                *(_usage_row(day.isoformat(), used) for day, used in found.days),
                _usage_row("in all", found.total),
            ],
        )


def _usage_row(name: str, used: Used) -> tuple[object, ...]:
    seconds = round(used.compute_s, 3)
    return (name, used.requests, used.texts, used.tokens, seconds, used.limited)


def _exists(client: Client, tenant: str) -> bool:
    try:
        client.tenant(tenant)
    except NotFound:
        return False
    return True


def _rates(
    requests_per_s: str | None, tokens_per_s: str | None, concurrent_requests: str | None
) -> dict[str, float | int | None]:
    """Return the limits that were named; None: no limit of its own any more."""
    given = {
        "requests_per_s": requests_per_s,
        "tokens_per_s": tokens_per_s,
        "concurrent_requests": concurrent_requests,
    }
    return {
        name: None if text == "none" else _limit(name, text)
        for name, text in given.items()
        if text is not None
    }


def _limit(name: str, text: str) -> float | int:
    try:
        return int(text) if name == "concurrent_requests" else float(text)
    except ValueError:
        option = "--" + name.replace("_", "-")
        raise typer.BadParameter(f"{option} is a number, or none; not {text!r}") from None


def _changed(
    before: dict[str, Any],
    class_: str | None,
    weight: float | None,
    rates: dict[str, float | int | None],
    log: Mapping[str, object],
) -> dict[str, object]:
    """Return settings with what was named changed."""
    settings = dict(before)
    if class_ is not None:
        settings["class"] = class_
    if weight is not None:
        settings["weight"] = weight
    if rates:
        settings["rates"] = {**before.get("rates", {}), **rates}
    named = {name: value for name, value in log.items() if value is not None}
    if named:
        settings["log"] = {**before.get("log", {}), **named}
    return settings


def _show(screen: Screen, tenant: TenantValue) -> None:
    if screen.json:
        screen.document(tenant.document)
        return
    screen.facts(
        {
            "tenant": tenant.name,
            "class": tenant.kind,
            "weight": tenant.weight,
            "requests a second": tenant.rates.requests_per_s,
            "tokens a second": tenant.rates.tokens_per_s,
            "requests at once": tenant.rates.concurrent_requests,
            "texts are logged": tenant.log.text,
            "embeddings are logged": tenant.log.embedding,
            "logged share": tenant.log.sample,
            "created": tenant.created_at[:19],
        }
    )
