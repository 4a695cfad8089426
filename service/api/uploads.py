"""The upload route: from the form on the wire to a numbered version, or all of its problems."""

import asyncio
import tempfile
from pathlib import Path

from fastapi import FastAPI, Request, Response

from service.api.adapters import TAG, VERSION_EXAMPLE, VERSIONS_PATH, version_document
from service.api.answers import json_response
from service.api.bodies import Bodies
from service.api.call import ClientLeft, call_of
from service.api.names import AdapterName, TenantName
from service.api.openapi import REFERENCE, example_of, refusals
from service.api.places import Places
from service.api.ports import Batcher
from service.api.problems import problem_of
from service.api.schemas import VersionDocument
from service.api.upload_form import UploadForm
from service.engine.bundle import Bundle
from service.engine.errors import InvalidAdapter, TenantryError
from service.errors import StoreFull, TenantLimited, UnknownTenant
from service.gate.inputs import HoldoutPreparer
from service.gate.intake import Intake, OnReference
from service.gate.measure import PATIENCE_S, Measurer
from service.gate.upload_gate import UploadGate, thresholds_of
from service.metrics import Metrics
from service.registry.database import refusing_full
from service.registry.records import check_name
from service.registry.registry import Registry
from service.series.requests import UploadOutcome
from service.settings import Settings
from service.uploads.limits import UploadLimits
from service.uploads.metadata import Metadata
from service.uploads.package import Package, open_package
from service.uploads.terms import Terms


class Uploads:
    """The upload route."""

    def __init__(
        self,
        registry: Registry,
        batcher: Batcher,
        preparer: HoldoutPreparer,
        bundle: Bundle,
        bodies: Bodies,
        metrics: Metrics,
        settings: Settings,
        *,
        on_reference: OnReference | None = None,
        patience_s: float = PATIENCE_S,
    ) -> None:
        """`on_reference` keeps what a new version answered to its hold-out, for the sidecar.

        `patience_s` is how long a hold-out may wait for room in the queue, all in all.
        """
        self._registry = registry
        self._batcher = batcher
        self._preparer = preparer
        self._probe = preparer.probe()
        self._bundle = bundle
        self._bodies = bodies
        self._metrics = metrics
        self._max_upload_bytes = settings.max_upload_bytes
        self._limits = UploadLimits(
            archive_bytes_max=settings.max_upload_bytes,
            unpacked_bytes_max=settings.max_unpacked_bytes,
        )
        self._terms = Terms(
            licenses=settings.gate_licenses,
            holdout_required=settings.gate_holdout_required,
            signing_keys=settings.gate_signing_keys,
            scratch=settings.state / "store" / "tmp",  # what a crash leaves there is swept away
        )
        gate = UploadGate(
            registry,
            Measurer(batcher, preparer, patience_s),
            thresholds_of(settings),
            settings.gate_holdout_rows_max,
        )
        self._intake = Intake(registry, gate, bundle.digest, on_reference)
        self._folder = settings.state
        self._places = Places(settings.uploads_max)

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
                **refusals(InvalidAdapter, UnknownTenant, TenantLimited, StoreFull, body=True),
            },
        )

    async def publish(self, tenant: TenantName, adapter: AdapterName, request: Request) -> Response:
        """Upload what `save_pretrained` wrote, packed, with its metadata.

        `package` is a zip or tar.gz of the folder, `metadata` a JSON document that names the
        `labels` in the order of the classes. Everything that is wrong is answered at once, as
        `problems`. A version that is answered with 201 or 200 survives a crash; before a rollout
        names it, it answers nobody but who asks for its number.

        With a `holdout.jsonl` (a line is `text` and `label`, or `image`, a data URL, and `label`)
        the version is measured before it gets its number, which takes as long as its rows need
        beside everybody's requests. One that is worse than the server allows is numbered too, and
        `rejected`: a rollout names it only by `force`.
        """
        with self._places.taken(tenant, "uploads"):
            return await self._publish(tenant, adapter, request)

    async def _publish(self, tenant: str, adapter: str, request: Request) -> Response:
        outcome: UploadOutcome = "failed"
        try:
            check_name(adapter, "an adapter")
            weight = (await asyncio.to_thread(self._registry.tenant, tenant)).settings.weight
            package = await self._receive(request)
            probe = self._probe
            if package.metadata.cuts is not None:
                probe = await asyncio.to_thread(self._preparer.probe, package.metadata.cuts)
            await self._batcher.probe(package.adapter, probe, tenant=tenant, weight=weight)
            actor = call_of(request.scope).actor
            version, created = await self._intake.take(
                tenant, adapter, package, len(self._probe), actor
            )
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
                self._terms,
            )


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
