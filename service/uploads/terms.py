"""What an operator asks of every upload, beyond that it can be served."""

from dataclasses import dataclass
from pathlib import Path

from service.engine.findings import Findings, shown
from service.uploads.metadata import Metadata


@dataclass(frozen=True, slots=True)
class Terms:
    """Terms of an operator; the defaults ask for nothing."""

    licenses: tuple[str, ...] | None = None  # None: any, and none
    holdout_required: bool = False
    signing_keys: Path | None = None  # a directory of public keys; None: unsigned will do
    scratch: Path | None = None  # where a package may lie while its signature is verified


def check_license(metadata: Metadata, allowed: tuple[str, ...] | None, findings: Findings) -> None:
    """Find a licence that is not on the operator's list, or missing where there is a list.

    Identifiers of SPDX are compared as SPDX says, without regard to case.
    """
    if allowed is None:
        return
    listed = ", ".join(allowed) or "none"
    given = metadata.license
    if given is None:
        findings.add("metadata/license", f"is missing; this server takes {listed}")
    elif given.casefold() not in {name.casefold() for name in allowed}:
        findings.add("metadata/license", f"is {shown(given)}, and this server takes {listed}")
