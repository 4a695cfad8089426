"""A real Prometheus with the project's own configuration, and what one asks of it."""

import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import yaml

from examples.gameday.errors import GameDayFailed
from examples.gameday.programs import HOST, Program, free_port, program_of, running

_TIMEOUT_S = 60.0


@dataclass(frozen=True, slots=True)
class Watching:
    """What a Prometheus watches, and how often."""

    targets: Mapping[str, Sequence[str]]  # host and port, by the name of the scrape job
    rules: Sequence[Path]
    alertmanager: str | None = None  # host and port
    interval: str = "1s"  # of scrapes and of rules


@dataclass(slots=True)
class Prometheus:
    """One that runs."""

    program: Program
    http: httpx.Client = field(init=False)

    def __post_init__(self) -> None:
        self.http = httpx.Client(base_url=self.program.url, trust_env=False, timeout=_TIMEOUT_S)

    def ask(self, path: str, **parameters: Any) -> Any:
        """Return the data of an answer of its API; lists of parameters are sent one by one.

        Raises `GameDayFailed` where it refuses.
        """
        answer = self.http.post(f"/api/v1/{path}", data=parameters)
        document = answer.json()
        if document["status"] != "success":
            raise GameDayFailed(f"{path} {parameters}: {document['error']}")
        return document["data"]

    def query(self, expression: str, time_s: float | None = None) -> list[dict[str, Any]]:
        """Return the samples of an expression now, or at a time."""
        when = {} if time_s is None else {"time": time_s}
        found = self.ask("query", query=expression, **when)
        if found["resultType"] != "vector":
            return [{"metric": {}, "value": found["result"]}]
        samples: list[dict[str, Any]] = found["result"]
        return samples

    def query_range(
        self, expression: str, start_s: float, end_s: float, step_s: float
    ) -> list[dict[str, Any]]:
        """Return the series of an expression over a time."""
        asked = {"query": expression, "start": start_s, "end": end_s, "step": step_s}
        series: list[dict[str, Any]] = self.ask("query_range", **asked)["result"]
        return series

    def series(self, selector: str, start_s: float, end_s: float) -> list[dict[str, str]]:
        """Return the labels of every series that a selector found at any moment of a time."""
        found: list[dict[str, str]] = self.ask(
            "series", **{"match[]": selector, "start": start_s, "end": end_s}
        )
        return found

    def get(self, path: str) -> Any:
        """Return the data of a part of its API that takes no question."""
        document = self.http.get(f"/api/v1/{path}").json()
        if document["status"] != "success":
            raise GameDayFailed(f"{path}: {document['error']}")
        return document["data"]

    def firing(self) -> list[dict[str, Any]]:
        """Return the alerts that fire now: their labels, their annotations and more."""
        return [alert for alert in self.get("alerts")["alerts"] if alert["state"] == "firing"]

    def reload(self) -> None:
        """Let it read its configuration anew; what its rules wait for goes on waiting."""
        self.http.post("/-/reload").raise_for_status()

    def all_up(self) -> bool:
        """Say whether each target was scraped at the last attempt, and there is one."""
        targets = self.get("targets")["activeTargets"]
        return bool(targets) and all(target["health"] == "up" for target in targets)


def configured(source: Path, watching: Watching, folder: Path) -> Path:
    """Write the project's configuration with other targets, and return where.

    Everything else is as it is in the source: the names of jobs, what is relabelled, what is kept.
    Jobs without a target here are left out. Raises `GameDayFailed` where the source lacks a job.
    """
    document = yaml.safe_load(source.read_text(encoding="utf-8"))
    jobs = {job["job_name"]: job for job in document["scrape_configs"]}
    missing = watching.targets.keys() - jobs.keys()
    if missing:
        raise GameDayFailed(f"{source} has no job {', '.join(sorted(missing))}")
    document["scrape_configs"] = [
        _pointed(jobs[name], targets, watching.interval)
        for name, targets in watching.targets.items()
    ]
    every = {"scrape_interval": watching.interval, "evaluation_interval": watching.interval}
    document["global"] = {
        **document.get("global", {}),
        **every,
        "scrape_timeout": watching.interval,
    }
    document["rule_files"] = [str(rules.resolve()) for rules in watching.rules]
    managers = [] if watching.alertmanager is None else [watching.alertmanager]
    document["alerting"] = {
        **document.get("alerting", {}),
        "alertmanagers": [{"static_configs": [{"targets": managers}]}],
    }
    folder.mkdir(parents=True, exist_ok=True)
    written = folder / "prometheus.yml"
    written.write_text(yaml.safe_dump(document), encoding="utf-8")
    return written


_DISCOVERY = "_sd_configs"


def _pointed(job: Mapping[str, Any], targets: Sequence[str], interval: str) -> dict[str, Any]:
    """Return a scrape job that finds its targets here, and needs no key."""
    kept = {
        key: value
        for key, value in job.items()
        if not key.endswith(_DISCOVERY) and key not in ("static_configs", "authorization")
    }
    return {
        **kept,
        "scrape_interval": interval,
        "scrape_timeout": interval,
        "static_configs": [{"targets": list(targets)}],
    }


@contextmanager
def prometheus(config: Path, data: Path, log: Path, *words: str) -> Iterator[Prometheus]:
    """Run one around the block, from when it is ready; `words` are more of its flags."""
    port = free_port()
    command = [
        program_of("prometheus"),
        f"--config.file={config}",
        f"--storage.tsdb.path={data}",
        "--storage.tsdb.retention.time=60d",
        "--enable-feature=exemplar-storage",
        f"--web.listen-address={HOST}:{port}",
        "--web.enable-lifecycle",
        *words,
    ]
    with running("Prometheus", f"http://{HOST}:{port}", command, log) as program:
        program.wait_until_ready("/-/ready")
        found = Prometheus(program)
        try:
            yield found
        finally:
            found.http.close()


def check_config(config: Path) -> None:
    """Let `promtool` check a configuration and the rules that it names.

    Raises `GameDayFailed` with its words where something is wrong.
    """
    done = subprocess.run(
        [program_of("promtool"), "check", "config", str(config)],
        capture_output=True,
        text=True,
        check=False,
        timeout=_TIMEOUT_S,
    )
    if done.returncode:
        raise GameDayFailed(f"{config}:\n{done.stdout}{done.stderr}")
