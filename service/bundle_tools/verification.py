"""Verifying a bundle: everything that can be known of it without the model that it came from.

Each check stands alone, so that one look tells of all that is wrong. The manifest is the first: on
one that cannot be read nothing else can be judged.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from service.bundle_tools.bill import bill_problems
from service.bundle_tools.graph import graph_problems
from service.engine import digest
from service.engine.bundle import (
    MANIFEST,
    Bundle,
    Manifest,
    Variant,
    bundle_of,
    file_problems,
    read_manifest,
)
from service.engine.errors import InvalidBundle


@dataclass(frozen=True, slots=True)
class Check:
    """One thing that was looked at."""

    name: str
    looked_at: str  # what, in words
    problems: tuple[str, ...]

    @property
    def passed(self) -> bool:
        """Return whether nothing was wrong."""
        return not self.problems


@dataclass(frozen=True, slots=True)
class Verification:
    """What was found of a bundle."""

    path: Path
    digest: str | None  # None: there is no manifest that could be read
    checks: tuple[Check, ...]

    @property
    def passed(self) -> bool:
        """Return whether every check did."""
        return all(check.passed for check in self.checks)


def verify(path: Path) -> Verification:
    """Return what is wrong with the bundle at `path`; nothing is changed."""
    try:
        manifest, data = read_manifest(path)
    except InvalidBundle as error:
        return Verification(path, None, (Check("manifest", MANIFEST, (str(error),)),))
    wrong = tuple(file_problems(path, manifest))  # the whole bundle is read for it: once
    bundle, refused = _opened(path, manifest, data, wrong)
    checks = (
        Check("manifest", MANIFEST, ()),
        Check(
            "files",
            f"{len(manifest.files)} files and their digests",
            (*wrong, *_foreign_files(path, manifest)),
        ),
        Check("proof", f"{len(manifest.variants)} variants", tuple(_proof_problems(manifest))),
        Check(
            "provenance",
            "the bill of materials against the manifest",
            tuple(bill_problems(path, manifest)),
        ),
        Check("service", "whether `tenantry serve` takes it", refused),
        Check(
            "graph",
            "inputs, outputs and a pass of nothing, on the CPU",
            tuple(graph_problems(path, manifest, bundle)),
        ),
    )
    return Verification(path, digest.of_bytes(data), checks)


def _opened(
    path: Path, manifest: Manifest, data: bytes, wrong: Sequence[str]
) -> tuple[Bundle | None, tuple[str, ...]]:
    """Return the bundle as `tenantry serve` opens it, or why it does not."""
    try:
        return bundle_of(path, manifest, data, wrong), ()
    except InvalidBundle as error:
        return None, (str(error),)


def _foreign_files(path: Path, manifest: Manifest) -> Iterator[str]:
    for file in sorted(path.iterdir()):
        if file.name not in manifest.files and file.name != MANIFEST:
            yield f"{file.name} is there, and the manifest does not name it"


def _proof_problems(manifest: Manifest) -> Iterator[str]:
    """Yield each variant whose figures do not hold, whatever it says of itself."""
    for name, variant in manifest.variants.items():
        if not variant.passed:
            yield f"variant {name}: its proof did not pass, or there is none"
        elif _worst(variant) > _allowed(variant):
            yield (
                f"variant {name}: says that it passed, and its worst error {_worst(variant):.1e} is"
                f" beyond the {_allowed(variant):.0e} allowed"
            )
        if variant.file not in manifest.files:
            yield f"variant {name}: {variant.file} has no digest"


def _worst(variant: Variant) -> float:
    parity = variant.parity
    if parity is None:  # each precision has a tolerance of its own, which its figures do not say
        return 0.0
    return max(parity.max_probability_error, parity.max_embedding_error, parity.max_neighbour_error)


def _allowed(variant: Variant) -> float:
    return float("inf") if variant.parity is None else variant.parity.tolerance
