"""What is asked of links: that where they lead is there, and takes what they bring."""

from collections.abc import Iterator, Mapping
from urllib.parse import parse_qsl, urlsplit

from grafana.lint.document import Json, defaults, overrides, panels, variables
from grafana.lint.promql import Unreadable, parse
from grafana.lint.series import Known, labels_of
from grafana.lint.variables import substituted

_OF_ROW = "${__data.fields."
_OF_SERIES = "${__field.labels."
_TIME = "${__url_time_range}"


def complaints(document: Json, boards: Mapping[str, Json], known: Known) -> Iterator[str]:
    """Yield what is wrong with the links of a dashboard; `boards` are all of them by uid."""
    reached = set()
    for link in document.get("links", []):
        reached.add(link["url"].removeprefix("/d/"))
        if not link["url"].startswith("/d/") or link["url"].removeprefix("/d/") not in boards:
            yield f"the link {link['title']!r} leads nowhere: {link['url']}"
        if not (link.get("includeVars") and link.get("keepTime")):
            yield f"the link {link['title']!r} drops variables or time"
        if link.get("placement"):
            yield f"the link {link['title']!r} is hidden in a menu"
    yield from (
        f"no link to {uid}" for uid in boards if uid != document["uid"] and uid not in reached
    )
    for panel in panels(document):
        for url in _urls(panel):
            yield from (
                f"{panel['title']}: {one} ({url})"
                for one in _leads(url, document, panel, boards, known)
            )


def _urls(panel: Json) -> Iterator[str]:
    links = [*panel.get("links", []), *defaults(panel).get("links", [])]
    for override in overrides(panel):
        for one in override["properties"]:
            if one["id"] == "links":
                links += one["value"]
    return (link["url"] for link in links)


def _leads(
    url: str, document: Json, panel: Json, boards: Mapping[str, Json], known: Known
) -> Iterator[str]:
    labels = _labels(panel, known)
    for prefix in (_OF_ROW, _OF_SERIES):
        for part in url.split(prefix)[1:]:
            if part.split("}")[0] not in labels:
                yield f"no column or label {part.split('}')[0]!r}"
    if url.startswith(("http://", "https://")):
        return
    parts = urlsplit(url)
    uid = parts.path.removeprefix("/d/")
    if not url.startswith("/d/") or uid not in boards:
        yield "leads nowhere"
        return
    if _TIME not in url:
        yield "drops the time range"
    if "${datasource:queryparam}" not in url:
        yield "drops the data source"
    there = variables(boards[uid])
    for key, value in parse_qsl(parts.query):
        name = key.removeprefix("var-")
        if key.startswith("var-") and name not in there:
            yield f"{uid} has no variable {name!r}"
        ours = value.startswith("$") and not value.startswith((_OF_ROW, _OF_SERIES))
        if ours and value.strip("${}") not in variables(document):
            yield f"there is no variable {value!r} here"


def _labels(panel: Json, known: Known) -> set[str]:
    found: set[str] = set()
    for target in panel.get("targets", []):
        try:
            found |= labels_of(parse(substituted(target["expr"])), known)
        except Unreadable:
            continue
    return found
