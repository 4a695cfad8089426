"""Every request that the client can make, as a value: what is sent, and how the answer is read.

Nothing here knows of connections, time or repetition; `Client` and `AsyncClient` carry calls out.
"""

import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any, Generic, Literal, TypeVar
from urllib.parse import quote

from service.client import parsing
from service.client.archive import Archive
from service.client.documents import (
    Adapter,
    AuditPage,
    Backbone,
    Feedback,
    Key,
    Label,
    NewKey,
    Predicted,
    PutTenant,
    Ready,
    Rollout,
    Tenant,
    Uploaded,
    Usage,
    Version,
)
from service.client.errors import InvalidCall
from service.client.images import Image
from service.client.reading import Document
from service.client.reply import Reply

_T = TypeVar("_T")

Input = str | tuple[str, str] | Image  # a text, or a text and its pair, or an image
Scores = Literal["all", "top"]
Progress = Callable[[int, int], object]  # bytes sent, bytes in all

_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Form:
    """The parts of an upload."""

    package: Archive
    metadata: bytes
    progress: Progress | None = None


@dataclass(frozen=True, slots=True)
class Call(Generic[_T]):
    """One request."""

    method: str
    path: str
    read: Callable[[Reply], _T]
    query: Mapping[str, str] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    body: bytes | None = None  # JSON
    form: Form | None = None
    repeatable: bool = False  # doing it twice is as doing it once
    gone_is_done: bool = False  # 404 at the second time means that the first one worked
    tells_deadline: bool = False  # the server drops the work when nobody waits any more
    taken: tuple[int, ...] = ()  # statuses beside 2xx that are answers and no errors

    def __str__(self) -> str:
        return f"{self.method} {self.path}"


def split_model(text: str) -> tuple[str, str]:
    """Return tenant and adapter of `tenant.adapter`."""
    tenant, dot, adapter = text.partition(".")
    if not dot:
        raise InvalidCall(f"{text[:80]!r} is no adapter's name", advice="write TENANT.ADAPTER")
    return _name(tenant, "a tenant"), _name(adapter, "an adapter")


def _input(item: Input) -> object:
    if isinstance(item, Image):
        return item.url()
    return item if isinstance(item, str) else {"text": item[0], "pair": item[1]}


def predict(
    tenant: str,
    adapter: str,
    inputs: Sequence[Input],
    version: int | None = None,
    *,
    scores: Scores = "all",
    embedding: bool = False,
    routing_key: str | None = None,
    group: str | None = None,
) -> Call[Predicted]:
    """Classify texts or images."""
    if isinstance(inputs, str):
        raise InvalidCall("inputs is one text", advice="give a list, of one text if need be")
    body: dict[str, object] = {
        "inputs": [_input(item) for item in inputs],
        "scores": scores,
        "embedding": embedding,
    }
    body |= _given(routing_key=routing_key, group=group)
    path = _adapter(tenant, adapter) + ("" if version is None else f"/versions/{_number(version)}")
    return Call(
        "POST",
        f"{path}/predict",
        lambda reply: parsing.predicted(reply.json()),
        body=_json(body),
        repeatable=True,
        tells_deadline=True,
    )


def feedback(labels: Iterable[Label]) -> Call[Feedback]:
    """Tell what predictions should have been; the last label of a prediction counts."""
    sent = [{"id": one.id, "label": one.label, **_given(group=one.group)} for one in labels]
    return Call(
        "POST",
        "/v1/feedback",
        lambda reply: parsing.feedback(reply.json()),
        body=_json({"labels": sent}),
        repeatable=True,
        tells_deadline=True,
    )


def tenants() -> Call[tuple[Tenant, ...]]:
    """List the tenants that the key may see."""
    return _get("/v1/tenants", lambda reply: parsing.tenants(reply.json()))


def tenant(name: str) -> Call[Tenant]:
    """Show a tenant."""
    return _get(_tenant(name), lambda reply: parsing.tenant(reply.json()))


def put_tenant(name: str, settings: Mapping[str, object]) -> Call[PutTenant]:
    """Make a tenant, or give it other settings; what is left out takes its default."""
    return Call(
        "PUT",
        _tenant(name),
        lambda reply: PutTenant(parsing.tenant(reply.json()), reply.status == 201),
        body=_json(settings),
        repeatable=True,
    )


def delete_tenant(name: str) -> Call[None]:
    """Delete a tenant and its adapters."""
    return _delete(_tenant(name))


def create_key(tenant: str, scopes: Iterable[str]) -> Call[NewKey]:
    """Make a key; its secret is shown this once."""
    if isinstance(scopes, str):
        raise InvalidCall("scopes is one text", advice='give a list, as ["predict"]')
    return Call(
        "POST",
        f"{_tenant(tenant)}/keys",
        lambda reply: parsing.new_key(reply.json()),
        body=_json({"scopes": list(scopes)}),
    )


def keys(tenant: str) -> Call[tuple[Key, ...]]:
    """List a tenant's keys, without their secrets."""
    return _get(f"{_tenant(tenant)}/keys", lambda reply: parsing.keys(reply.json()))


def revoke_key(tenant: str, key_id: str) -> Call[None]:
    """Revoke a key, at once."""
    if not key_id:
        raise InvalidCall("no id of a key was given", advice="`keys` lists them")
    return _delete(f"{_tenant(tenant)}/keys/{quote(key_id, safe='')}")


def adapters(tenant: str) -> Call[tuple[Adapter, ...]]:
    """List a tenant's adapters."""
    return _get(f"{_tenant(tenant)}/adapters", lambda reply: parsing.adapters(reply.json()))


def adapter(tenant: str, adapter: str) -> Call[Adapter]:
    """Show an adapter."""
    return _get(_adapter(tenant, adapter), lambda reply: parsing.adapter(reply.json()))


def versions(tenant: str, adapter: str) -> Call[tuple[Version, ...]]:
    """List an adapter's versions, oldest first."""
    path = f"{_adapter(tenant, adapter)}/versions"
    return _get(path, lambda reply: parsing.versions(reply.json()))


def version(tenant: str, adapter: str, number: int) -> Call[Version]:
    """Show a version."""
    return _get(_version(tenant, adapter, number), lambda reply: parsing.version(reply.json()))


def report(tenant: str, adapter: str, number: int) -> Call[Document]:
    """Show what an upload was found to be."""
    return _get(_version(tenant, adapter, number) + "/report", Reply.object)


def card(tenant: str, adapter: str, number: int) -> Call[str]:
    """Show a version's model card, in Markdown."""
    return _get(_version(tenant, adapter, number) + "/card", Reply.text)


def upload(
    tenant: str,
    adapter: str,
    package: Archive,
    metadata: Mapping[str, object],
    progress: Progress | None = None,
) -> Call[Uploaded]:
    """Upload a version; the same content again is the same version."""
    return Call(
        "POST",
        f"{_adapter(tenant, adapter)}/versions",
        lambda reply: Uploaded(parsing.version(reply.json()), reply.status == 201),
        form=Form(package, _json(metadata), progress),
        repeatable=True,
    )


def rollout(tenant: str, adapter: str) -> Call[Rollout]:
    """Show which versions answer."""
    path = f"{_adapter(tenant, adapter)}/rollout"
    return _get(path, lambda reply: parsing.rollout(reply.json()))


def set_rollout(
    tenant: str,
    adapter: str,
    live: int | None,
    *,
    canary: tuple[int, float] | None = None,
    shadow: Sequence[int] = (),
    force: str | None = None,
    if_match: int | None = None,
) -> Call[Rollout]:
    """Say which versions answer; `force` is the reason for a version that was rejected."""
    body: dict[str, object] = {"live": live}
    if canary is not None:
        body["canary"] = {"version": canary[0], "percent": canary[1]}
    if shadow:
        body["shadow"] = list(shadow)
    if force is not None:
        body["force"] = {"reason": force}
    return Call(
        "PUT",
        f"{_adapter(tenant, adapter)}/rollout",
        lambda reply: parsing.rollout(reply.json()),
        headers=_if_match(if_match),
        body=_json(body),
        # The second time it would find the revision changed, by the first.
        repeatable=if_match is None,
    )


def rollback(tenant: str, adapter: str, if_match: int | None = None) -> Call[Rollout]:
    """Return to the rollout before."""
    return Call(
        "POST",
        f"{_adapter(tenant, adapter)}/rollback",
        lambda reply: parsing.rollout(reply.json()),
        headers=_if_match(if_match),
    )


def delete_version(tenant: str, adapter: str, number: int) -> Call[None]:
    """Delete a version."""
    return _delete(_version(tenant, adapter, number))


def delete_adapter(tenant: str, adapter: str) -> Call[None]:
    """Delete an adapter with all its versions."""
    return _delete(_adapter(tenant, adapter))


def usage(tenant: str, since: date | None = None, until: date | None = None) -> Call[Usage]:
    """Show what a tenant used, by day."""
    query = {
        name: day.isoformat()
        for name, day in (("since", since), ("until", until))
        if day is not None
    }
    path = f"{_tenant(tenant)}/usage"
    return _get(path, lambda reply: parsing.usage(reply.json()), query)


def audit(
    tenant: str | None = None, since: datetime | None = None, cursor: int | None = None
) -> Call[AuditPage]:
    """Show a page of the audit trail."""
    query = {}
    if tenant is not None:
        query["tenant"] = _name(tenant, "a tenant")
    if since is not None:
        query["since"] = since.isoformat()
    if cursor is not None:
        query["cursor"] = str(cursor)
    return _get("/v1/audit", lambda reply: parsing.audit_page(reply.json()), query)


def backbone() -> Call[Backbone]:
    """Show which bundle the server serves."""
    return _get("/v1/models", lambda reply: parsing.backbone(reply.json()))


def ready() -> Call[Ready]:
    """Ask whether requests are welcome; a server that says no has answered."""
    return Call(
        "GET",
        "/readyz",
        lambda reply: parsing.ready(reply.json()),
        repeatable=True,
        taken=(503,),
    )


def _get(
    path: str, read: Callable[[Reply], _T], query: Mapping[str, str] | None = None
) -> Call[_T]:
    return Call("GET", path, read, query=query or {}, repeatable=True)


def _delete(path: str) -> Call[None]:
    return Call("DELETE", path, lambda _: None, repeatable=True, gone_is_done=True)


def _tenant(tenant: str) -> str:
    return f"/v1/tenants/{_name(tenant, 'a tenant')}"


def _adapter(tenant: str, adapter: str) -> str:
    return f"{_tenant(tenant)}/adapters/{_name(adapter, 'an adapter')}"


def _version(tenant: str, adapter: str, number: int) -> str:
    return f"{_adapter(tenant, adapter)}/versions/{_number(number)}"


def _name(name: str, what: str) -> str:
    if not _NAME.fullmatch(name):
        raise InvalidCall(
            f"{name[:80]!r} cannot be the name of {what}",
            advice="1 to 63 of a-z, 0-9 and -, the first of them no -",
        )
    return name


def _number(version: int) -> int:
    if version < 1:
        raise InvalidCall(f"{version} is no version", advice="versions are counted from 1")
    return version


def _if_match(revision: int | None) -> dict[str, str]:
    return {} if revision is None else {"If-Match": f'"{revision}"'}


def _given(**fields: object) -> dict[str, object]:
    return {name: value for name, value in fields.items() if value is not None}


def _json(document: Any) -> bytes:
    try:
        return json.dumps(document, ensure_ascii=False, allow_nan=False).encode()
    except (TypeError, ValueError) as error:  # a surrogate alone is a UnicodeEncodeError
        raise InvalidCall(f"this cannot be sent as JSON: {error}") from error
