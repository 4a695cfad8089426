"""Judging every version of an estate on another bundle, before anything is moved."""

import io
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import orjson

from service.engine.errors import InvalidAdapter
from service.errors import AdapterUnreadable
from service.gate.figures import CROSS_FIT_ROWS_MIN, HoldoutFile, Measured, measure
from service.gate.rows import Answers, LiveAnswers, Run, TextFacts, drawn
from service.gate.verdict import Thresholds, judge, outcome_of
from service.migration.comparison import Finding, compared, does_not_fit, not_measured
from service.migration.source import Household, OldState, Placed
from service.migration.trial import Trial
from service.registry.records import Version
from service.uploads.limits import UploadLimits
from service.uploads.metadata import Metadata
from service.uploads.package import Package, open_package


class Judge:
    """Runs hold-outs on the bundle that serves and on the one that shall."""

    def __init__(
        self, old: Trial, new: Trial, thresholds: Thresholds, rows_max: int, limits: UploadLimits
    ) -> None:
        self._old = old
        self._new = new
        self._thresholds = thresholds
        self._rows_max = rows_max
        self._limits = limits

    def findings(self, state: OldState, household: Household) -> Iterator[Finding]:
        """Yield what is found of each version that a rollout names."""
        for placed in household.placed:
            yield self._finding(state, placed)

    def _finding(self, state: OldState, placed: Placed) -> Finding:
        version, role = placed.version, placed.role
        serving = self._old.bundle
        if version.backbone != serving.digest:
            why = (
                f"it was published on the bundle {version.backbone}, and the old one given here is"
                f" {serving.digest}"
            )
            return does_not_fit(version, role, (why,))
        try:
            files = state.files(version)
            package = self._opened(version, files)
            if not package.holdout:
                return not_measured(version, role)
            return self._compared(state, placed, package)
        except AdapterUnreadable as error:
            return does_not_fit(version, role, (str(error),))
        except InvalidAdapter as error:
            return does_not_fit(version, role, tuple(map(str, error.problems)))

    def _opened(self, version: Version, files: Mapping[str, bytes]) -> Package:
        """Return the package as a server of the new bundle would; raise `InvalidAdapter`."""
        bundle = self._new.bundle
        sent = orjson.dumps(metadata_to_send(version))
        return open_package(packed(files), sent, bundle.manifest, bundle.digest, self._limits)

    def _compared(self, state: OldState, placed: Placed, package: Package) -> Finding:
        version = placed.version
        digest = package.holdout_digest
        assert digest is not None, "there are rows"
        rows = drawn(package.holdout, self._rows_max, digest)
        serving = state.adapter(version, self._old.bundle.manifest)
        windows = package.metadata.cuts
        before = self._old.run(rows, serving, windows)
        after = self._new.run(rows, package.adapter, windows)
        bare = self._new.run(rows, None, windows).embeddings
        numbers = {label: number for number, label in enumerate(version.labels)}
        correct = np.array([numbers[row.label] for row in rows], dtype=np.int64)
        file = HoldoutFile(digest, len(package.holdout))
        theirs = LiveAnswers(version.version, version.digest, before.probabilities)
        nobody = LiveAnswers(reason="it is what the other one is compared with")
        fits = package.metadata.wants_temperature and len(rows) >= CROSS_FIT_ROWS_MIN
        old = _measured(before, correct, nobody, bare, file, serving.temperature, fits=False)
        applied = package.adapter.temperature
        new = _measured(after, correct, theirs, bare, file, applied, fits=fits)
        checks = judge(new, self._thresholds)
        return compared(version, placed.role, old, new, checks, outcome_of(checks))


def _measured(
    answers: Answers,
    correct: np.ndarray[Any, np.dtype[np.int64]],
    live: LiveAnswers,
    bare: np.ndarray[Any, np.dtype[np.float32]],
    file: HoldoutFile,
    applied: float,
    *,
    fits: bool,
) -> Measured:
    facts = tuple(TextFacts(0, 0, truncated=False) for _ in correct)  # nobody asks for them here
    return measure(Run(correct, facts, answers, live, bare), file, applied=applied, fits=fits)


def metadata_to_send(version: Version) -> dict[str, Any]:
    """Return the metadata with which a version is sent to a server of another bundle.

    It was not trained for that bundle, so it names none, and is marked as unverified there. A
    temperature that was fitted on the hold-out is fitted anew.
    """
    document = Metadata.model_validate(version.metadata).model_dump(mode="json", exclude_none=True)
    document.pop("backbone_digest", None)
    if was_fitted(version):
        document.pop("temperature", None)
    return document


def was_fitted(version: Version) -> bool:
    """Return whether the server fitted the version's temperature."""
    content = version.report.get("content")
    return content is not None and content != version.digest


def packed(files: Mapping[str, bytes]) -> bytes:
    """Return the files as the archive of an upload."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, data in sorted(files.items()):
            archive.writestr(zipfile.ZipInfo(name), data)  # no time of its own
    return buffer.getvalue()
