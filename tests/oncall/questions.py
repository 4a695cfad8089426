"""What the dashboards ask Prometheus, as Grafana would send it.

Of each dashboard: the targets of its panels, its annotations, and the variables at its head, with
variables replaced by values.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Kind = Literal["instant", "range", "annotation", "values"]

_VARIABLE = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$(\w+)")
_LABEL_VALUES = re.compile(r"^label_values\(\s*(?:(.+),\s*)?(\w+)\s*\)$", re.DOTALL)
_QUERY_RESULT = re.compile(r"^query_result\((.+)\)$", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Question:
    """One that goes to Prometheus."""

    dashboard: str  # its uid
    panel: str  # title; of a variable or an annotation its name
    ref: str
    kind: Kind
    expression: str  # of `values`: a selector, or an expression whose series are looked at

    @property
    def name(self) -> str:
        """Return what a person finds it by."""
        return f"{self.dashboard} / {self.panel} / {self.ref}"


@dataclass(frozen=True, slots=True)
class Values:
    """What variables stand for; of several values, Grafana makes a regular expression."""

    chosen: Mapping[str, str | tuple[str, ...]]
    interval: str
    range: str

    def within(self, text: str) -> str:
        """Return a text with every variable replaced.

        Raises `KeyError` where it names one that is not there.
        """
        built_in = {
            "__rate_interval": self.interval,
            "__interval": self.interval,
            "__range": self.range,
        }

        def value(found: re.Match[str]) -> str:
            name = found[1] or found[3]
            if name in built_in:
                return built_in[name]
            return _written(self.chosen[name], found[2])

        return _VARIABLE.sub(value, text)


def questions_of(file: Path, values: Values) -> list[Question]:
    """Return everything that a dashboard asks."""
    dashboard = json.loads(file.read_text(encoding="utf-8"))
    uid = dashboard["uid"]
    return [
        *(
            Question(uid, panel["title"], target["refId"], *_asked(target, values))
            for panel in _panels(dashboard["panels"])
            for target in panel.get("targets", ())
        ),
        *(
            Question(
                uid,
                annotation["name"],
                "annotation",
                "annotation",
                values.within(annotation["expr"]),
            )
            for annotation in dashboard["annotations"]["list"]
            if "expr" in annotation
        ),
        *(
            Question(uid, variable["name"], "variable", "values", values.within(_values(variable)))
            for variable in dashboard["templating"]["list"]
            if variable["type"] == "query"
        ),
    ]


def variables_of(file: Path) -> dict[str, str]:
    """Return the variables of a dashboard, with their types."""
    dashboard = json.loads(file.read_text(encoding="utf-8"))
    return {each["name"]: each["type"] for each in dashboard["templating"]["list"]}


def _panels(panels: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for panel in panels:
        yield panel
        yield from _panels(panel.get("panels", []))


def _asked(target: Mapping[str, Any], values: Values) -> tuple[Kind, str]:
    kind: Kind = "instant" if target.get("instant") and not target.get("range") else "range"
    return kind, values.within(target["expr"])


def _values(variable: Mapping[str, Any]) -> str:
    """Return the selector whose labels a variable offers."""
    query = variable["query"]
    text = query if isinstance(query, str) else query["query"]
    found = _LABEL_VALUES.match(text) or _QUERY_RESULT.match(text)
    if found is None or found[1] is None:
        raise ValueError(f"the variable {variable['name']} asks {text!r}, which is not understood")
    return found[1]


def _written(value: str | tuple[str, ...], form: str | None) -> str:
    if form not in (None, "regex", "raw"):
        raise ValueError(f"variables written as {form!r} are not understood")
    if isinstance(value, str):
        return value
    escaped = [re.escape(one) for one in value]
    return escaped[0] if len(escaped) == 1 else f"({'|'.join(escaped)})"
