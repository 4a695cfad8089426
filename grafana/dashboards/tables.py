"""Tables: one row for each tenant, adapter or version, one column for each query.

The answers of several queries are merged into one row where their labels are the same, so every
query of a table must keep the same labels. A row for which one of them has no answer shows that
column's `nothing`: what is not known is never a 0.
"""

from dataclasses import dataclass, replace
from string import ascii_uppercase

from grafana_foundation_sdk.builders import common as common_builder
from grafana_foundation_sdk.builders import table
from grafana_foundation_sdk.models.common import TableCellHeight
from grafana_foundation_sdk.models.dashboard import (
    DataTransformerConfig,
    DynamicConfigValue,
    FieldColorModeId,
)

from grafana.dashboards.expressions import VERSION
from grafana.dashboards.panels import NOTHING, PLAIN, Steps, Words, mapping, thresholds
from grafana.dashboards.query import DATASOURCE, Query, rows


@dataclass(frozen=True, slots=True)
class Label:
    """A column that shows a label; `link` is opened by a click, `words` are for its values."""

    label: str
    title: str
    link: tuple[str, str] | None = None
    words: Words = ()
    width: int | None = None


@dataclass(frozen=True, slots=True)
class Value:
    """A column that shows the answer of a query."""

    expr: str
    title: str
    unit: str
    decimals: int | None = None
    steps: Steps = PLAIN
    words: Words = ()
    nothing: str = NOTHING
    shown: bool = True  # or only asked, so that a row is there


Column = Label | Value


def table_of(
    title: str,
    about: str,
    columns: tuple[Column, ...],
    *,
    nothing: str,
    only: str = "",
    sort: str = "",
    descending: bool = True,
) -> table.Panel:
    """Return a table; labels that are no column are left out. `sort` is a column's title.

    `only` are the versions that have a row; without it, everything that any query answers has one.
    """
    columns = tuple(_of_those(column, only) for column in columns)
    values = tuple(column for column in columns if isinstance(column, Value))
    panel = (
        table.Panel()
        .title(title)
        .description(about)
        .datasource(DATASOURCE)
        .targets(list(rows(tuple(Query(value.expr) for value in values))))
        .unit("string")
        .no_value(nothing)
        .thresholds(thresholds(PLAIN))
        .cell_height(TableCellHeight.SM)
        .show_header(True)
        .transformations(_transformations(columns, values))
    )
    for column in columns:
        hidden = isinstance(column, Value) and not column.shown
        if not hidden and (properties := _properties(column)):
            panel.override_by_name(column.title, properties)
    if sort:
        panel.sort_by([common_builder.TableSortByFieldState().display_name(sort).desc(descending)])
    return panel


def _of_those(column: Column, only: str) -> Column:
    if not only or isinstance(column, Label) or column.expr == only:
        return column
    return replace(column, expr=f"({column.expr}) and on ({VERSION}) {only}")


def _transformations(
    columns: tuple[Column, ...], values: tuple[Value, ...]
) -> list[DataTransformerConfig]:
    shown = [column for column in columns if isinstance(column, Label) or column.shown]
    fields = {column: _field(column, values) for column in columns}
    excluded = {"Time": True} | {fields[value]: True for value in values if not value.shown}
    renamed = {fields[column]: column.title for column in shown}
    order = {fields[column]: index for index, column in enumerate(shown)}
    # Where one query alone answers, Grafana calls its column so; the first has every row.
    first = values[0]
    if first.shown:
        renamed["Value"], order["Value"] = first.title, order[fields[first]]
    else:
        excluded["Value"] = True
    organized = {"excludeByName": excluded, "indexByName": order, "renameByName": renamed}
    merged = [DataTransformerConfig("merge", options={})] if len(values) > 1 else []
    return [*merged, DataTransformerConfig("organize", options=organized)]


def _field(column: Column, values: tuple[Value, ...]) -> str:
    if isinstance(column, Label):
        return column.label
    return f"Value #{ascii_uppercase[values.index(column)]}"


def _properties(column: Column) -> list[DynamicConfigValue]:
    found = []
    if isinstance(column, Label):
        if column.link is not None:
            link = {"title": column.link[0], "url": column.link[1]}
            found.append(DynamicConfigValue("links", [link]))
        if column.width is not None:
            found.append(DynamicConfigValue("custom.width", column.width))
    else:
        found.append(DynamicConfigValue("unit", column.unit))
        found.append(DynamicConfigValue("noValue", column.nothing))
        if column.decimals is not None:
            found.append(DynamicConfigValue("decimals", column.decimals))
        if len(column.steps) > 1:
            found.append(DynamicConfigValue("thresholds", thresholds(column.steps).build()))
            mode = {"mode": FieldColorModeId.THRESHOLDS.value}
            found.append(DynamicConfigValue("color", mode))
    if column.words:
        found.append(DynamicConfigValue("mappings", [mapping(column.words)]))
    colored = column.words or (isinstance(column, Value) and len(column.steps) > 1)
    if colored:
        cell = {"type": "color-text"}
        found.append(DynamicConfigValue("custom.cellOptions", cell))
    return found
