"""A month that never was: blocks of the past for a Prometheus that was started a minute ago.

Counters grow evenly from nothing, by as much in two minutes as they have now; gauges were always
what they are now. Times of what happened are left out: nothing happened then.
"""

import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from examples.gameday.programs import program_of
from examples.gameday.prometheus import Prometheus
from tests.oncall.selectors import name_of, selectors_of

DAY_S = 86_400
# Three samples every two hours: of any five minutes in a row some hold two, and a month is short.
_STEP_S, _APART_S = 7200, 120
_RULES_STEP = "5m"
_GROWING = ("_total", "_count", "_sum", "_bucket")
_TIMEOUT_S = 120


@dataclass(frozen=True, slots=True)
class Series:
    """A series as it is now."""

    name: str
    labels: Mapping[str, str]
    value: float

    def at(self, times: float) -> str:
        """Return its value when it has grown so many times, as OpenMetrics writes numbers."""
        return repr(self.value * times if self.name.endswith(_GROWING) else self.value)

    def written(self) -> str:
        """Return name and labels as OpenMetrics writes them."""
        labels = ",".join(f'{name}="{_escaped(value)}"' for name, value in self.labels.items())
        return f"{self.name}{{{labels}}}"


def series_of(prometheus: Prometheus, names: Sequence[str]) -> list[Series]:
    """Return every series of some metrics as they are now."""
    found = []
    for name in names:
        for sample in prometheus.query(f'{{__name__="{name}"}}'):
            labels = {key: it for key, it in sample["metric"].items() if key != "__name__"}
            found.append(Series(name, labels, float(sample["value"][1])))
    return found


def write_past(series: Sequence[Series], start_s: int, end_s: int, data: Path, work: Path) -> None:
    """Write blocks into Prometheus' data, which must not run."""
    times = [
        first + more
        for first in range(start_s, end_s, _STEP_S)
        for more in (0, _APART_S, 2 * _APART_S)
    ]
    text = work / "past.om"
    with text.open("w", encoding="utf-8") as file:
        for one in series:
            written = one.written()
            file.writelines(
                f"{written} {one.at((time_s - start_s) / _APART_S)} {time_s}\n" for time_s in times
            )
        file.write("# EOF\n")
    # One block in place of one for each two hours, for each of which all of the text would be read.
    whole = f"--max-block-duration={end_s - start_s}s"
    _promtool("create-blocks-from", whole, "openmetrics", str(text), str(data))


def write_recorded(
    rules: Path, prometheus: Prometheus, start_s: int, end_s: int, data: Path, work: Path
) -> None:
    """Write blocks of what recording rules would have recorded of metrics, into Prometheus' data.

    Rules that look at what others recorded are left out: they need no past of their own. The
    Prometheus that has the past must run; it sees the blocks when it is started again.
    """
    document = yaml.safe_load(rules.read_text(encoding="utf-8"))
    for group in document["groups"]:
        group["interval"] = _RULES_STEP
        group["rules"] = [
            rule
            for rule in group["rules"]
            if not any(":" in name_of(selector) for selector in selectors_of(rule["expr"]))
        ]
    document["groups"] = [group for group in document["groups"] if group["rules"]]
    slowly = work / "recorded.yaml"
    slowly.write_text(yaml.safe_dump(document), encoding="utf-8")
    _promtool(
        "create-blocks-from",
        f"--max-block-duration={end_s - start_s}s",
        "rules",
        f"--url={prometheus.program.url}",
        f"--start={start_s}",
        f"--end={end_s}",
        f"--output-dir={data}",
        str(slowly),
    )


def _promtool(*words: str) -> None:
    command = [program_of("promtool"), "tsdb", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=_TIMEOUT_S)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
