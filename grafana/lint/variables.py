"""Grafana's variables in texts: which are named, and texts with values in their place."""

import re
from collections.abc import Mapping

# `$name`, `${name}`, `${name:format}`, and `${__data.fields.name}`, whose name is the first part.
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?:\.[\w.\[\]]+)?(?::[\w-]+)?\})")

# Lengths of time that stand for nothing else, so that they are known again in a parsed expression.
RATE_INTERVAL = "17m"
RANGE = "19h"
_GRAFANA = {
    "__rate_interval": RATE_INTERVAL,
    "__interval": "1m",
    "__range": RANGE,
    "price": "1",
}


def named(text: str) -> set[str]:
    """Return the names of a text's variables."""
    return {plain or braced for plain, braced in _VARIABLE.findall(text)}


def substituted(expr: str, values: Mapping[str, str] | None = None) -> str:
    """Return an expression as Prometheus gets it; a variable without a value becomes `x`."""
    known = _GRAFANA | dict(values or {})
    return _VARIABLE.sub(lambda found: known.get(found[1] or found[2], "x"), expr)
