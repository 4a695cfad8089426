"""The client, for event loops: `AsyncClient`, with the same methods as `Client`."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from datetime import date, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

import anyio
import anyio.to_thread
import httpx

from service.client import calls
from service.client.calls import Call, Input, Progress, Scores
from service.client.client import RETRIES, TIMEOUT_S, UPLOAD_TIMEOUT_S
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
from service.client.pace import AsyncPace, RealAsyncPace
from service.client.package import packaged
from service.client.patience import Broken, Outcome, Patience, Wait, converse
from service.client.reading import Document
from service.client.reply import Reply

_T = TypeVar("_T")


class AsyncClient:
    """A Tenantry server, as its routes are; what `Client` says of itself holds here too."""

    def __init__(
        self,
        url: str,
        key: str | None = None,
        *,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        transport: httpx.AsyncBaseTransport | None = None,
        pace: AsyncPace | None = None,
    ) -> None:
        self.url = checked_url(url)
        self._headers = headers_of(key)
        self._timeout_s = timeout_s
        self._retries = retries
        if transport is None and is_here(self.url):
            transport = httpx.AsyncHTTPTransport()
        self._http = httpx.AsyncClient(transport=transport, follow_redirects=False)
        self._pace = pace or RealAsyncPace()

    def __repr__(self) -> str:
        keyed = "with" if "authorization" in self._headers else "without"
        return f"<{type(self).__name__} of {self.url}, {keyed} a key>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def predict(
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
        return await self._do(call, timeout_s)

    async def feedback(self, labels: Iterable[Label]) -> Feedback:
        """Tell what predictions should have been, up to 10,000; of each the last label counts."""
        return await self._do(calls.feedback(labels))

    async def tenants(self) -> tuple[Tenant, ...]:
        """List the tenants that the key may see."""
        return await self._do(calls.tenants())

    async def tenant(self, name: str) -> Tenant:
        """Show a tenant."""
        return await self._do(calls.tenant(name))

    async def put_tenant(
        self, name: str, settings: Mapping[str, object] | None = None
    ) -> PutTenant:
        """Make a tenant, or give it other settings; what is left out takes its default."""
        return await self._do(calls.put_tenant(name, settings or {}))

    async def delete_tenant(self, name: str) -> None:
        """Delete a tenant and its adapters, of which tombstones stay."""
        await self._do(calls.delete_tenant(name))

    async def create_key(self, tenant: str, scopes: Iterable[str]) -> NewKey:
        """Make a key with some of predict, publish and admin; its secret is shown this once."""
        return await self._do(calls.create_key(tenant, scopes))

    async def keys(self, tenant: str) -> tuple[Key, ...]:
        """List a tenant's keys, without their secrets."""
        return await self._do(calls.keys(tenant))

    async def revoke_key(self, tenant: str, key_id: str) -> None:
        """Revoke a key, at once."""
        await self._do(calls.revoke_key(tenant, key_id))

    async def adapters(self, tenant: str) -> tuple[Adapter, ...]:
        """List a tenant's adapters."""
        return await self._do(calls.adapters(tenant))

    async def adapter(self, tenant: str, adapter: str) -> Adapter:
        """Show an adapter."""
        return await self._do(calls.adapter(tenant, adapter))

    async def versions(self, tenant: str, adapter: str) -> tuple[Version, ...]:
        """List an adapter's versions, oldest first."""
        return await self._do(calls.versions(tenant, adapter))

    async def version(self, tenant: str, adapter: str, number: int) -> Version:
        """Show a version."""
        return await self._do(calls.version(tenant, adapter, number))

    async def report(self, tenant: str, adapter: str, number: int) -> Document:
        """Show what an upload was found to be."""
        return await self._do(calls.report(tenant, adapter, number))

    async def card(self, tenant: str, adapter: str, number: int) -> str:
        """Show a version's model card, in Markdown."""
        return await self._do(calls.card(tenant, adapter, number))

    async def upload(
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
        to_thread = anyio.to_thread.run_sync
        if metadata is None:
            folder = package if isinstance(package, Path) else None
            metadata = await to_thread(metadata_of, folder)
        packing = packaged(package, dedicated=metadata.get("dedicated") is True)
        archive = await to_thread(packing.__enter__)
        try:
            call = calls.upload(tenant, adapter, archive, metadata, progress)
            return await self._do(call, timeout_s)
        finally:
            packing.__exit__(None, None, None)

    async def rollout(self, tenant: str, adapter: str) -> Rollout:
        """Show which versions answer."""
        return await self._do(calls.rollout(tenant, adapter))

    async def set_rollout(
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
        return await self._do(call)

    async def rollback(self, tenant: str, adapter: str, if_match: int | None = None) -> Rollout:
        """Return to the rollout before."""
        return await self._do(calls.rollback(tenant, adapter, if_match))

    async def delete_version(self, tenant: str, adapter: str, number: int) -> None:
        """Delete a version, of which a tombstone stays."""
        await self._do(calls.delete_version(tenant, adapter, number))

    async def delete_adapter(self, tenant: str, adapter: str) -> None:
        """Delete an adapter with all its versions, of which tombstones stay."""
        await self._do(calls.delete_adapter(tenant, adapter))

    async def usage(
        self, tenant: str, since: date | None = None, until: date | None = None
    ) -> Usage:
        """Show what a tenant used, in all and by day; without days, the last 31."""
        return await self._do(calls.usage(tenant, since, until))

    async def audit(
        self, tenant: str | None = None, since: datetime | None = None
    ) -> AsyncIterator[AuditLine]:
        """Give every line of the audit trail, oldest first, page by page."""
        cursor: int | None = None
        while True:
            page = await self._do(calls.audit(tenant, since, cursor))
            for line in page.lines:
                yield line
            cursor = page.cursor
            if cursor is None:
                return

    async def backbone(self) -> Backbone:
        """Show which bundle the server serves."""
        return await self._do(calls.backbone())

    async def ready(self) -> Ready:
        """Ask whether requests are welcome."""
        return await self._do(calls.ready())

    async def _do(self, call: Call[_T], timeout_s: float | None = None) -> _T:
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
                await self._pace.wait(step.seconds)
                outcome = None
            else:
                outcome = await self._attempt(call, step.left_s)

    async def _attempt(self, call: Call[Any], left_s: float) -> Reply | Broken:
        form = None if call.form is None else FormBody(call.form, lambda: False)
        content = call.body if form is None else form.pieces()
        request = request_of(
            call, self.url, self._headers, left_s, content, form.headers if form else {}
        )
        try:
            with anyio.fail_after(left_s):
                response = await self._http.send(request, stream=True)
                try:
                    body = Body(response)
                    async for piece in response.aiter_bytes():
                        body.add(piece)
                finally:
                    await response.aclose()
        except TimeoutError:
            return broken_of(TimeOver())
        except httpx.TransportError as error:
            return broken_of(error)
        return body.reply()
