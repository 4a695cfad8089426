"""The gate that every upload with new content passes: measured, judged, reported."""

import asyncio
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from service import measures
from service.engine.errors import InvalidAdapter, Problem
from service.errors import NoLiveVersion, UnknownAdapter, UnknownVersion
from service.gate.figures import CROSS_FIT_ROWS_MIN, HoldoutFile, Measured, measure
from service.gate.measure import Measurer
from service.gate.report import report_of
from service.gate.rows import ReferenceRows, Run, drawn
from service.gate.verdict import Check, Outcome, Thresholds, judge, outcome_of
from service.registry.records import Rollout, Route
from service.settings import Settings
from service.uploads.archive import HOLDOUT_FILE
from service.uploads.package import Package


class LiveVersions(Protocol):
    """Tells which version is live; the registry does."""

    def rollout(self, tenant: str, adapter: str) -> Rollout:
        """Return an adapter's rollout; raise `UnknownAdapter` where it has no version."""
        ...

    def route(self, tenant: str, adapter: str, version: int | None) -> Route:
        """Return the route to a version; raise `UnknownVersion` and its kin."""
        ...


@dataclass(frozen=True, slots=True)
class Judged:
    """A package that passed through the gate, with what is kept of it."""

    package: Package  # with its temperature, if it was to be fitted
    report: dict[str, Any]
    verdict: Outcome
    reference: ReferenceRows | None  # None: nothing was measured


class UploadGate:
    """Judges packages before they get a number."""

    def __init__(
        self, live: LiveVersions, measurer: Measurer, thresholds: Thresholds, rows_max: int
    ) -> None:
        self._live = live
        self._measurer = measurer
        self._thresholds = thresholds
        self._rows_max = rows_max

    async def judge(self, tenant: str, adapter: str, package: Package, probed: int) -> Judged:
        """Run a package's hold-out, if it brought one, and judge what is found.

        Raises `InvalidAdapter` where a row gives inf or NaN or a temperature cannot be fitted, and
        `QueueFull` where there was no room for the rows for too long.
        """
        digest = package.holdout_digest
        if digest is None:
            return _judged(package, probed, None, (), None)
        rows = drawn(package.holdout, self._rows_max, digest)
        fits = package.metadata.wants_temperature
        if fits and len(rows) < CROSS_FIT_ROWS_MIN:
            raise _unfitted(f"has {len(rows)} rows, and a temperature needs {CROSS_FIT_ROWS_MIN}")
        live, reason = await asyncio.to_thread(self._live_route, tenant, adapter)
        run = await self._measurer.run(rows, package.adapter, live, reason, package.metadata.cuts)
        file = HoldoutFile(digest, len(package.holdout))
        measured = await asyncio.to_thread(
            measure, run, file, applied=package.adapter.temperature, fits=fits
        )
        if fits:
            package = package.with_temperature(_fitted(measured))
        checks = judge(measured, self._thresholds)
        served = _served(run, package.adapter.temperature if fits else 1.0)
        return _judged(package, probed, measured, checks, served)

    def _live_route(self, tenant: str, adapter: str) -> tuple[Route | None, str]:
        """Return the route to the live version, or why there is none to compare with."""
        try:
            number = self._live.rollout(tenant, adapter).live
        except UnknownAdapter:
            return None, "this is the adapter's first version"
        if number is None:
            return None, "no version is live"
        try:
            return self._live.route(tenant, adapter, number), ""
        except (NoLiveVersion, UnknownAdapter, UnknownVersion):
            return None, f"version {number} was made for another bundle, or has just gone"


def thresholds_of(settings: Settings) -> Thresholds:
    """Return what the settings let pass."""
    return Thresholds(
        accuracy_drop_max=settings.gate_accuracy_drop_max,
        baseline_drop_max=settings.gate_baseline_drop_max,
        calibration_error_max=settings.gate_calibration_error_max,
    )


def _judged(
    package: Package,
    probed: int,
    measured: Measured | None,
    checks: tuple[Check, ...],
    reference: ReferenceRows | None,
) -> Judged:
    verdict = outcome_of(checks)
    report = report_of(package, probed, measured, checks, verdict=verdict)
    return Judged(package, report.document(), verdict, reference)


def _fitted(measured: Measured) -> float:
    temperature = measured.temperature
    if temperature.fitted is None or temperature.at_bound:
        raise _unfitted(
            "fits no temperature: the best one would be beyond"
            f" {measures.TEMPERATURE_MIN:g} to {measures.TEMPERATURE_MAX:g}, as where every row is"
            " answered right; give `temperature` in the metadata, or leave `calibrated` out"
        )
    return temperature.fitted


def _unfitted(what: str) -> InvalidAdapter:
    return InvalidAdapter([Problem(HOLDOUT_FILE, what)])


def _served(run: Run, temperature: float) -> ReferenceRows:
    """Return what the version would have answered, at the temperature that was fitted since."""
    probabilities = run.own.probabilities
    if temperature != 1.0:
        probabilities = measures.apply_temperature(probabilities, temperature).astype(np.float32)
    return ReferenceRows(
        correct=run.correct,
        predicted=probabilities.argmax(axis=1).astype(np.int64),
        probabilities=probabilities,
        embeddings=run.own.embeddings,
        base_embeddings=run.bare,
        facts=run.facts,
    )
