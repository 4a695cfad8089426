"""What is asked of a dashboard's queries: that they parse, name what there is, and rate rightly."""

import re
from collections.abc import Iterator

from grafana.lint.document import Json, annotations, asking, overrides, variables
from grafana.lint.promql import (
    Binary,
    Literal,
    Node,
    Selector,
    Unreadable,
    calls,
    parse,
    selectors,
)
from grafana.lint.series import Known, labels_of
from grafana.lint.series import complaints as of_series
from grafana.lint.variables import RANGE, RATE_INTERVAL, named, substituted

_GRAPHS = frozenset(("timeseries", "state-timeline", "heatmap", "barchart"))
_RATES = frozenset(("rate", "increase", "irate", "resets"))
_SHARED = re.compile(r"up|(process|python|scrape)_\w+")  # series that every job has
_LEGEND = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_VALUES = re.compile(r"label_values\((.+),\s*(\w+)\)")


def complaints(document: Json, known: Known) -> Iterator[str]:
    """Yield what is wrong with the queries of a dashboard."""
    for panel in asking(document):
        for target in panel.get("targets", []):
            where = f"{panel['title']} ({target.get('refId')})"
            yield from (f"{where}: {one}" for one in _of_target(panel, target, known))
        yield from (f"{panel['title']}: {one}" for one in _columns(panel, known))
    for annotation in annotations(document):
        where = f"annotation {annotation['name']}"
        yield from (f"{where}: {one}" for one in _of_annotation(annotation, known))
    for name, variable in variables(document).items():
        if variable["type"] == "query":
            yield from (f"variable {name}: {one}" for one in _of_variable(variable, known))
    yield from _choices(document)


def _of_target(panel: Json, target: Json, known: Known) -> Iterator[str]:
    expr = target["expr"]
    graph = panel["type"] in _GRAPHS
    try:
        node = parse(substituted(expr))
    except Unreadable as error:
        yield str(error)
        return
    yield from of_series(node, known)
    yield from _rates(node, known, graph=graph)
    yield from _jobs(node)
    labels = labels_of(node, known)
    if "instance" in labels:
        yield "its series depend on the instance"
    for label in _LEGEND.findall(target.get("legendFormat", "")):
        if label not in labels:
            yield f"the legend names {label!r}, which its series do not have"
    if graph and target.get("instant"):
        yield "a graph asks once only"
    if target.get("exemplar") and not expr.lstrip().startswith("histogram_quantile"):
        yield "asks for exemplars of no histogram"


def _rates(node: Node, known: Known, *, graph: bool) -> Iterator[str]:
    rated = set()
    for call in calls(node):
        if call.function not in _RATES:
            continue
        for selector in call.arguments:
            if not isinstance(selector, Selector):
                continue
            rated.add(selector)
            if selector.name not in known.counters and selector.name in known.labels:
                yield f"{call.function} of {selector.name}, which is no counter"
            if graph and not selector.held and selector.span != RATE_INTERVAL:
                yield f"{call.function} over {selector.span}, not over $__rate_interval"
            if not graph and selector.span not in {RANGE, RATE_INTERVAL}:
                yield f"{call.function} over {selector.span}, not over $__range"
    if graph:
        for selector in selectors(node):
            if selector.name in known.counters and selector not in rated:
                yield f"{selector.name} is a counter, and drawn without a rate"


def _jobs(node: Node) -> Iterator[str]:
    for selector in selectors(node):
        matched = {label for label, _, _ in selector.matchers}
        if _SHARED.fullmatch(selector.name) and "job" not in matched:
            yield f"{selector.name} is of every job, and none is chosen"
        if "instance" in matched:
            yield f"{selector.name} is chosen by instance"


def _columns(panel: Json, known: Known) -> Iterator[str]:
    """Yield what a table renames or overrides that is not there."""
    if panel["type"] != "table":
        return
    fields = {"Time", "Value"}
    for target in panel.get("targets", []):
        fields.add(f"Value #{target.get('refId')}")
        try:
            fields |= labels_of(parse(substituted(target["expr"])), known)
        except Unreadable:
            return
    titles = set()
    for transformation in panel.get("transformations", []):
        options = transformation.get("options", {})
        for key in ("excludeByName", "indexByName", "renameByName"):
            yield from (
                f"no column {name!r}" for name in options.get(key, {}) if name not in fields
            )
        titles |= set(options.get("renameByName", {}).values())
    for override in overrides(panel):
        if override["matcher"]["id"] == "byName" and override["matcher"]["options"] not in titles:
            yield f"no column is called {override['matcher']['options']!r}"


def _of_annotation(annotation: Json, known: Known) -> Iterator[str]:
    try:
        node = parse(substituted(annotation["expr"]))
    except Unreadable as error:
        yield str(error)
        return
    yield from of_series(node, known)
    yield from _jobs(node)
    labels = labels_of(node, known)
    texts = f"{annotation.get('titleFormat', '')} {annotation.get('textFormat', '')}"
    tags = [tag for tag in annotation.get("tagKeys", "").split(",") if tag]
    for label in [*_LEGEND.findall(texts), *tags]:
        if label not in labels:
            yield f"names {label!r}, which its series do not have"
    is_time = any(one.name.endswith("_seconds") for one in selectors(node))
    if is_time != bool(annotation.get("useValueForTime")):
        yield "a value is a time, and not taken for one, or the other way round"
    if is_time and not _in_milliseconds(node):
        yield "a time is not in milliseconds"


def _in_milliseconds(node: Node) -> bool:
    return isinstance(node, Binary) and node.operator == "*" and node.right == Literal("1000")


def _of_variable(variable: Json, known: Known) -> Iterator[str]:
    found = _VALUES.fullmatch(variable["query"]["query"])
    if found is None:
        yield "does not ask for the values of a label"
        return
    node = parse(substituted(found[1]))
    yield from of_series(node, known)
    if found[2] not in labels_of(node, known):
        yield f"asks for values of {found[2]!r}, which its series do not have"


def _choices(document: Json) -> Iterator[str]:
    """Yield variables that do not exist, are for nothing, or are matched as one value only."""
    chosen = variables(document)
    texts = [target["expr"] for panel in asking(document) for target in panel.get("targets", [])]
    texts += [annotation["expr"] for annotation in annotations(document)]
    texts += [str(one["query"]) for one in chosen.values() if one["type"] == "query"]
    titles = [str(panel.get("title")) for panel in document.get("panels", [])]
    used: set[str] = set().union(*(named(text) for text in [*texts, *titles]))
    for name in sorted(used - chosen.keys()):
        if not name.startswith("__"):
            yield f"${name} is no variable of this dashboard"
    for name in chosen:
        if name not in used | {"datasource"}:
            yield f"the variable {name} is for nothing"
        if chosen[name].get("multi") or chosen[name].get("includeAll"):
            one_only = re.compile(rf'[^~]=\s*"\${{?{name}\b|[^!<>=]=\s*"\${name}\b')
            if any(one_only.search(text) for text in texts):
                yield f"${name} may be several, and is matched as one"
