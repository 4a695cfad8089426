"""All that is on call, on one machine: service, sidecar, Prometheus, Alertmanager, callers."""

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

from examples.gameday import alertmanager as alertmanagers
from examples.gameday import pace
from examples.gameday import prometheus as prometheuses
from examples.gameday.alertmanager import Alertmanager, alertmanager
from examples.gameday.callers import Callers, calling
from examples.gameday.errors import GameDayFailed
from examples.gameday.operator import Operator
from examples.gameday.pager import Pager, paging
from examples.gameday.pair import monitoring, serving
from examples.gameday.programs import Program, until
from examples.gameday.prometheus import Prometheus, Watching, check_config, prometheus
from examples.gameday.small_disk import SmallDisk, small_disk
from examples.gameday.throttling import throttled
from examples.gameday.town import Town

ROOT = Path(__file__).resolve().parents[2]
SLO = ROOT / "grafana" / "slo.yaml"
RULES = ROOT / "grafana" / "generated" / "rules"
PROMETHEUS = ROOT / "grafana" / "prometheus" / "prometheus.yml"
ALERTMANAGER = ROOT / "grafana" / "alertmanager" / "alertmanager.yml"
WATCHDOG = "TenantryWatchdog"
SERVICE_JOB, SIDECAR_JOB = "tenantry", "tenantry-monitor"
_UP_S_MAX = 30.0


@dataclass(frozen=True, slots=True)
class Ground:
    """What is special about service and sidecar on the day of an incident."""

    service: Mapping[str, object] = field(default_factory=dict)  # settings
    sidecar: Mapping[str, object] = field(default_factory=dict)
    disk_megabytes: int | None = None  # of a small disk below the state; None: this machine's
    tenants: Mapping[str, Mapping[str, object]] = field(default_factory=dict)  # settings by name
    # Seconds for limits that take too long even so, by alert and name.
    sooner: Mapping[tuple[str, str], float] = field(default_factory=dict)


@dataclass(slots=True)
class Stack:
    """What runs, and what can be done to it."""

    town: Town
    folder: Path
    ground: Ground
    state: Path
    disk: SmallDisk | None = None
    service: Program = field(init=False)
    sidecar: Program = field(init=False)
    replica: Program = field(init=False)  # a second one of the service, on some days
    prometheus: Prometheus = field(init=False)
    alertmanager: Alertmanager = field(init=False)
    pager: Pager = field(init=False)
    operator: Operator = field(init=False)
    watching: Watching = field(init=False)
    callers: Mapping[str, Callers] = field(init=False)
    _pair: ExitStack = field(default_factory=ExitStack)

    @property
    def faults(self) -> Path:
        """Return the folder whose files say what is broken about the service."""
        return self.folder / "faults"

    @property
    def _prefix(self) -> Sequence[str]:
        return () if self.disk is None else self.disk.inside

    def start_service(self, bundle: Path, port: int | None = None) -> None:
        """Start the service with a bundle."""
        self.service = self._started(bundle, self.folder / "service.log", port)

    def start_replica(self, bundle: Path) -> Program:
        """Start another replica of the service on the same state, and have it watched."""
        replica = self._started(bundle, self.folder / "replica.log", None)
        targets = {
            **self.watching.targets,
            SERVICE_JOB: [*self.watching.targets[SERVICE_JOB], address_of(replica)],
        }
        self.watching = replace(self.watching, targets=targets)
        prometheuses.configured(PROMETHEUS, self.watching, self.folder)
        self.prometheus.reload()
        until(self._all_watched, "Prometheus had scraped the replica", _UP_S_MAX)
        return replica

    def _all_watched(self) -> bool:
        wanted = sum(map(len, self.watching.targets.values()))
        return len(self.prometheus.query("up == 1")) == wanted

    def _started(self, bundle: Path, log: Path, port: int | None) -> Program:
        return self._pair.enter_context(
            serving(
                bundle,
                self.state,
                log,
                settings={**pace.SERVICE, **self.ground.service},
                port=port,
                prefix=self._prefix,
                command=(sys.executable, "-m", "examples.gameday.faulty", str(self.faults)),
            )
        )

    def start_sidecar(self) -> None:
        """Start the sidecar."""
        self.sidecar = self._pair.enter_context(
            monitoring(
                self.state,
                self.folder / "sidecar.log",
                settings={**pace.SIDECAR, **self.ground.sidecar},
                prefix=self._prefix,
            )
        )

    def restart_service(self, bundle: Path) -> None:
        """Stop the service, and start it on the same port with a bundle, another one perhaps."""
        self.service.stop()
        self.start_service(bundle, port_of(self.service))

    def throttle(self, program: Program, share: float) -> None:
        """Leave a program a share of a core's time from now on."""
        self._pair.enter_context(throttled(program, share))

    def close(self) -> None:
        """End the service and the sidecar."""
        self._pair.close()


def port_of(program: Program) -> int:
    """Return where a program listens."""
    port = urlsplit(program.url).port
    assert port is not None
    return port


def address_of(program: Program) -> str:
    """Return host and port of a program, as Prometheus wants them."""
    return program.url.removeprefix("http://")


def rules_of(folder: Path = RULES) -> list[Path]:
    """Return the project's rules; raise `GameDayFailed` where there are none."""
    found = sorted(folder.glob("*.yaml"))
    if not found:
        raise GameDayFailed(f"no rules in {folder}: run `make grafana`")
    return found


@contextmanager
def stack(town: Town, folder: Path, ground: Ground) -> Iterator[Stack]:
    """Run all of it around the block, from when both are scraped and every tenant is served."""
    folder.mkdir(parents=True)
    with ExitStack() as opened:
        disk = None
        if ground.disk_megabytes is not None:
            disk = opened.enter_context(small_disk(folder / "disk", ground.disk_megabytes))
        (folder / "faults").mkdir()
        state = (folder if disk is None else disk.folder) / "state"
        made = Stack(town, folder, ground, state, disk)
        opened.callback(made.close)
        made.start_service(town.bundle.path)
        made.operator = opened.enter_context(Operator(made.service.url, town))
        made.operator.open_shops(ground.tenants)
        made.start_sidecar()
        made.pager = opened.enter_context(paging())
        _watch(made, opened)
        made.callers = opened.enter_context(calling(made.service.url, town.tenants))
        yield made


def _watch(made: Stack, opened: ExitStack) -> None:
    folder = made.folder
    config = alertmanagers.configured(ALERTMANAGER, made.pager.url, folder)
    made.alertmanager = opened.enter_context(
        alertmanager(config, folder / "alertmanager", folder / "alertmanager.log")
    )
    made.watching = Watching(
        targets={
            SERVICE_JOB: [address_of(made.service)],
            SIDECAR_JOB: [address_of(made.sidecar)],
        },
        rules=pace.hurried(rules_of(), SLO, folder / "rules", made.ground.sooner),
        alertmanager=made.alertmanager.address,
        interval=pace.INTERVAL,
    )
    written = prometheuses.configured(PROMETHEUS, made.watching, folder)
    check_config(written)
    made.prometheus = opened.enter_context(
        prometheus(written, folder / "prometheus", folder / "prometheus.log")
    )
    until(made.prometheus.all_up, "Prometheus had scraped both", _UP_S_MAX)
    # Before its first scrape a job is absent, and on a busy machine for long enough to be told.
    until(lambda: _is_calm(made.prometheus), "no alert fired", _UP_S_MAX)


def _is_calm(found: Prometheus) -> bool:
    return {alert["labels"]["alertname"] for alert in found.firing()} <= {WATCHDOG}
