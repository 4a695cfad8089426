"""What Prometheus is told to record and to watch, and the file that says so."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import yaml


@dataclass(frozen=True, slots=True)
class Recording:
    """A series that is computed and kept, named `level:metric:operations`."""

    record: str
    expr: str
    labels: Mapping[str, str] = field(default_factory=dict)

    def document(self) -> dict[str, object]:
        """Return it as Prometheus reads it."""
        labels = {"labels": dict(sorted(self.labels.items()))} if self.labels else {}
        return {"record": self.record, "expr": self.expr, **labels}


@dataclass(frozen=True, slots=True)
class Alert:
    """Something that somebody is told, while `expr` has series for longer than `held`."""

    name: str
    expr: str
    held: str  # as Prometheus writes durations
    labels: Mapping[str, str]
    annotations: Mapping[str, str]

    def document(self) -> dict[str, object]:
        """Return it as Prometheus reads it."""
        return {
            "alert": self.name,
            "expr": self.expr,
            "for": self.held,
            "labels": dict(sorted(self.labels.items())),
            "annotations": dict(sorted(self.annotations.items())),
        }


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after another, at the same time."""

    name: str
    interval: str
    rules: tuple[Recording | Alert, ...]


class _Block(yaml.SafeDumper):
    """Writes lists indented, and texts of several lines as they are."""

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        del indentless
        super().increase_indent(flow, indentless=False)

    def ignore_aliases(self, data: object) -> bool:
        del data
        return True


def _text(dumper: yaml.SafeDumper, value: str) -> yaml.ScalarNode:
    style = "|" if "\n" in value else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Block.add_representer(str, _text)


def block_yaml(header: str, document: object) -> str:
    """Return a document in block style under a comment of some lines."""
    comment = "".join(f"# {line}\n" for line in header.splitlines())
    body = yaml.dump(document, Dumper=_Block, sort_keys=False, default_flow_style=False, width=4096)
    return comment + body


def rules_yaml(header: str, groups: Iterable[Group]) -> str:
    """Return a file of rules."""
    return block_yaml(
        header,
        {
            "groups": [
                {
                    "name": group.name,
                    "interval": group.interval,
                    "rules": [rule.document() for rule in group.rules],
                }
                for group in groups
            ]
        },
    )
