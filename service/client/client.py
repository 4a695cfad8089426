"""The client, for code that waits: `Client`."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import httpx

from service.client import calls
from service.client.calls import Call, Input, Progress, Scores
from service.client.documents import (
    Adapter,
    AuditLine,
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
from service.client.exchange import (
    Body,
    FormBody,
    TimeOver,
    broken_of,
    checked_url,
    headers_of,
    is_here,
    request_of,
)
from service.client.metadata import metadata_of
from service.client.pace import Pace, RealPace
from service.client.package import packaged
from service.client.patience import Broken, Outcome, Patience, Wait, converse
from service.client.reading import Document
from service.client.reply import Reply

TIMEOUT_S = 60.0
UPLOAD_TIMEOUT_S = 900.0  # a gate measures the hold-out before it answers
RETRIES = 4

_T = TypeVar("_T")


class Client:
    """A Tenantry server, as its routes are; safe to use from several threads.

    `timeout_s` bounds each call as a whole, attempts and waits together; `retries` how often it is
    tried again (`service/client/patience.py` says when). Proxies and certificates come from the
    environment, as with `httpx`, except that a loopback address is never called by a proxy; give a
    `transport` to have it otherwise. Every method raises `TenantryClientError`
    (`service/client/errors.py`). Close it, or use it in a `with`.
    """

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        transport: httpx.BaseTransport | None = None,
        pace: Pace | None = None,
    ) -> None:
        self.url = checked_url(url)
        self._headers = headers_of(key)
        self._timeout_s = timeout_s
        self._retries = retries
        if transport is None and is_here(self.url):
            transport = httpx.HTTPTransport()
        self._http = httpx.Client(transport=transport, follow_redirects=False)
        self._pace = pace or RealPace()

    def __repr__(self) -> str:
        keyed = "with" if "authorization" in self._headers else "without"
        return f"<{type(self).__name__} of {self.url}, {keyed} a key>"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def predict(
        self,
        tenant: str,
        adapter: str,
        inputs: Sequence[Input],
        version: int | None = None,
        *,
        scores: Scores = "all",
        embedding: bool = False,
        routing_key: str | None = None,
        group: str | None = None,
        timeout_s: float | None = None,
    ) -> Predicted:
        """Classify texts, pairs of texts, or images, with the live version or the one of a number.

        The server is told how long the answer may take, and drops the work after it.
        """
        call = calls.predict(
            tenant,
            adapter,
            inputs,
            version,
            scores=scores,
            embedding=embedding,
            routing_key=routing_key,
            group=group,
        )
        return self._do(call, timeout_s)

    def feedback(self, labels: Iterable[Label]) -> Feedback:
        """Tell what predictions should have been, up to 10,000; of each the last label counts."""
        return self._do(calls.feedback(labels))

    def tenants(self) -> tuple[Tenant, ...]:
        """List the tenants that the key may see."""
        return self._do(calls.tenants())

    def tenant(self, name: str) -> Tenant:
        """Show a tenant."""
        return self._do(calls.tenant(name))

    def put_tenant(self, name: str, settings: Mapping[str, object] | None = None) -> PutTenant:
        """Make a tenant, or give it other settings; what is left out takes its default."""
        return self._do(calls.put_tenant(name, settings or {}))

    def delete_tenant(self, name: str) -> None:
        """Delete a tenant and its adapters, of which tombstones stay."""
        self._do(calls.delete_tenant(name))

    def create_key(self, tenant: str, scopes: Iterable[str]) -> NewKey:
        """Make a key with some of predict, publish and admin; its secret is shown this once."""
        return self._do(calls.create_key(tenant, scopes))

    def keys(self, tenant: str) -> tuple[Key, ...]:
        """List a tenant's keys, without their secrets."""
        return self._do(calls.keys(tenant))

    def revoke_key(self, tenant: str, key_id: str) -> None:
        """Revoke a key, at once."""
        self._do(calls.revoke_key(tenant, key_id))

    def adapters(self, tenant: str) -> tuple[Adapter, ...]:
        """List a tenant's adapters."""
        return self._do(calls.adapters(tenant))

    def adapter(self, tenant: str, adapter: str) -> Adapter:
        """Show an adapter."""
        return self._do(calls.adapter(tenant, adapter))

    def versions(self, tenant: str, adapter: str) -> tuple[Version, ...]:
        """List an adapter's versions, oldest first."""
        return self._do(calls.versions(tenant, adapter))

    def version(self, tenant: str, adapter: str, number: int) -> Version:
        """Show a version."""
        return self._do(calls.version(tenant, adapter, number))

    def report(self, tenant: str, adapter: str, number: int) -> Document:
        """Show what an upload was found to be."""
        return self._do(calls.report(tenant, adapter, number))

    def card(self, tenant: str, adapter: str, number: int) -> str:
        """Show a version's model card, in Markdown."""
        return self._do(calls.card(tenant, adapter, number))

    def upload(
        self,
        tenant: str,
        adapter: str,
        package: Path | bytes | None,
        metadata: Mapping[str, object] | None = None,
        *,
        progress: Progress | None = None,
        timeout_s: float = UPLOAD_TIMEOUT_S,
    ) -> Uploaded:
        """Upload a version: a folder of `save_pretrained`, an archive, or an archive's bytes.

        None, with `{"dedicated": True}` as metadata, publishes a dedicated bundle's own classifier.
        Without `metadata` it is gathered from what lies in the folder. `progress` is called with
        the bytes that were sent and those there are, from the beginning with each attempt.
        The server's verdict is in `version.state`: a rejected version is an answer, no error.
        """
        if metadata is None:
            metadata = metadata_of(package if isinstance(package, Path) else None)
        with packaged(package, dedicated=metadata.get("dedicated") is True) as archive:
            return self._do(calls.upload(tenant, adapter, archive, metadata, progress), timeout_s)

    def rollout(self, tenant: str, adapter: str) -> Rollout:
        """Show which versions answer."""
        return self._do(calls.rollout(tenant, adapter))

    def set_rollout(
        self,
        tenant: str,
        adapter: str,
        live: int | None,
        *,
        canary: tuple[int, float] | None = None,
        shadow: Sequence[int] = (),
        force: str | None = None,
        if_match: int | None = None,
    ) -> Rollout:
        """Say which versions answer; what is left out answers nothing from now on.

        `canary` is a version and its percent, `force` the reason for one that was rejected.
        With `if_match` the change is made only where the rollout is still at that revision, else
        `Changed`.
        """
        call = calls.set_rollout(
            tenant, adapter, live, canary=canary, shadow=shadow, force=force, if_match=if_match
        )
        return self._do(call)

    def rollback(self, tenant: str, adapter: str, if_match: int | None = None) -> Rollout:
        """Return to the rollout before."""
        return self._do(calls.rollback(tenant, adapter, if_match))

    def delete_version(self, tenant: str, adapter: str, number: int) -> None:
        """Delete a version, of which a tombstone stays."""
        self._do(calls.delete_version(tenant, adapter, number))

    def delete_adapter(self, tenant: str, adapter: str) -> None:
        """Delete an adapter with all its versions, of which tombstones stay."""
        self._do(calls.delete_adapter(tenant, adapter))

    def usage(self, tenant: str, since: date | None = None, until: date | None = None) -> Usage:
        """Show what a tenant used, in all and by day; without days, the last 31."""
        return self._do(calls.usage(tenant, since, until))

    def audit(
        self, tenant: str | None = None, since: datetime | None = None
    ) -> Iterator[AuditLine]:
        """Give every line of the audit trail, oldest first, page by page."""
        cursor: int | None = None
        while True:
            page = self._do(calls.audit(tenant, since, cursor))
            yield from page.lines
            cursor = page.cursor
            if cursor is None:
                return

    def backbone(self) -> Backbone:
        """Show which bundle the server serves."""
        return self._do(calls.backbone())

    def ready(self) -> Ready:
        """Ask whether requests are welcome."""
        return self._do(calls.ready())

    def _do(self, call: Call[_T], timeout_s: float | None = None) -> _T:
        """Carry a call out, step by step."""
        given_s = self._timeout_s if timeout_s is None else timeout_s
        patience = Patience(given_s, self._retries)
        conversation = converse(call, self.url, patience, self._pace.now, self._pace.draw)
        outcome: Outcome = None
        while True:
            try:
                step = conversation.send(outcome)
            except StopIteration as ended:
                value: _T = ended.value
                return value
            if isinstance(step, Wait):
                self._pace.wait(step.seconds)
                outcome = None
            else:
                outcome = self._attempt(call, step.left_s)

    def _attempt(self, call: Call[Any], left_s: float) -> Reply | Broken:
        end = self._pace.now() + left_s

        def is_over() -> bool:
            return self._pace.now() >= end

        form = None if call.form is None else FormBody(call.form, is_over)
        request = request_of(
            call, self.url, self._headers, left_s, form or call.body, form.headers if form else {}
        )
        try:
            response = self._http.send(request, stream=True)
            try:
                body = Body(response)
                for piece in response.iter_bytes():
                    body.add(piece)
                    if is_over():
                        raise TimeOver
            finally:
                response.close()
        except (httpx.TransportError, TimeOver) as error:
            return broken_of(error)
        return body.reply()
