"""What `promtool check metrics` has to say about a page of metrics."""

import subprocess
from pathlib import Path

LINTED = 3  # promtool's exit status where it read the page and found faults


def complaints_of(page: str, promtool: Path) -> list[str]:
    """Return promtool's complaints about a page in Prometheus' text format, each once.

    Raises `ValueError` where the page cannot be read at all.
    """
    checked = subprocess.run(
        [promtool, "check", "metrics"],
        input=page,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    if checked.returncode not in (0, LINTED):
        raise ValueError(checked.stderr)
    return sorted({line for line in checked.stderr.splitlines() if line})
