"""From a valid package to a numbered version, through the gate; whatever wire it came by."""

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from weakref import WeakValueDictionary

from service.engine.errors import TenantryError
from service.errors import UnknownAdapter
from service.gate.rows import ReferenceRows
from service.gate.upload_gate import Judged, UploadGate
from service.registry.records import Version
from service.registry.registry import Registry
from service.uploads.package import Package

# Keeps what a new version answered to its hold-out; done when it is on disk.
OnReference = Callable[[Version, ReferenceRows], Awaitable[None]]


class Intake:
    """Takes packages in: those with new content are judged, the others are known."""

    def __init__(
        self,
        registry: Registry,
        gate: UploadGate,
        backbone: str,
        on_reference: OnReference | None = None,
    ) -> None:
        self._registry = registry
        self._gate = gate
        self._backbone = backbone
        self._on_reference = on_reference
        self._turns: WeakValueDictionary[tuple[str, str], asyncio.Lock] = WeakValueDictionary()

    async def take(
        self, tenant: str, adapter: str, package: Package, probed: int, actor: str
    ) -> tuple[Version, bool]:
        """Give a package that `probed` texts were run on its number; say whether it is new.

        Uploads to one adapter take turns, so that two of the same content are one version even
        where a temperature is fitted for it. Raises what the gate and the registry raise; a
        new version whose reference cannot be kept is taken back.
        """
        turn = self._turns.setdefault((tenant, adapter), asyncio.Lock())
        async with turn:
            judged = await asyncio.to_thread(self._known, tenant, adapter, package)
            if judged is None:
                judged = await self._gate.judge(tenant, adapter, package, probed)
            version, created = await asyncio.to_thread(
                self._registry.publish,
                tenant,
                adapter,
                judged.package,
                judged.report,
                actor,
                state=judged.verdict,
            )
            if judged.reference is not None:
                await self._keep_reference(version, judged.reference, actor, is_new=created)
        return version, created

    def _known(self, tenant: str, adapter: str, package: Package) -> Judged | None:
        """Return what was judged of the same content before, None where it must be measured.

        It is published again all the same, which mends files that were damaged since. What was
        judged on another backbone says nothing of this one.
        """
        wants_temperature = package.metadata.wants_temperature
        if wants_temperature:
            known = self._fitted_before(tenant, adapter, package.content)
        else:
            known = self._registry.find_version_of(tenant, adapter, package.digest)
        if known is None or known.backbone != self._backbone:
            return None
        if wants_temperature:
            package = package.with_temperature(known.metadata["temperature"])
        return Judged(package, dict(known.report), known.verdict, None)

    def _fitted_before(self, tenant: str, adapter: str, content: str) -> Version | None:
        """Return the newest version whose temperature was fitted for the same content."""
        try:
            versions = self._registry.versions(tenant, adapter)
        except UnknownAdapter:
            return None
        for version in reversed(versions):
            if version.report.get("content") == content and version.digest != content:
                return version
        return None

    async def _keep_reference(
        self, version: Version, rows: ReferenceRows, actor: str, *, is_new: bool
    ) -> None:
        """Have the reference kept; where it cannot be, take a new version back and raise why."""
        if self._on_reference is None:
            return
        try:
            await self._on_reference(version, rows)
        except TenantryError:
            if not is_new:  # judged again, on another backbone
                raise
            with contextlib.suppress(TenantryError):  # the first error is the one to tell
                await asyncio.to_thread(
                    self._registry.delete_version,
                    version.tenant,
                    version.adapter,
                    version.version,
                    actor,
                )
            raise
