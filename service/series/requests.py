"""Series of requests as they leave the service, whosever they are, and of what came in."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from prometheus_client import Counter, Histogram

from service.series.families import Families
from service.series.histograms import SECONDS, exemplar

UploadOutcome = Literal["created", "known", "refused", "failed"]

_STATUS_CLASSES = ("2xx", "3xx", "4xx", "5xx", "left")


@dataclass(frozen=True, slots=True)
class RouteSeries:
    """The series of one route, resolved once so that a request costs no look-up."""

    requests: dict[str, Counter]  # by status class
    seconds: Histogram

    def answered(self, status: int, seconds: float, trace_id: str | None = None) -> None:
        """Count one request; status 0 is a client that left before its answer.

        `trace_id` is of its trace, where that is recorded.
        """
        self.requests["left" if status == 0 else f"{status // 100}xx"].inc()
        self.seconds.observe(seconds, exemplar(trace_id))


class RequestSeries:
    """Requests by route, refusals, uploads, and what this process serves."""

    def __init__(self, families: Families) -> None:
        self._requests = families.counter(
            "requests",
            "Requests, gRPC's too, by route and status class; `left`: gone before the answer.",
            ("route", "status"),
        )
        self._request_seconds = families.histogram(
            "request_seconds", "Time from the request's head to its answer.", SECONDS, ("route",)
        )
        self._refused = families.counter(
            "refused", "Requests that ended in an error, by the problem's code.", ("reason",)
        )
        self._texts = families.counter(
            "texts", "Texts, or images, answered, by tenant.", ("tenant",)
        )
        self._tenants_dropped = families.counter(
            "tenant_series_dropped",
            "Requests counted under `_other`, all tenant series being taken.",
        )
        self._truncations = families.counter("truncations", "Texts cut to the length limit.")
        self._queue_seconds = families.histogram(
            "queue_seconds", "Time that an answered request's texts waited for a batch.", SECONDS
        )
        self._prepare_seconds = families.histogram(
            "prepare_seconds",
            "Time to tokenise a request's texts, or to decode its images.",
            SECONDS,
        )
        self._uploads = families.counter(
            "uploads",
            "Uploads by outcome; `known`: the same content was there, `failed`: an error of ours.",
            ("outcome",),
        )
        self._info = families.info(
            "process", "What this process serves: bundle digest, provider and precision."
        )
        for outcome in get_args(UploadOutcome):
            self._uploads.labels(outcome)

    def declare_reasons(self, codes: Iterable[str]) -> None:
        """Start the counters of all refusal codes at zero."""
        for code in codes:
            self._refused.labels(code)

    def route(self, template: str) -> RouteSeries:
        """Return the series of a route, started at zero."""
        counters = {status: self._requests.labels(template, status) for status in _STATUS_CLASSES}
        return RouteSeries(counters, self._request_seconds.labels(template))

    def serves(self, bundle: str, provider: str, precision: str) -> None:
        """Say what this process serves."""
        self._info.info({"bundle": bundle, "provider": provider, "precision": precision})

    def refused(self, code: str) -> None:
        """Count a request that ended in an error."""
        self._refused.labels(code).inc()

    def prepared(self, seconds: float) -> None:
        """Observe how long a request's inputs took to become what a pass takes."""
        self._prepare_seconds.observe(seconds)

    def uploaded(self, outcome: UploadOutcome) -> None:
        """Count one upload."""
        self._uploads.labels(outcome).inc()
