"""The report of a version: what its upload was found to be, as it is kept and shown."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from service.gate.figures import Measured
from service.gate.verdict import Check, Outcome
from service.uploads.package import Package

NOTHING_MEASURED = "nothing was measured: the upload brought no holdout.jsonl"


class Probe(BaseModel):
    """The texts that every upload is run on before it is taken."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    texts: int
    passed: bool


class Report(BaseModel):
    """What an upload was found to be. Shares are of 1, intervals of 95 %, times in seconds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    rank: int
    adapter_bytes: int
    verified_backbone: Annotated[
        bool, Field(description="whether the metadata named this very bundle")
    ]
    content: Annotated[
        str,
        Field(description="digest of what was sent; the version's own unless it was calibrated"),
    ]
    license: str | None
    signed_by: Annotated[
        str | None, Field(description="the key that verified the signature, by its file's name")
    ]
    ignored: Annotated[list[str], Field(description="files of the archive that were not taken")]
    probe: Probe
    holdout_rows: Annotated[int, Field(description="rows that were sent; 0: no hold-out")]
    verdict: Outcome
    summary: Annotated[str, Field(description="the verdict in words")]
    checks: list[Check]
    measured: Annotated[Measured | None, Field(description="null where nothing was measured")]

    def document(self) -> dict[str, Any]:
        """Return the report as it is kept."""
        return self.model_dump(mode="json")


def report_of(
    package: Package,
    probed: int,
    measured: Measured | None,
    checks: tuple[Check, ...],
    *,
    verdict: Outcome,
) -> Report:
    """Return the report of a package that `probed` texts and perhaps a hold-out were run on."""
    return Report(
        rank=package.adapter.rank,
        adapter_bytes=package.adapter.nbytes,
        verified_backbone=package.verified_backbone,
        content=package.content,
        license=package.metadata.license,
        signed_by=package.signed_by,
        ignored=list(package.ignored),
        probe=Probe(texts=probed, passed=True),
        holdout_rows=len(package.holdout),
        verdict=verdict,
        summary=_summary(measured, checks, verdict),
        checks=list(checks),
        measured=measured,
    )


def _summary(measured: Measured | None, checks: tuple[Check, ...], verdict: Outcome) -> str:
    if measured is None:
        return f"{verdict}: {NOTHING_MEASURED}"
    failed = [check.sentence for check in checks if check.passed is False]
    if failed:
        return f"{verdict}: {'; '.join(failed)}"
    accuracy = measured.accuracy.value
    return f"{verdict}: accuracy {accuracy:.4g} on {measured.rows} rows of the hold-out"
