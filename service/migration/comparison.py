"""Comparing: what a version answers on the old bundle and on the new one, on the same rows.

Pure. The figures and the verdict are the upload gate's, with the same version on the old bundle in
the place of the live one.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

from service.gate.figures import Figure, Measured
from service.gate.verdict import Check, Outcome
from service.registry.records import RolloutRole, Version

Status = Literal["worse", "better", "no difference shown", "not measured", "does not fit"]


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found of one version; figures are None where nothing could be measured."""

    tenant: str
    adapter: str
    version: int
    digest: str
    role: RolloutRole
    status: Status
    verdict: Outcome | None  # of the gate, were it sent to a server of the new bundle
    reasons: tuple[str, ...]
    rows: int = 0
    accuracy_old: Figure | None = None
    accuracy_new: Figure | None = None
    difference: Figure | None = None  # new less old, paired by rows
    calibration_old: Figure | None = None
    calibration_new: Figure | None = None

    @property
    def moves(self) -> bool:
        """Return whether it can go to the new bundle as it is."""
        return self.verdict == "validated"

    def document(self) -> dict[str, Any]:
        """Return it for programs."""
        return asdict(self)


def does_not_fit(version: Version, role: RolloutRole, reasons: tuple[str, ...]) -> Finding:
    """Return the finding of a version that the new bundle cannot serve at all."""
    return _finding(version, role, "does not fit", None, reasons)


def not_measured(version: Version, role: RolloutRole) -> Finding:
    """Return the finding of a version that fits and brought no hold-out to judge it by."""
    why = "it brought no holdout.jsonl, so that nobody knows; send it again with one"
    return _finding(version, role, "not measured", None, (why,))


def compared(
    version: Version,
    role: RolloutRole,
    old: Measured,
    new: Measured,
    checks: tuple[Check, ...],
    verdict: Outcome,
) -> Finding:
    """Return the finding of a version that was run on both bundles."""
    difference = new.live.difference
    failed = tuple(check.sentence for check in checks if check.passed is False)
    return replace(
        _finding(version, role, status_of(difference), verdict, failed),
        rows=new.rows,
        accuracy_old=old.accuracy,
        accuracy_new=new.accuracy,
        difference=difference,
        calibration_old=old.calibration.error,
        calibration_new=new.calibration.error,
    )


def _finding(
    version: Version,
    role: RolloutRole,
    status: Status,
    verdict: Outcome | None,
    reasons: tuple[str, ...],
) -> Finding:
    return Finding(
        version.tenant,
        version.adapter,
        version.version,
        version.digest,
        role,
        status,
        verdict,
        reasons,
    )


def status_of(difference: Figure | None) -> Status:
    """Return what a paired difference shows: something only where its interval leaves out 0."""
    if difference is None or difference.lower is None or difference.upper is None:
        return "not measured"
    if difference.upper < 0:
        return "worse"
    return "better" if difference.lower > 0 else "no difference shown"
