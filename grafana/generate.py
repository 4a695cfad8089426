"""Writes everything that is made from `slo.yaml` and from code: `make grafana`.

`python -m grafana.generate --check` writes nothing, and ends with 1 and a diff where a file is not
what would be written.
"""

import argparse
import difflib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from grafana.alertmanager.routing import alertmanager_yaml
from grafana.dashboards.files import PRODUCERS as DASHBOARDS
from grafana.rules.files import alerts_yaml, recording_yaml
from grafana.slo import InvalidSlo, Slo, read

ROOM = Path(__file__).resolve().parent

# Every file that is made, below this room, and what makes its text.
PRODUCERS: list[tuple[str, Callable[[Slo], str]]] = [
    ("alertmanager/alertmanager.yml", alertmanager_yaml),
    ("generated/rules/alerts.yaml", alerts_yaml),
    ("generated/rules/recording.yaml", recording_yaml),
    *DASHBOARDS,
]


def write(slo: Slo, room: Path = ROOM) -> list[str]:
    """Write every file, and return their names."""
    for name, text in PRODUCERS:
        path = room / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text(slo), encoding="utf-8")
    return [name for name, _ in PRODUCERS]


def stale(slo: Slo, room: Path = ROOM) -> list[str]:
    """Return the diff of every file that is not what would be written."""
    lines: list[str] = []
    for name, text in PRODUCERS:
        path = room / name
        there = path.read_text(encoding="utf-8") if path.is_file() else ""
        lines += difflib.unified_diff(
            there.splitlines(),
            text(slo).splitlines(),
            f"{name} (there)",
            f"{name} (made)",
            lineterm="",
        )
    return lines


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the files, or check them; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m grafana.generate", description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; 1 where files differ")
    check: bool = parser.parse_args(arguments).check
    try:
        slo = read()
    except InvalidSlo as error:
        sys.stderr.write(f"{error}\n")
        return 1
    if check:
        diff = stale(slo)
        sys.stdout.writelines(f"{line}\n" for line in diff)
        return 1 if diff else 0
    sys.stdout.writelines(f"grafana/{name}\n" for name in write(slo))
    return 0


if __name__ == "__main__":
    sys.exit(main())
