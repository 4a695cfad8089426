"""The sidecar beside the service: healthy traffic, then two things go wrong at once."""

import json
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from examples.demo.adapters import Trained
from examples.demo.errors import DemoFailed
from examples.demo.operator_client import Operator
from examples.demo.preparation import Prepared
from examples.demo.receiver import Receiver, receiving
from examples.demo.screen import Screen
from examples.demo.service_process import ServiceProcess, monitoring
from examples.demo.traffic import Question, Reply, send

DRIFTING, TURNING = 0, 2  # places among the adapters: whose inputs change, and whose labels
TOLD_S_MAX = 60.0
_ROUNDS = 4
_ROUND_S = 2.5
_SEED = 11
# Hours pass in seconds here; a real sidecar needs none of these.
PACE = {
    "TENANTRY_MONITOR_BUCKET_S": "5",
    "TENANTRY_MONITOR_POLL_S": "0.2",
    "TENANTRY_MONITOR_CHECKPOINT_S": "1",
    "TENANTRY_MONITOR_DRIFT_PATIENCE_S": "5",
}


@dataclass(frozen=True, slots=True)
class Told:
    """What the sidecar told, and how long it took from the first wrong text on."""

    healthy: Mapping[str, Mapping[str, Any]]  # lines of the report by tenant
    lines: Mapping[str, Mapping[str, Any]]
    alarms: Mapping[str, set[str]]  # kinds that are on, by tenant
    reasons: set[tuple[str, str]]  # of signed triggers, by tenant
    seconds: float
    page: str


@contextmanager
def watched(
    screen: Screen, folder: Path, service: ServiceProcess, operator: Operator, prepared: Prepared
) -> Iterator[tuple[ServiceProcess, Told]]:
    """Run the sidecar around the block, after it was shown what goes wrong."""
    screen.heading("Watch: the sidecar reads the service's event log")
    with (
        receiving() as receiver,
        monitoring(folder / "state", None, folder / "monitor.log", _variables(receiver)) as sidecar,
    ):
        screen.line(f"  $ {sidecar.shown()}")
        sidecar.wait_until_ready()
        screen.line(f"  its page: {sidecar.url}")
        told = _go_wrong(screen, service, sidecar, operator, prepared, receiver)
        _show(screen, prepared, told)
        yield sidecar, told


def _variables(receiver: Receiver) -> dict[str, str]:
    return PACE | {
        "TENANTRY_MONITOR_WEBHOOK_URL": receiver.url,
        "TENANTRY_MONITOR_WEBHOOK_SECRET": receiver.secret,
    }


def _go_wrong(
    screen: Screen,
    service: ServiceProcess,
    sidecar: ServiceProcess,
    operator: Operator,
    prepared: Prepared,
    receiver: Receiver,
) -> Told:
    adapters = prepared.adapters
    for trained in adapters:
        # From here on predictions are logged, with their texts, which the page shows.
        operator.set_log(trained.business.tenant, {"sample": 1.0, "text": True})
    drifting, turning = adapters[DRIFTING].business, adapters[TURNING].business
    draw = random.Random(_SEED)
    with screen.stage("healthy traffic, with labels that come back") as advance:
        for round_ in range(_ROUNDS):
            _ask(service, operator, adapters, _healthy(adapters, draw), _right)
            time.sleep(_ROUND_S)
            advance(round_ + 1, _ROUNDS, "")
        healthy = _until(sidecar, _is_assessed, 30.0)
        advance(1, 1, _states(healthy))
    screen.line(
        f"  now {drifting.tenant} gets mail that was meant for others, and the moderators of"
        f" {turning.tenant} judge by new rules"
    )
    started = time.monotonic()
    with screen.stage("until the sidecar tells both apart") as advance:
        for round_ in range(_ROUNDS):
            _ask(service, operator, adapters, _wrong(adapters, draw), _turned)
            time.sleep(_ROUND_S)
            advance(round_ + 1, 2 * _ROUNDS, "")

        def is_told(lines: Mapping[str, Mapping[str, Any]]) -> bool:
            alarms = _alarms(sidecar, lines)
            return (
                "drift" in alarms[drifting.tenant]
                and bool(alarms[turning.tenant] & {"accuracy", "calibration"})
                and {tenant for tenant, _ in receiver.reasons()}
                >= {drifting.tenant, turning.tenant}
            )

        lines = _until(sidecar, is_told, TOLD_S_MAX)
        seconds = time.monotonic() - started
        advance(1, 1, f"after {seconds:.0f} s")
    return Told(healthy, lines, _alarms(sidecar, lines), receiver.reasons(), seconds, sidecar.url)


def _healthy(adapters: Sequence[Trained], draw: random.Random) -> list[Question]:
    """Return every test text as a question to its own tenant, shuffled."""
    found = [
        _question(adapters, place, place, row)
        for place, trained in enumerate(adapters)
        for row in range(len(trained.test))
    ]
    draw.shuffle(found)
    return found


def _wrong(adapters: Sequence[Trained], draw: random.Random) -> list[Question]:
    """Return the same, but one tenant gets the others' texts."""
    found = [
        _question(adapters, DRIFTING, place, row)
        for place, trained in enumerate(adapters)
        if place != DRIFTING
        for row in range(len(trained.test))
    ]
    found += [one for one in _healthy(adapters, draw) if one.business != DRIFTING]
    draw.shuffle(found)
    return found


def _question(adapters: Sequence[Trained], asked: int, of: int, row: int) -> Question:
    business = adapters[asked].business
    path = f"/v1/tenants/{business.tenant}/adapters/{business.adapter}/predict"
    body = json.dumps({"inputs": [adapters[of].test[row].text]}).encode()
    return Question(asked, row if asked == of else -1, path, body)


Judgement = Callable[[Trained, int, str], str | None]


def _right(trained: Trained, _place: int, label: str) -> str | None:
    return label if label in trained.labels else None


def _turned(trained: Trained, place: int, label: str) -> str | None:
    """Return the label by new rules: the next class for the tenant whose labels turn."""
    if place != TURNING:
        return label
    return trained.labels[(trained.labels.index(label) + 1) % len(trained.labels)]


def _ask(
    service: ServiceProcess,
    operator: Operator,
    adapters: Sequence[Trained],
    questions: Sequence[Question],
    judgement: Judgement,
) -> None:
    """Send the questions, and the labels of those that somebody has judged."""
    replies, _ = send(service.url, questions, lambda _: None)
    operator.feedback(list(_labels(adapters, replies, judgement)))


def _labels(
    adapters: Sequence[Trained], replies: Sequence[Reply], judgement: Judgement
) -> Iterator[tuple[str, str]]:
    for reply in replies:
        place, row = reply.question.business, reply.question.row
        if row < 0:  # foreign mail, which nobody has judged yet
            continue
        label = judgement(adapters[place], place, adapters[place].test[row].label)
        if label is not None:
            yield reply.id, label


# --- what the sidecar tells --------------------------------------------------------------


def _until(
    sidecar: ServiceProcess,
    holds: Callable[[Mapping[str, Mapping[str, Any]]], bool],
    seconds: float,
) -> dict[str, Mapping[str, Any]]:
    """Return the report's lines by tenant as soon as they hold, or as they are by then."""
    end = time.monotonic() + seconds
    while True:
        report = _get(sidecar, "/v1/report")
        lines = {line["tenant"]: line for line in report["adapters"]}
        if (lines and holds(lines)) or time.monotonic() > end:
            return lines
        time.sleep(0.5)


@dataclass(frozen=True, slots=True)
class OneTold:
    """What the sidecar told of one tenant."""

    line: Mapping[str, Any]  # of the report of all
    report: Mapping[str, Any]  # of the adapter


def until_told(
    sidecar: ServiceProcess,
    tenant: str,
    holds: Callable[[Mapping[str, Any], Mapping[str, Any]], bool],
    seconds: float = 30.0,
) -> OneTold:
    """Return a tenant's line and report as soon as they hold, or as they are by then.

    Raises `DemoFailed` where the sidecar has not heard of the tenant by then.
    """
    end = time.monotonic() + seconds
    while True:
        lines = {line["tenant"]: line for line in _get(sidecar, "/v1/report")["adapters"]}
        if tenant in lines:
            line = lines[tenant]
            report = _get(sidecar, f"/v1/report/{tenant}/{line['adapter']}")
            if holds(line, report) or time.monotonic() > end:
                return OneTold(line, report)
        elif time.monotonic() > end:
            raise DemoFailed(f"the sidecar tells nothing of {tenant}: {sidecar.log}")
        time.sleep(0.5)


def _get(sidecar: ServiceProcess, path: str) -> Any:
    answer = httpx.get(sidecar.url + path, trust_env=False, timeout=30.0)
    if not answer.is_success:
        raise DemoFailed(f"GET {sidecar.url}{path}: {answer.status_code} {answer.text}")
    return answer.json()


def _is_assessed(lines: Mapping[str, Mapping[str, Any]]) -> bool:
    return len(lines) > TURNING and all(
        line["effect"]["value"] is not None and line["accuracy"]["value"] is not None
        for line in lines.values()
    )


def _alarms(sidecar: ServiceProcess, lines: Mapping[str, Mapping[str, Any]]) -> dict[str, set[str]]:
    found = {}
    for tenant, line in lines.items():
        report = _get(sidecar, f"/v1/report/{tenant}/{line['adapter']}")
        alarms = report["versions"][0]["alarms"]
        found[tenant] = {alarm["kind"] for alarm in alarms if alarm["ended_s"] is None}
    return found


def _states(lines: Mapping[str, Mapping[str, Any]]) -> str:
    return ", ".join(f"{tenant} {line['state']}" for tenant, line in lines.items())


def _show(screen: Screen, prepared: Prepared, told: Told) -> None:
    rows = []
    for trained in prepared.adapters:
        tenant = trained.business.tenant
        before, line = told.healthy[tenant], told.lines[tenant]
        alarms = ", ".join(sorted(told.alarms[tenant])) or "none"
        triggers = ", ".join(sorted(why for of, why in told.reasons if of == tenant)) or "none"
        rows.append(
            (
                tenant,
                f"{_number(before['effect'])} to {_number(line['effect'])}",
                f"{_number(before['accuracy'])} to {_number(line['accuracy'])}",
                alarms,
                triggers,
                line["why"],
            )
        )
    screen.table(
        ("tenant", ">drift / tolerated", ">accuracy by labels", "alarms", "retrain", "~why"), rows
    )


def _number(figure: Mapping[str, Any]) -> str:
    return "unknown" if figure["value"] is None else f"{max(0.0, figure['value']):.2f}"
