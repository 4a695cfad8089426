"""The parts of a dashboard's JSON that rules look at."""

from collections.abc import Iterator
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

WITHOUT_QUERIES = frozenset(("row", "text"))


def panels(document: Json) -> Iterator[Json]:
    """Yield every panel but rows, those inside collapsed rows too."""
    for panel in document.get("panels", []):
        if panel["type"] == "row":
            yield from panel.get("panels", [])
        else:
            yield panel


def asking(document: Json) -> Iterator[Json]:
    """Yield every panel that has queries."""
    return (panel for panel in panels(document) if panel["type"] not in WITHOUT_QUERIES)


def annotations(document: Json) -> list[Json]:
    """Return the annotations."""
    found: list[Json] = document.get("annotations", {}).get("list", [])
    return found


def variables(document: Json) -> dict[str, Json]:
    """Return the variables by name."""
    return {one["name"]: one for one in document.get("templating", {}).get("list", [])}


def defaults(panel: Json) -> Json:
    """Return how the fields of a panel are shown, where nothing overrides it."""
    found: Json = panel.get("fieldConfig", {}).get("defaults", {})
    return found


def overrides(panel: Json) -> list[Json]:
    """Return the overrides of a panel."""
    found: list[Json] = panel.get("fieldConfig", {}).get("overrides", [])
    return found


def queries(document: Json) -> Iterator[tuple[str, str]]:
    """Yield every expression of panels and annotations, and where it is."""
    for panel in asking(document):
        for target in panel.get("targets", []):
            yield f"{panel['title']} ({target.get('refId')})", target["expr"]
    for annotation in annotations(document):
        yield f"annotation {annotation['name']}", annotation["expr"]
