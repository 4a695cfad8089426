"""What is asked of the shape of a dashboard: words, units, numbers, places, the data source."""

from collections import Counter
from collections.abc import Iterator
from itertools import combinations

from grafana.lint.document import (
    Json,
    annotations,
    asking,
    defaults,
    overrides,
    panels,
    variables,
)

WIDTH = 24
SCHEMA = 36  # the oldest that has everything that is used here
DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WORDS_MIN = 30  # characters of a description that says more than the title


def complaints(document: Json) -> Iterator[str]:
    """Yield what is wrong with the shape of a dashboard."""
    yield from _head(document)
    yield from _words(document)
    yield from _datasource(document)
    yield from _grid(document)


def _head(document: Json) -> Iterator[str]:
    for key in ("uid", "title", "description"):
        if not document.get(key):
            yield f"the dashboard has no {key}"
    if document.get("schemaVersion", 0) < SCHEMA:
        yield f"schemaVersion is below {SCHEMA}"
    if document.get("id") is not None:
        yield "the dashboard has an id, which belongs to one Grafana"
    if document.get("editable"):
        yield "the dashboard is editable, and edits would be lost"


def _words(document: Json) -> Iterator[str]:
    for panel in panels(document):
        title = panel.get("title", "")
        if not title:
            yield f"panel {panel.get('id')} has no title"
        if len(panel.get("description", "")) < WORDS_MIN:
            yield f"{title}: no description that says what to think of it"
    titles = Counter(panel.get("title") for panel in panels(document))
    yield from (f"{title}: several panels have this title" for title in titles if titles[title] > 1)
    for panel in asking(document):
        shown = defaults(panel)
        if not shown.get("unit"):
            yield f"{panel['title']}: no unit"
        if not shown.get("noValue"):
            yield f"{panel['title']}: no words for no data"
        if not panel.get("targets"):
            yield f"{panel['title']}: no query"
        yield from _thresholds(panel)


def _thresholds(panel: Json) -> Iterator[str]:
    # How many are beyond their objectives is a number without one.
    asked = " ".join(
        target["expr"]
        for target in panel.get("targets", [])
        if not target["expr"].startswith("count(")
    )
    if not any(word in asked for word in ("_objective", "_budget:burn", "drift_effect_ratio")):
        return
    fields = [defaults(panel).get("thresholds")]
    for override in overrides(panel):
        fields += [one["value"] for one in override["properties"] if one["id"] == "thresholds"]
    drawn = any(len(field["steps"]) > 1 for field in fields if field)
    named = any("objective" in target.get("legendFormat", "") for target in panel["targets"])
    if not drawn and not named:
        yield f"{panel['title']}: has an objective, and neither thresholds nor its line"


def _datasource(document: Json) -> Iterator[str]:
    chosen = variables(document).get("datasource", {})
    if chosen.get("type") != "datasource" or chosen.get("query") != "prometheus":
        yield "there is no variable `datasource` that chooses a Prometheus"
    for panel in asking(document):
        if panel.get("datasource") != DATASOURCE:
            yield f"{panel['title']}: the panel's data source is not $datasource"
        refs = Counter(target.get("refId") for target in panel.get("targets", []))
        for target in panel.get("targets", []):
            if target.get("datasource") != DATASOURCE:
                yield f"{panel['title']}: a query's data source is not $datasource"
            if refs[target.get("refId")] > 1 or not target.get("refId"):
                yield f"{panel['title']}: refIds are not unique"
    for annotation in annotations(document):
        if annotation.get("datasource") != DATASOURCE:
            yield f"annotation {annotation['name']}: its data source is not $datasource"
    for name, variable in variables(document).items():
        if variable["type"] == "query" and variable.get("datasource") != DATASOURCE:
            yield f"variable {name}: its data source is not $datasource"


def _grid(document: Json) -> Iterator[str]:
    everything = [*document.get("panels", [])]
    everything += [inner for row in everything for inner in row.get("panels", [])]
    ids = Counter(panel.get("id") for panel in everything)
    for panel in everything:
        title, place = panel.get("title"), panel.get("gridPos", {})
        if not panel.get("id") or ids[panel["id"]] > 1:
            yield f"{title}: its id is not its own"
        if place.get("w", 0) < 1 or place.get("h", 0) < 1:
            yield f"{title}: has no size"
        elif place["x"] < 0 or place["x"] + place["w"] > WIDTH:
            yield f"{title}: is not within {WIDTH} columns"
    for one, other in combinations(everything, 2):
        if _overlap(one.get("gridPos", {}), other.get("gridPos", {})):
            yield f"{one.get('title')} and {other.get('title')} overlap"


def _overlap(one: Json, other: Json) -> bool:
    if not one or not other:
        return False
    beside = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
    above = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
    return not (beside or above)
