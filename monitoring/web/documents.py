"""Reports as JSON, cut to what a caller may see.

Floats that are no numbers are null, as msgspec writes them.
"""

import hashlib
from dataclasses import dataclass
from typing import Any

import msgspec
from msgspec.structs import replace

from monitoring.report import AdapterReport, FleetReport, VersionReport
from monitoring.web.gate import Caller, unknown_tenant
from monitoring.web.reports import Reports


@dataclass(frozen=True, slots=True)
class Document:
    """A JSON body and its tag, which changes with it."""

    body: bytes
    tag: str


class Documents:
    """Makes the bodies of `/v1/report`; takes its time, so call it outside of the event loop."""

    def __init__(self, reports: Reports) -> None:
        self._reports = reports

    def all(self, caller: Caller) -> Document:
        """Return the report of everything that the caller sees."""
        if caller.tenant is None:
            return _document(self._reports.fleet())
        return _document(_own(self._reports.fleet(caller.tenant), caller.tenant))

    def tenant(self, caller: Caller, tenant: str) -> Document:
        """Return a tenant's report; raise `UnknownWatched`."""
        caller.require_sight(tenant)
        report = self._reports.fleet(tenant)
        if not caller.is_operator:
            return _document(_own(report, tenant))
        if not report.adapters:
            raise unknown_tenant(tenant)
        return _document(report)

    def adapter(self, caller: Caller, tenant: str, adapter: str) -> Document:
        """Return an adapter's report; raise `UnknownWatched`."""
        caller.require_sight(tenant)
        report = self._reports.adapter(tenant, adapter)
        return _document(report if caller.is_operator else _own_adapter(report))


def _own(report: FleetReport, tenant: str) -> dict[str, Any]:
    """Return a report as a tenant sees it: of itself, and of the rest only how late it all is.

    How much there is in the log, and what the sidecar could not do, tells of other tenants.
    """
    whole: dict[str, Any] = msgspec.to_builtins(report)
    for name in ("adapters", "triggers"):
        whole[name] = [line for line in whole[name] if line["tenant"] == tenant]
    log = dict.fromkeys(whole["log"]) | {"lag_s": whole["log"]["lag_s"]}
    return whole | {"log": log, "fleet": None, "problems": []}


def _own_adapter(report: AdapterReport) -> AdapterReport:
    """Return a report as a tenant sees it: no dot is of a row of another tenant's hold-out."""
    return replace(report, versions=tuple(map(_own_version, report.versions)))


def _own_version(version: VersionReport) -> VersionReport:
    if version.reference.source != "pooled":
        return version
    own = tuple(point for point in version.projection if point.prediction_id is not None)
    return replace(version, projection=own)


def _document(value: Any) -> Document:
    body = msgspec.json.encode(value)
    return Document(body, f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"')
