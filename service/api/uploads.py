"""The upload route: from the form on the wire to a numbered version, or all of its problems."""

import asyncio
import tempfile
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response

from service.api.adapters import TAG, VERSION_EXAMPLE, VERSIONS_PATH, version_document
from service.api.answers import json_response
from service.api.bodies import Bodies
from service.api.call import ClientLeft, call_of
from service.api.names import AdapterName, TenantName
from service.api.openapi import REFERENCE, example_of, refusals
from service.api.ports import Batcher, Tokeniser
from service.api.problems import problem_of
from service.api.schemas import VersionDocument
from service.api.upload_form import UploadForm
from service.engine.bundle import Bundle
from service.engine.errors import InvalidAdapter, TenantryError
from service.errors import QueueFull, StoreFull, UnknownTenant
from service.metrics import Metrics, UploadOutcome
from service.registry.database import refusing_full
from service.registry.records import Version, check_name
from service.registry.registry import Registry
from service.settings import Settings
from service.uploads.limits import UploadLimits
from service.uploads.metadata import Metadata
from service.uploads.package import Package, open_package

# What a probe runs: an empty text, a word, a sentence, other scripts, and one that is cut.
PROBE_TEXTS = (
    "",
    "refund",
    "I would like to know where my order is, please.",
    "¿Dónde está mi pedido? 注文はどこですか。 Где мой заказ? 🙂",
    "again and " * 1000,
)


class Uploads:
    """The upload route."""

    def __init__(
        self,
        registry: Registry,
        batcher: Batcher,
        tokeniser: Tokeniser,
        bundle: Bundle,
        bodies: Bodies,
        metrics: Metrics,
        settings: Settings,
    ) -> None:
        self._registry = registry
        self._batcher = batcher
        self._probe = tokeniser.encode(PROBE_TEXTS)
        self._bundle = bundle
        self._bodies = bodies
        self._metrics = metrics
        self._max_upload_bytes = settings.max_upload_bytes
        self._limits = UploadLimits(
            archive_bytes_max=settings.max_upload_bytes,
            unpacked_bytes_max=settings.max_unpacked_bytes,
        )
        self._folder = settings.state
        self._free = settings.uploads_max

    def mount(self, app: FastAPI) -> None:
        """Add the route to an application."""
        app.add_api_route(
            VERSIONS_PATH,
            self.publish,
            methods=["POST"],
            tags=[TAG],
            summary="Upload a version",
            openapi_extra={"requestBody": _FORM},
            responses={
                200: example_of(VersionDocument, VERSION_EXAMPLE, "The same content was there"),
                201: example_of(VersionDocument, VERSION_EXAMPLE, "A new version"),
                **refusals(InvalidAdapter, UnknownTenant, StoreFull, body=True),
            },
        )

    async def publish(self, tenant: TenantName, adapter: AdapterName, request: Request) -> Response:
        """Upload what `save_pretrained` wrote, packed, with its metadata.

        `package` is a zip or tar.gz of the folder, `metadata` a JSON document that names the
        `labels` in the order of the classes. Everything that is wrong is answered at once, as
        `problems`. A version that is answered with 201 or 200 survives a crash; it answers
        nobody before a rollout names it.
        """
        if self._free == 0:
            raise QueueFull("the server takes no more uploads at once; try again")
        self._free -= 1
        outcome: UploadOutcome = "failed"
        try:
            check_name(adapter, "an adapter")
            await asyncio.to_thread(self._registry.tenant, tenant)
            package = await self._receive(request)
            await self._batcher.probe(package.adapter, self._probe)
            version, created = await self._publish(request, tenant, adapter, package)
            outcome = "created" if created else "known"
        except InvalidAdapter as error:
            outcome = "refused"
            actor = call_of(request.scope).actor
            await asyncio.to_thread(
                self._registry.note_refused, tenant, adapter, error.problems, actor
            )
            raise
        except (TenantryError, ClientLeft) as error:
            if isinstance(error, ClientLeft) or problem_of(error).kind.status < 500:
                outcome = "refused"
            raise
        finally:
            self._free += 1
            self._metrics.uploaded(outcome)
        location = f"/v1/tenants/{tenant}/adapters/{adapter}/versions/{version.version}"
        return json_response(
            version_document(version), 201 if created else 200, [("location", location)]
        )

    async def _receive(self, request: Request) -> Package:
        """Return the package that the form holds; raise `InvalidAdapter` with its problems."""
        call = call_of(request.scope)
        content_type = call.headers.get(b"content-type", b"")
        # The file has no name, so nothing is left of it whenever the process ends; /dev/fd is
        # how its own process opens it by a path.
        with refusing_full(), tempfile.TemporaryFile(dir=self._folder) as file:
            form = UploadForm(content_type, file, self._limits.metadata_bytes_max)
            async for piece in self._bodies.stream(call, request.receive, self._max_upload_bytes):
                await asyncio.to_thread(form.write, piece)
            metadata = form.finish()
            return await asyncio.to_thread(
                open_package,
                Path(f"/dev/fd/{file.fileno()}"),
                metadata,
                self._bundle.manifest,
                self._bundle.digest,
                self._limits,
            )

    async def _publish(
        self, request: Request, tenant: str, adapter: str, package: Package
    ) -> tuple[Version, bool]:
        actor = call_of(request.scope).actor
        return await asyncio.to_thread(
            self._registry.publish, tenant, adapter, package, self._report(package), actor
        )

    def _report(self, package: Package) -> dict[str, Any]:
        """Return what the upload was found to be."""
        return {
            "rank": package.adapter.rank,
            "adapter_bytes": package.adapter.nbytes,
            "verified_backbone": package.verified_backbone,
            "holdout_rows": package.holdout_rows,
            "ignored": list(package.ignored),
            "probe": {"texts": len(self._probe), "passed": True},
        }


_FORM = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["package", "metadata"],
                "properties": {
                    "package": {
                        "type": "string",
                        "format": "binary",
                        "description": "zip or tar.gz of what `save_pretrained` wrote",
                    },
                    "metadata": {"$ref": REFERENCE.format(model=Metadata.__name__)},
                },
            },
            "encoding": {"metadata": {"contentType": "application/json"}},
            "example": {
                "package": "(the bytes of adapter.zip)",
                "metadata": {
                    "labels": ["refund", "delivery", "other"],
                    "license": "CC-BY-4.0",
                    "dataset": {"id": "tickets-2025-03", "collected_until": "2025-03-31"},
                    "owner": "support-ml@acme.example",
                },
            },
        }
    },
}
