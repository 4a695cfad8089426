"""One question to Prometheus, and how its answer is named in a panel."""

from dataclasses import dataclass
from string import ascii_uppercase

from grafana_foundation_sdk.builders.prometheus import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

DATASOURCE = DataSourceRef(type_val="prometheus", uid="${datasource}")


@dataclass(frozen=True, slots=True)
class Query:
    """A PromQL expression; `name` is a legend with `{{labels}}`, or the column of a table."""

    expr: str
    name: str = ""
    exemplars: bool = False  # of a histogram's buckets: they lead to traces


def _target(query: Query, ref_id: str) -> Dataquery:
    return Dataquery().ref_id(ref_id).datasource(DATASOURCE).expr(query.expr)


def over_time(queries: tuple[Query, ...]) -> list[Dataquery]:
    """Return targets that are asked for each step of the dashboard's time range."""
    return [
        _target(query, ref_id)
        .legend_format(query.name or "__auto")
        .exemplar(query.exemplars)
        .range()
        .format(PromQueryFormat.TIME_SERIES)
        for ref_id, query in zip(ascii_uppercase, queries, strict=False)
    ]


def now(queries: tuple[Query, ...]) -> list[Dataquery]:
    """Return targets that are asked once, at the end of the dashboard's time range."""
    return [
        _target(query, ref_id)
        .legend_format(query.name or "__auto")
        .instant()
        .format(PromQueryFormat.TIME_SERIES)
        for ref_id, query in zip(ascii_uppercase, queries, strict=False)
    ]


def rows(queries: tuple[Query, ...]) -> list[Dataquery]:
    """Return targets that are asked once and answer a table, a column for each label."""
    return [
        _target(query, ref_id).instant().format(PromQueryFormat.TABLE)
        for ref_id, query in zip(ascii_uppercase, queries, strict=False)
    ]
