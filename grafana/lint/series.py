"""Whether an expression's series exist, and have the labels that it asks of them."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from grafana.lint.promql import Aggregate, Binary, Call, Literal, Node, Selector, parse

TARGET = frozenset(("job", "instance"))
_OF_ALERTS = frozenset(
    (
        *("alertname", "severity", "owner", "window", "reason", "class", "live"),
        *("tenant", "adapter", "version"),
    )
)
# What Prometheus itself makes; alerts carry what their rules give them.
_PROMETHEUS = {
    "up": TARGET,
    "ALERTS": _OF_ALERTS | {"alertstate"},
    "ALERTS_FOR_STATE": _OF_ALERTS,
}
_SET = frozenset(("and", "or", "unless"))


@dataclass(frozen=True, slots=True)
class Declared:
    """A metric as the code declares it: `kind` is counter, gauge, histogram or info."""

    name: str
    kind: str
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Recorded:
    """A recording rule."""

    name: str
    expr: str
    labels: tuple[str, ...] = ()  # that it adds


@dataclass(frozen=True, slots=True)
class Known:
    """Every series that there is, by the name that Prometheus has for it, with its labels."""

    labels: Mapping[str, frozenset[str]]
    counters: frozenset[str]

    @classmethod
    def of(cls, declared: Iterable[Declared], recorded: Iterable[Recorded] = ()) -> "Known":
        """Return what metrics and recording rules make; a rule may name those before it."""
        labels = dict(_PROMETHEUS)
        counters = set()
        for metric in declared:
            own = frozenset(metric.labels) | TARGET
            if metric.kind == "histogram":
                labels[f"{metric.name}_bucket"] = own | {"le"}
                labels[f"{metric.name}_sum"] = labels[f"{metric.name}_count"] = own
                counters |= {f"{metric.name}{end}" for end in ("_bucket", "_sum", "_count")}
            else:
                labels[metric.name] = own
                counters |= {metric.name} if metric.kind == "counter" else set()
        known = cls(labels, frozenset(counters))
        for rule in recorded:
            labels[rule.name] = labels_of(parse(rule.expr), known) | frozenset(rule.labels)
        return known


def complaints(node: Node, known: Known) -> list[str]:
    """Return what an expression names that there is not."""
    found: list[str] = []
    _labels(node, known, found)
    return found


def labels_of(node: Node, known: Known) -> frozenset[str]:
    """Return the labels that the series of an expression can have."""
    return _labels(node, known, [])


def _labels(node: Node, known: Known, found: list[str]) -> frozenset[str]:
    if isinstance(node, Literal):
        return frozenset()
    if isinstance(node, Selector):
        return _of_selector(node, known, found)
    if isinstance(node, Aggregate):
        return _of_aggregate(node, known, found)
    if isinstance(node, Binary):
        return _of_binary(node, known, found)
    return _of_call(node, known, found)


def _of_selector(node: Selector, known: Known, found: list[str]) -> frozenset[str]:
    if node.name not in known.labels:
        found.append(f"there is no series {node.name!r}")
        return frozenset(label for label, _, _ in node.matchers)
    labels = known.labels[node.name]
    found.extend(
        f"{node.name} has no label {label!r}"
        for label, _, _ in node.matchers
        if label not in labels
    )
    return labels


def _of_aggregate(node: Aggregate, known: Known, found: list[str]) -> frozenset[str]:
    inner = _labels(node.arguments[-1], known, found)
    found.extend(
        f"{node.operation} by {label!r}, which its series do not have"
        for label in node.labels
        if label not in inner
    )
    if node.operation in {"topk", "bottomk"}:
        return inner  # these choose series, and keep them as they are
    return frozenset(node.labels) & inner if node.keeps else inner - frozenset(node.labels)


def _of_binary(node: Binary, known: Known, found: list[str]) -> frozenset[str]:
    left, right = _labels(node.left, known, found), _labels(node.right, known, found)
    found.extend(
        f"{node.operator} on {label!r}, which one side does not have"
        for label in node.labels
        if node.on and not (label in left and label in right)
    )
    if node.operator in _SET:
        return left | right if node.operator == "or" else left
    if isinstance(node.left, Literal):
        return right
    if isinstance(node.right, Literal):
        return left
    many, one = (right, left) if node.group == "right" else (left, right)
    if node.group:
        found.extend(
            f"group_{node.group} of {label!r}, which one side does not have"
            for label in node.included
            if label not in one
        )
        return many | frozenset(node.included)
    if node.on is None:
        # Without `on`, series match only where they have the same labels.
        if left != right and not (_is_scalar(node.left) or _is_scalar(node.right)):
            found.append(
                f"{node.operator} of series with different labels:"
                f" {sorted(left ^ right)} is on one side only"
            )
        return left | right
    return frozenset(node.labels) if node.on else left - frozenset(node.labels)


def _of_call(node: Call, known: Known, found: list[str]) -> frozenset[str]:
    inner: frozenset[str] = frozenset()
    for argument in node.arguments:
        inner |= _labels(argument, known, found)
    if node.function == "histogram_quantile":
        if "le" not in inner:
            found.append("histogram_quantile of series without le")
        return inner - {"le"}
    if node.function in {"absent", "absent_over_time", "vector", "scalar", "time"}:
        return frozenset()
    if node.function in {"label_replace", "label_join"}:
        added = node.arguments[1]
        return inner | {added.text[1:-1]} if isinstance(added, Literal) else inner
    return inner


def _is_scalar(node: Node) -> bool:
    if isinstance(node, Binary):
        return node.operator not in _SET and _is_scalar(node.left) and _is_scalar(node.right)
    return isinstance(node, Literal) or (
        isinstance(node, Call) and node.function in {"scalar", "time"}
    )
