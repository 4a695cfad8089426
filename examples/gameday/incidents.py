"""The incidents of a game day."""

import shutil
from collections.abc import Sequence

from examples.gameday.errors import GameDayFailed
from examples.gameday.faulty import NON_FINITE, SLOW_DISK
from examples.gameday.incident import Expected, Incident
from examples.gameday.stack import Ground, Stack

_REGISTRY = "registry.sqlite3"
_SLOW_S = 1.5  # for each sync
_STRANGER = 99  # a seed that no tenant's adapter has
_FLOOD, _BUSY = 60.0, 12.0  # requests a second
_LIMIT = {"rates": {"requests_per_s": 8.0}}
_SMALL_DISK = 160  # megabytes


# --- what is done


def flood(stack: Stack) -> None:
    """Let one tenant ask far beyond its limit."""
    stack.callers["garage"].habits.requests_per_s = _FLOOD


def break_adapter(stack: Stack) -> None:
    """Make a version live whose outputs are no numbers any more, though its upload passed."""
    tenant = stack.town.tenant("hotel")
    version = stack.operator.upload(tenant, stack.operator.weights(tenant, _STRANGER))
    stack.operator.roll_out(tenant, version.version)
    (stack.faults / NON_FINITE).write_text(version.digest, encoding="ascii")


def roll_out_worse(stack: Stack) -> None:
    """Make a version live that learned something else, and whose hold-out it labelled itself."""
    tenant = stack.town.tenant("bakery")
    weights = stack.operator.weights(tenant, _STRANGER)
    draft = stack.operator.upload(tenant, weights)
    texts = [text for text, _ in tenant.holdout]
    labels = stack.operator.labels(tenant, draft.version, texts)
    holdout = list(zip(texts, labels, strict=True))
    version = stack.operator.upload(tenant, weights, holdout, temperature=1.01)
    stack.operator.roll_out(tenant, version.version)


def roll_out_stranger(stack: Stack) -> None:
    """Give a version that learned something else to half of the callers."""
    tenant = stack.town.tenant("bakery")
    weights = stack.operator.weights(tenant, _STRANGER)
    version = stack.operator.upload(tenant, weights, tenant.holdout)
    stack.operator.roll_out(tenant, 1, canary=(version.version, 50.0))


def swap_the_base(stack: Stack) -> None:
    """Start the service again, with another backbone below the same adapters."""
    stack.restart_service(stack.town.other_bundle().path)


def drift(stack: Stack) -> None:
    """Send one tenant somebody else's mail."""
    stack.callers["florist"].habits.words = "foreign"


def be_busy(stack: Stack) -> None:
    """Let all callers ask more, as the fleet's detector needs many rows in each bucket."""
    for callers in stack.callers.values():
        callers.habits.requests_per_s = _BUSY


def drift_of_all(stack: Stack) -> None:
    """Break what prepares the texts: it loses every space, and nobody labels what comes of it."""
    for callers in stack.callers.values():
        callers.habits.words = "glued"
        callers.habits.labelled = 0.0


def turn_labels(stack: Stack) -> None:
    """Let the people of one tenant judge by new rules."""
    stack.callers["hotel"].habits.turned = True


def lose_calibration(stack: Stack) -> None:
    """Make a version live that answers the same, and is far too sure of it."""
    tenant = stack.town.tenant("library")
    weights = stack.operator.weights(tenant)
    version = stack.operator.upload(tenant, weights, tenant.holdout, temperature=0.1)
    stack.operator.roll_out(tenant, version.version)


def fill_disk(stack: Stack) -> None:
    """Take all the room of the state's file system."""
    assert stack.disk is not None
    stack.disk.fill()


def kill_sidecar(stack: Stack) -> None:
    """Do `kill -9`."""
    stack.sidecar.kill()


def lose_registry(stack: Stack) -> None:
    """Move the registry's database away."""
    away = stack.folder / "away"
    away.mkdir()
    for file in stack.state.glob(f"{_REGISTRY}*"):
        shutil.move(file, away / file.name)


def slow_disk(stack: Stack) -> None:
    """Make every sync of the service wait."""
    (stack.faults / SLOW_DISK).write_text(str(_SLOW_S), encoding="ascii")


# --- who must hear of it


def _of(alert: str, tenant: str) -> Expected:
    return Expected(alert, {"tenant": tenant})


_EVERY = (
    Incident(
        name="flooding tenant",
        story="garage asks 60 times a second; its limit is 8",
        strike=flood,
        ground=Ground(tenants={"garage": _LIMIT}),
        expected=(_of("TenantryTenantLimited", "garage"),),
    ),
    Incident(
        name="broken adapter",
        story="hotel's new version is live, and its outputs are no numbers",
        strike=break_adapter,
        expected=(_of("TenantryAdapterQuarantined", "hotel"),),
    ),
    Incident(
        name="bad adapter",
        story="bakery's new version learned something else, and labelled its own hold-out",
        strike=roll_out_worse,
        expected=(
            _of("TenantryAccuracyBelowObjective", "bakery"),
            _of("TenantryCalibrationBeyondObjective", "bakery"),
        ),
        may=(_of("TenantryRetrainRequested", "bakery"),),
    ),
    Incident(
        name="worse canary",
        story="bakery's new version learned something else; half of the callers get it as a canary",
        strike=roll_out_stranger,
        expected=(_of("TenantryCanaryRolledBack", "bakery"),),
        may=(
            _of("TenantryAccuracyBelowObjective", "bakery"),
            _of("TenantryCalibrationBeyondObjective", "bakery"),
        ),
    ),
    Incident(
        name="base model swapped",
        story="the service starts again with another backbone",
        prepare=lambda stack: stack.town.other_bundle(),
        strike=swap_the_base,
        expected=(Expected("TenantryMixedBundles"),),
        may=(Expected("TenantryServiceDown"),),  # a restart of five seconds is one of five minutes
    ),
    Incident(
        name="drift",
        story="florist gets somebody else's mail",
        strike=drift,
        expected=(_of("TenantryDrift", "florist"),),
        may=(_of("TenantryRetrainRequested", "florist"),),
    ),
    Incident(
        name="everyone drifts",
        story="what prepares the texts loses every space, for all tenants",
        prepare=be_busy,
        within_s=90.0,
        strike=drift_of_all,
        expected=(Expected("TenantryFleetDrift"),),
        may=(Expected("TenantryDrift"), Expected("TenantryRetrainRequested")),
        inhibited=("TenantryDrift",),
    ),
    Incident(
        name="label turn",
        story="the people of hotel judge by new rules",
        strike=turn_labels,
        expected=(_of("TenantryAccuracyBelowObjective", "hotel"),),
        may=(
            _of("TenantryCalibrationBeyondObjective", "hotel"),
            _of("TenantryRetrainRequested", "hotel"),
        ),
    ),
    Incident(
        name="calibration loss",
        story="library's new version answers the same, and is far too sure of it",
        strike=lose_calibration,
        expected=(_of("TenantryCalibrationBeyondObjective", "library"),),
        may=(_of("TenantryRetrainRequested", "library"),),
    ),
    Incident(
        name="full disk",
        story="something else takes all the room of the state's file system",
        strike=fill_disk,
        ground=Ground(disk_megabytes=_SMALL_DISK),
        expected=(
            Expected("TenantryEventLogFailing"),
            Expected("TenantryDiskFilling"),
            Expected("TenantryEventsDropped"),
        ),
    ),
    Incident(
        name="sidecar dead",
        story="kill -9 of the sidecar",
        strike=kill_sidecar,
        expected=(Expected("TenantryMonitorDown"),),
    ),
    Incident(
        name="registry gone",
        story="the registry's file is moved away",
        strike=lose_registry,
        expected=(Expected("TenantryRegistryUnreachable"),),
    ),
    Incident(
        name="slow disk",
        story="each sync of the event log waits for a second and a half",
        strike=slow_disk,
        expected=(Expected("TenantryEventLogSlow"),),
    ),
)


def incidents_of(only: Sequence[str] = ()) -> tuple[Incident, ...]:
    """Return every incident, or those of some names, which may be written with hyphens.

    Raises `GameDayFailed` where one of the names is none's.
    """
    by_name = {incident.name.replace(" ", "-"): incident for incident in _EVERY}
    names = [name.strip().replace(" ", "-") for name in only]
    unknown = [name for name in names if name not in by_name]
    if unknown:
        raise GameDayFailed(f"no incident {', '.join(unknown)}; there are {', '.join(by_name)}")
    return tuple(by_name[name] for name in names) if names else _EVERY
