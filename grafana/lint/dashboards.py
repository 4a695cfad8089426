"""The linter of dashboards: everything that is wrong with them, in sentences."""

import json
from collections.abc import Iterable
from pathlib import Path

from grafana.lint import layout, queries, ways
from grafana.lint.document import Json
from grafana.lint.series import Known


def read(paths: Iterable[Path]) -> list[Json]:
    """Return dashboards from files."""
    return [json.loads(path.read_text(encoding="utf-8")) for path in paths]


def complaints(documents: list[Json], known: Known) -> list[str]:
    """Return what is wrong with dashboards that link to each other; nothing is good."""
    boards = {document.get("uid", ""): document for document in documents}
    found = [] if len(boards) == len(documents) else ["several dashboards have one uid"]
    for document in documents:
        of_one = (
            *layout.complaints(document),
            *queries.complaints(document, known),
            *ways.complaints(document, boards, known),
        )
        found += [f"{document.get('uid')}: {one}" for one in of_one]
    return found
