"""Canary against live: the A/B result, as the service's own test sees it."""

from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.models.dashboard import Panel

from grafana.dashboards import palette
from grafana.dashboards.expressions import largest
from grafana.dashboards.grid import Section, line
from grafana.dashboards.panels import BAND, Steps, Style, Words, graph
from grafana.dashboards.query import Query
from grafana.dashboards.tables import Label, Value, table_of

NO_CANARY = "no canary runs"
_VERDICTS: Words = (
    ("worse", "worse", palette.BAD),
    ("rolled_back", "rolled back", palette.BAD),
    ("better", "better", palette.GOOD),
    ("no_difference_yet", "no difference yet", palette.PLAIN),
    ("collecting", "collecting rows", palette.UNKNOWN),
)
ZERO: Steps = ((None, palette.PLAIN), (0, palette.OBJECTIVE))  # no difference


def canary(chosen: str) -> Section:
    """Return the comparison of the canary of the adapter that `chosen` selects."""
    return Section(
        "$adapter: canary against live",
        (
            line(5, _result(chosen)),
            line(
                8,
                _difference(
                    "Accuracy: canary less live",
                    "By labels of both arms, with the interval of the service's own test, which"
                    " holds at any time. The whole band below 0: the canary is worse, and is taken"
                    " out where automatic rollback is on.",
                    "tenantry_canary_difference_ratio",
                    f'{chosen}, measure="accuracy"',
                    "percentunit",
                ),
                _difference(
                    "Failures: canary less live",
                    "Share of requests that failed, canary less live. The whole band above 0: the"
                    " canary fails more; roll back.",
                    "tenantry_canary_difference_ratio",
                    f'{chosen}, measure="failures"',
                    "percentunit",
                ),
                _difference(
                    "Latency: canary less live",
                    "95th percentile of a request's time, canary less live; the interval is of one"
                    " look, not of all. The whole band above 0 for long: the canary is slower; a"
                    " larger rank may be why.",
                    "tenantry_canary_latency_difference_seconds",
                    chosen,
                    "s",
                ),
            ),
            line(
                7,
                graph(
                    "Evidence that the canary is worse",
                    "Of a test that may be looked at as often as one likes, as a power of ten: 2"
                    " says that a healthy canary ever looks like this once in a hundred at most."
                    " Proof is at -log10 of TENANTRY_ROLLBACK_ALPHA, 2 where it is not set.",
                    (
                        Query(
                            largest("tenantry_canary_evidence_log10", "measure", chosen),
                            "{{measure}}",
                        ),
                    ),
                    "none",
                    nothing=NO_CANARY,
                ),
                graph(
                    "Rows of each arm",
                    "What the comparison rests on: requests answered and failed, rows labelled. No"
                    " labelled rows: accuracy cannot be compared.",
                    (
                        Query(
                            largest("tenantry_canary_rows", "arm, kind", chosen), "{{arm}} {{kind}}"
                        ),
                    ),
                    "short",
                    styles=(Style("/^live/", palette.LIVE), Style("/^canary/", palette.CANARY)),
                    low=0,
                    nothing=NO_CANARY,
                ),
            ),
        ),
    )


def _result(chosen: str) -> Builder[Panel]:
    def rows(arm: str, kind: str) -> str:
        where = f'{chosen}, arm="{arm}", kind="{kind}"'
        return largest("tenantry_canary_rows", "version", where)

    def accuracy(bound: str) -> str:
        where = f'{chosen}, measure="accuracy", bound="{bound}"'
        return largest("tenantry_canary_difference_ratio", "version", where)

    return table_of(
        "Result of the canary",
        "The verdict of canary against live. Worse: roll back, unless it was taken out already."
        " No difference yet: nothing is proven either way; it may take more rows. Unknown accuracy:"
        " too few labels came back for both.",
        (
            Value(
                largest("tenantry_canary_info", "version, live, percent, verdict", chosen),
                "Runs",
                "none",
                shown=False,
            ),
            Label("verdict", "Verdict", words=_VERDICTS),
            Label("version", "Canary"),
            Label("live", "Live"),
            Label("percent", "Percent of requests"),
            Value(accuracy("lower"), "Accuracy, lower", "percentunit", 1, nothing="unknown"),
            Value(accuracy("point"), "Accuracy, difference", "percentunit", 1, nothing="unknown"),
            Value(accuracy("upper"), "Accuracy, upper", "percentunit", 1, nothing="unknown"),
            Value(rows("canary", "answered"), "Canary's rows", "short"),
            Value(rows("canary", "labelled"), "Canary's labels", "short"),
            Value(rows("live", "labelled"), "Live's labels", "short"),
        ),
        nothing=NO_CANARY,
    )


def _difference(title: str, about: str, metric: str, where: str, unit: str) -> Builder[Panel]:
    def told(bound: str) -> str:
        return largest(metric, where=f'{where}, bound="{bound}"')

    return graph(
        title,
        about,
        (
            Query(told("point"), "canary less live"),
            Query(told("lower"), "lower"),
            Query(told("upper"), "upper"),
        ),
        unit,
        styles=(*BAND, Style("/^canary/", palette.CANARY)),
        steps=ZERO,
        nothing="unknown: no canary, or too few rows",
    )
