"""From a valid package to a numbered version, through the gate; whatever wire it came by."""

import asyncio
from collections.abc import Callable
from functools import partial
from weakref import WeakValueDictionary

from service.errors import UnknownAdapter
from service.gate.rows import ReferenceRows
from service.gate.upload_gate import Judged, UploadGate
from service.registry.records import Version
from service.registry.registry import Registry
from service.uploads.package import Package

# Keeps what a version answered to its hold-out, and returns when it is on disk.
OnReference = Callable[[Version, ReferenceRows], object]


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
        where a temperature is fitted for it. Its reference is kept before it is a version: where
        that fails there is none, and whatever dies in between leaves a reference of nothing, not
        a version without one. Raises what the gate and the registry raise.
        """
        turn = self._turns.setdefault((tenant, adapter), asyncio.Lock())
        async with turn:
            judged = await asyncio.to_thread(self._known, tenant, adapter, package)
            if judged is None:
                judged = await self._gate.judge(tenant, adapter, package, probed)
            return await asyncio.to_thread(
                self._registry.publish,
                tenant,
                adapter,
                judged.package,
                judged.report,
                actor,
                state=judged.verdict,
                before=partial(self._keep_reference, judged.reference),
            )

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

    def _keep_reference(self, rows: ReferenceRows | None, version: Version) -> None:
        if rows is not None and self._on_reference is not None:
            self._on_reference(version, rows)
