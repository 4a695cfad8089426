"""Canary against live: rows, differences with intervals, and what is to be thought of them."""

import asyncio
from datetime import UTC, datetime
from typing import Any, Literal, Protocol

from fastapi import FastAPI, Response

from service.api.adapters import ADAPTER_PATH
from service.api.answers import json_response
from service.api.comparison_document import ComparisonDocument
from service.api.names import AdapterName, TenantName
from service.api.openapi import example_of, refusals
from service.api.rollouts import TAG
from service.errors import UnknownAdapter, UnknownTenant
from service.registry.records import AuditLine, Rollout
from service.registry.registry import Registry
from service.trials.comparison import Comparison


class Comparisons(Protocol):
    """Knows the trials that run; the controller does."""

    def comparison(self, tenant: str, adapter: str) -> Comparison | None:
        """Return what is known of an adapter's canary; None while nothing is."""
        ...


class ComparisonRoute:
    """The route of comparisons."""

    def __init__(
        self,
        registry: Registry,
        comparisons: Comparisons | None,
        mode: Literal["off", "canary", "live"],
    ) -> None:
        """Without `comparisons` nothing is ever known of a canary."""
        self._registry = registry
        self._comparisons = comparisons
        self._mode = mode

    def mount(self, app: FastAPI) -> None:
        """Add the route to an application."""
        app.add_api_route(
            ADAPTER_PATH + "/rollout/comparison",
            self.show,
            methods=["GET"],
            tags=[TAG],
            summary="Compare the canary with the live version",
            responses={
                200: example_of(ComparisonDocument, EXAMPLE),
                **refusals(UnknownTenant, UnknownAdapter),
            },
        )

    async def show(self, tenant: TenantName, adapter: AdapterName) -> Response:
        """Compare the canary with the live version, since both answer.

        `worse` is proven: it is said of at most one canary in a hundred that is no worse, however
        long it runs (`TENANTRY_ROLLBACK_ALPHA`). A few seconds may pass until an answer or a label
        counts.
        """
        return json_response(await asyncio.to_thread(self._document, tenant, adapter))

    def _document(self, tenant: str, adapter: str) -> dict[str, Any]:
        rollout = self._registry.rollout(tenant, adapter)
        last = self._registry.last_automatic_rollback(tenant, adapter)
        found = None
        if rollout.canary is not None and self._comparisons is not None:
            found = self._comparisons.comparison(tenant, adapter)
        compared = (rollout.live, rollout.canary_version)
        if found is not None and (found.arms.live, found.arms.canary) != compared:
            found = None  # of the canary or the live version before
        verdict, sentence = _verdict(rollout, found, last)
        return {
            "tenant": tenant,
            "adapter": adapter,
            "revision": rollout.revision,
            "live": rollout.live,
            "canary": rollout.canary_version,
            "percent": None if rollout.canary is None else rollout.canary.percent,
            "verdict": verdict,
            "sentence": sentence,
            "cause": None if found is None else found.cause,
            "automatic_rollback": self._mode,
            "trial": None if found is None else _trial(found),
            "last_rollback": None if last is None else _rollback(last),
        }


def _verdict(rollout: Rollout, found: Comparison | None, last: AuditLine | None) -> tuple[str, str]:
    if found is not None:
        return found.verdict, found.sentence
    if rollout.canary is not None:
        return "collecting", "Nothing is known of the canary yet."
    if last is not None and last.after["revision"] == rollout.revision:
        return "rolled_back", f"The controller rolled back: {last.after['reason']}"
    return "no_canary", "There is no canary."


def _trial(found: Comparison) -> dict[str, Any]:
    figures = found.figures()
    since = datetime.fromtimestamp(figures.pop("since"), UTC).isoformat(timespec="milliseconds")
    del figures["percent"]
    arms = {"canary": figures.pop("canary"), "live": figures.pop("live")}
    return {"since": since, "arms": arms, **figures}


def _rollback(line: AuditLine) -> dict[str, Any]:
    after = line.after
    return {
        "at": line.at,
        "revision": after["revision"],
        "reason": after["reason"],
        "evidence": after["evidence"],
    }


EXAMPLE: dict[str, Any] = {
    "tenant": "acme",
    "adapter": "support",
    "revision": 5,
    "live": 3,
    "canary": 4,
    "percent": 10.0,
    "verdict": "worse",
    "sentence": (
        "Version 4 is less accurate than version 3 by 11.2 points (4.3 to 18.1), after 214"
        " labelled rows."
    ),
    "cause": "accuracy",
    "automatic_rollback": "off",
    "trial": {
        "since": "2025-03-31T09:32:11.040+00:00",
        "arms": {
            "canary": {
                "version": 4,
                "rows": 2140,
                "requests": 1903,
                "failed": 0,
                "labelled": 214,
                "accuracy": 0.794393,
                "failure_ratio": 0.0,
                "latency_p50_s": 0.0061,
                "latency_p95_s": 0.0192,
                "slow_ratio": 0.0,
            },
            "live": {
                "version": 3,
                "rows": 19255,
                "requests": 17120,
                "failed": 2,
                "labelled": 1926,
                "accuracy": 0.905504,
                "failure_ratio": 0.000117,
                "latency_p50_s": 0.006,
                "latency_p95_s": 0.0187,
                "slow_ratio": 0.0,
            },
        },
        "paired": 388,
        "agreement": {"rows": 1872, "ratio": 0.842415},
        "differences": {
            "accuracy": {
                "point": -0.11215,
                "lower": -0.181141,
                "upper": -0.043159,
                "canary": 388,
                "live": 388,
                "paired": True,
            },
            "failures": {
                "point": -0.000117,
                "lower": -0.002964,
                "upper": 0.00273,
                "canary": 1903,
                "live": 17122,
                "paired": False,
            },
            "latency_p95_s": {
                "point": 0.0005,
                "lower": -0.0011,
                "upper": 0.0021,
                "canary": 192,
                "live": 2048,
                "paired": False,
            },
        },
        "evidence_log10": {"accuracy": 3.64, "failures": -0.83, "latency": -1.3},
        "proof_log10": 2.0,
        "latency_objective_s": 0.5,
        "labels_told_by_answers": False,
    },
    "last_rollback": None,
}
