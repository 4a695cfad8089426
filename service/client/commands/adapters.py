"""Adapters of tenants: push, list, show, roll out, roll back, delete."""

from pathlib import Path
from typing import Annotated

import typer

from service.client.calls import split_model
from service.client.client import TIMEOUT_S, UPLOAD_TIMEOUT_S
from service.client.commands.options import (
    URL,
    IfMatch,
    Json,
    Key,
    KeyFile,
    Model,
    Tenant,
    Timeout,
    Url,
    Yes,
    connected,
)
from service.client.commands.push import Given, backbone_of, push_version
from service.client.commands.rollout import change, changing, emptying, show_rollout
from service.client.commands.screen import confirm, many
from service.client.commands.version import show_version
from service.client.errors import Conflict, InvalidCall
from service.client.metadata import read_labels

adapters = typer.Typer(help=__doc__, no_args_is_help=True)


@adapters.command()
def push(
    model: Model,
    source: Annotated[
        Path | None,
        typer.Argument(exists=True, help="Folder of `save_pretrained`, or a zip or tar.gz of it."),
    ] = None,
    dedicated: Annotated[
        bool,
        typer.Option(
            "--dedicated",
            help="Publish the own classifier of a dedicated bundle; SOURCE may then be left out, or"
            " hold holdout.jsonl and README.md.",
        ),
    ] = False,
    labels: Annotated[
        Path | None,
        typer.Option(help="File with a label a line, in the order of the classes."),
    ] = None,
    licence: Annotated[
        str | None, typer.Option("--license", help="SPDX identifier, or a name.")
    ] = None,
    owner: Annotated[str | None, typer.Option(help="Who answers for the adapter.")] = None,
    dataset: Annotated[str | None, typer.Option(help="What it was trained on.")] = None,
    collected_until: Annotated[
        str | None, typer.Option(help="When the newest row of that was collected: 2025-03-31.")
    ] = None,
    calibrated: Annotated[
        bool, typer.Option("--calibrated", help="Fit a temperature on the hold-out.")
    ] = False,
    temperature: Annotated[
        float | None, typer.Option(help="One that was fitted already; calibrates, too.")
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(help="Bundle that it was trained for. Default: what the service serves."),
    ] = None,
    live: Annotated[
        bool, typer.Option("--live", help="Let it answer at once, unless it was rejected.")
    ] = False,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = UPLOAD_TIMEOUT_S,
    json: Json = False,
) -> None:
    """Upload a version: the service checks and measures it, and gives it a number.

    Labels and the rest of the metadata come from the options, then from `metadata.json` in the
    folder; labels also from `id2label` of a model's `config.json`. The same content again is the
    same version. Exits with 1 where the version was rejected.
    """
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        tenant, adapter = split_model(model)
        given = Given(
            labels=None if labels is None else read_labels(labels),
            license=licence,
            owner=owner,
            dataset=dataset,
            collected_until=collected_until,
            calibrated=calibrated,
            temperature=temperature,
            dedicated=dedicated,
        )
        if source is None and not dedicated:
            raise InvalidCall("name the folder that `save_pretrained` wrote, or say --dedicated")
        metadata = given.metadata(source)
        if "backbone_digest" not in metadata or bundle is not None:
            metadata |= backbone_of(client, bundle, screen)
        push_version(client, screen, (tenant, adapter), source, metadata, timeout, live=live)


@adapters.command("list")
def list_(
    tenant: Tenant,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """List a tenant's adapters, and what answers for each."""
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        found = client.adapters(tenant)
        if screen.json:
            screen.document({"adapters": many(found)})
            return
        screen.table(
            ("adapter", ">live", ">canary", ">shadow", ">versions", ">latest", "since"),
            [
                (
                    one.adapter,
                    one.live,
                    one.canary and f"{one.canary.version} ({one.canary.percent:g} %)",
                    one.shadows,
                    one.versions,
                    one.latest,
                    one.created_at[:19],
                )
                for one in found
            ],
        )


@adapters.command()
def show(
    model: Model,
    version: Annotated[
        int | None, typer.Option(min=1, help="Show this version, and its report.")
    ] = None,
    card: Annotated[bool, typer.Option("--card", help="Its model card instead.")] = False,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """Show an adapter's rollout and versions, or one version with its report."""
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        tenant, adapter = split_model(model)
        if card:
            if version is None:
                raise typer.BadParameter("a card is of one version: name it with --version")
            text = client.card(tenant, adapter, version)
            screen.document({"card": text}) if screen.json else screen.line(text)
            return
        if version is not None:
            show_version(screen, client.version(tenant, adapter, version))
            return
        rollout, versions = client.rollout(tenant, adapter), client.versions(tenant, adapter)
        if screen.json:
            screen.document({"rollout": rollout.document, "versions": many(versions)})
            return
        show_rollout(screen, rollout)
        screen.table(
            (">version", "state", ">labels", ">bytes", "created", "digest"),
            [
                (
                    one.version,
                    one.state,
                    len(one.labels),
                    one.bytes,
                    one.created_at[:19],
                    one.digest,
                )
                for one in versions
            ],
        )


@adapters.command()
def rollout(
    model: Model,
    live: Annotated[
        str | None, typer.Option(metavar="N|none", help="The version that answers.")
    ] = None,
    canary: Annotated[
        str | None,
        typer.Option(metavar="N:PERCENT|none", help="One that answers a share of the requests."),
    ] = None,
    shadow: Annotated[
        list[str] | None,
        typer.Option(metavar="N|none", help="One that answers for the log alone; may be repeated."),
    ] = None,
    force: Annotated[
        str | None,
        typer.Option(metavar="REASON", help="Why a rejected version may answer; is audited."),
    ] = None,
    if_match: IfMatch = None,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """Say which versions answer; without an option, show which do.

    What is not named stays as it is, except that a version which becomes live is no canary and no
    shadow any more. Nobody's change in between is overwritten.
    """
    wanted = change(live, canary, shadow, force)
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        tenant, adapter = split_model(model)
        before = client.rollout(tenant, adapter)
        if wanted is None:
            show_rollout(screen, before)
            return
        with changing(client, screen, tenant, adapter):
            after = wanted.put(client, tenant, adapter, before, if_match)
        show_rollout(screen, after, before)


@adapters.command()
def rollback(
    model: Model,
    if_match: IfMatch = None,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """Return to the rollout before the current one, as a whole."""
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        tenant, adapter = split_model(model)
        before = client.rollout(tenant, adapter)
        with changing(client, screen, tenant, adapter):
            revision = before.revision if if_match is None else if_match
            after = client.rollback(tenant, adapter, revision)
        show_rollout(screen, after, before)


@adapters.command()
def delete(
    model: Model,
    version: Annotated[
        int | None, typer.Option(min=1, help="This version alone. Default: all of them.")
    ] = None,
    yes: Yes = False,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """Delete a version, or an adapter with all of them; refused while one is in the rollout."""
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        tenant, adapter = split_model(model)
        what = f"{tenant}.{adapter}" if version is None else f"version {version} of {model}"
        confirm(f"Delete {what} for good?", yes=yes)
        try:
            if version is None:
                client.delete_adapter(tenant, adapter)
            else:
                client.delete_version(tenant, adapter, version)
        except Conflict as error:
            raise error.with_advice(emptying(model)) from error
        if screen.json:
            screen.document({"deleted": {"tenant": tenant, "adapter": adapter, "version": version}})
        else:
            screen.line(f"deleted {what}")
