"""A real Alertmanager with the project's own routes, whose receivers are all one pager."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from examples.gameday.programs import HOST, Program, free_port, program_of, running

# What a route waits before it tells: minutes in earnest, and as good as none here.
_WAITS = {"group_wait": "100ms", "group_interval": "200ms", "repeat_interval": "1h"}


@dataclass(slots=True)
class Alertmanager:
    """One that runs."""

    program: Program
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.program.url, trust_env=False, timeout=20.0)

    @property
    def address(self) -> str:
        """Return host and port, for Prometheus."""
        return self.program.url.removeprefix("http://")

    def inhibited(self) -> list[dict[str, str]]:
        """Return the labels of the alerts that another one keeps from being told."""
        answer = self.http.get("/api/v2/alerts", params={"inhibited": "true"}).raise_for_status()
        return [alert["labels"] for alert in answer.json() if alert["status"]["inhibitedBy"]]


def configured(source: Path, pager: str, folder: Path) -> Path:
    """Write the project's configuration with a pager for every receiver, and return where.

    Routes, groups and inhibition are as they are in the source; only how long a route waits is not.
    """
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    document["receivers"] = [
        {"name": each["name"], "webhook_configs": [{"url": f"{pager}/{each['name']}"}]}
        for each in document["receivers"]
    ]
    document["route"] = _hurried(document["route"])
    document.pop("templates", None)
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "alertmanager.yml"
    written.write_text(yaml.safe_dump(document), encoding="utf-8")
    return written


def _hurried(route: Mapping[str, Any]) -> dict[str, Any]:
    found = {key: _WAITS.get(key, value) for key, value in route.items()}
    if "routes" in found:
        found["routes"] = [_hurried(each) for each in found["routes"]]
    return found


@contextmanager
def alertmanager(config: Path, data: Path, log: Path) -> Iterator[Alertmanager]:
    """Run one around the block, from when it is ready."""
    port = free_port()
    command = [
        program_of("prometheus-alertmanager", "alertmanager"),
        f"--config.file={config}",
        f"--storage.path={data}",
        f"--web.listen-address={HOST}:{port}",
        "--cluster.listen-address=",
    ]
    with running("Alertmanager", f"http://{HOST}:{port}", command, log) as program:
        program.wait_until_ready("/-/ready")
        found = Alertmanager(program)
        try:
            yield found
        finally:
            found.http.close()
