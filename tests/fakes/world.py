"""Two days of a small fleet, in each of whose tenants something else happens.

`write_world` writes its log in seconds. What happens to whom is in `STORIES`; `hour` counts from
`DAY_S`. All have 30 predictions each half hour, and a hold-out of 500 rows, unless they say
otherwise.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.fakes.logs import DAY_S, WrittenLog, written_log
from tests.fakes.traffic import Sent, Tenant

HOURS = 48
STEP_S = 1800.0
ROWS = 30
CANARY_ROWS = 8
CHANGE = 24  # hour in which most things happen
MIXED = (0.7, 0.1, 0.1, 0.1)
ROLLOUTS: dict[float, dict[str, Any]] = {
    0: {"live": 1},
    12: {"live": 1, "canary": {"version": 2, "percent": 20}, "shadow": [3]},
    CHANGE: {"live": 2},
}


@dataclass
class Story:
    """One tenant, and what it sends at each step."""

    tenant: Tenant
    send: Callable[[WrittenLog, "Story", float], list[Sent]]
    holdout: int = 500  # rows
    embedded: bool = True
    share: float = 0.3  # of its predictions that get a label an hour later
    right: Callable[[float], float | None] = lambda _: None  # share of right labels, by hour
    others: dict[str, Any] = field(default_factory=dict)
    sent: list[Sent] = field(default_factory=list)  # that wait for their labels


def plain(log: WrittenLog, story: Story, hour: float) -> list[Sent]:
    """Send what is usual."""
    return [story.tenant.send(log, ROWS, time_s=time_of(hour), embedded=story.embedded)]


def time_of(hour: float) -> float:
    """Return the time of an hour, so far into a bucket that the one before is over for all."""
    return DAY_S + hour * 3600 + 5.0


def _with(**changes: Callable[[float], Any]) -> Callable[[WrittenLog, Story, float], list[Sent]]:
    def send(log: WrittenLog, story: Story, hour: float) -> list[Sent]:
        given = {name: change(hour) for name, change in changes.items()}
        embedded = story.embedded
        return [story.tenant.send(log, ROWS, time_s=time_of(hour), embedded=embedded, **given)]

    return send


def _in_groups(log: WrittenLog, story: Story, hour: float) -> list[Sent]:
    return [
        story.tenant.send(log, ROWS, time_s=time_of(hour), group=group)
        for group in ("mobile", "web")
    ]


def _rolling(log: WrittenLog, story: Story, hour: float) -> list[Sent]:
    """Send version 1; from hour 12 on with a canary and a shadow; from the change on version 2.

    The shadow is no good. Labels of the last hour of version 1 come ten hours late.
    """
    first, second, third = story.tenant, story.others["second"], story.others["third"]
    time_s = time_of(hour)
    if hour == 12:
        for tenant in (second, third):
            tenant.publish(log, time_s=time_s - 0.5)
    if hour in ROLLOUTS:
        log.rollout(ROLLOUTS[hour], time_s=time_s - 0.25, version=first.version)
    if hour == CHANGE + 10:
        story.others["late"].label(log, time_s=time_s)
    if hour >= CHANGE:
        return [second.send(log, ROWS, time_s=time_s)]
    sent = first.send(log, ROWS, time_s=time_s)
    if hour < 12:
        return [sent]
    third.send(log, ROWS, time_s=time_s, role="shadow", ids=sent.ids)
    if hour >= CHANGE - STEP_S / 3600:
        story.others["late"] = sent
        return []
    return [sent, second.send(log, CANARY_ROWS, time_s=time_s, role="canary")]


def after(hour: float, value: Any, before: Any = 0.0) -> Callable[[float], Any]:
    """Return a value that changes at an hour."""
    return lambda now: value if now >= hour else before


def stories() -> dict[str, Story]:
    """Return everybody, by name."""
    names = (
        *("calm", "drifts", "turns", "mixes", "heals", "borrows", "shy", "private", "owned"),
        *("outside", "rolls", "grouped", "plain"),
    )
    tenants = {name: Tenant(name, seed=number) for number, name in enumerate(names)}
    found = {name: Story(tenant, plain) for name, tenant in tenants.items()}
    found["drifts"].send = _with(foreign=after(CHANGE, 0.6))
    found["turns"].right = after(CHANGE, 0.45, None)
    found["mixes"].send = _with(mix=after(30, MIXED, None))
    found["heals"].send = _with(foreign=lambda hour: 0.7 if 6 <= hour < 10 else 0.0)
    found["borrows"].holdout = 0
    found["borrows"].send = _with(foreign=after(36, 0.8))
    found["shy"].share = 0.01
    found["private"].embedded = False
    found["private"].send = _with(mix=after(CHANGE, MIXED, None))
    found["owned"].send = _with(
        foreign=after(36, 0.6), base_foreign=after(36, 0.0, None), based=lambda _: True
    )
    found["outside"].send = _with(foreign=after(42, 0.6), based=lambda _: True)
    for name in ("owned", "outside"):
        found[name].holdout = 1500
    found["grouped"].send = _in_groups
    found["rolls"].send = _rolling
    number = names.index("rolls")
    found["rolls"].others = {
        "second": Tenant("rolls", seed=number, version=2),
        "third": Tenant("rolls", seed=number, version=3),
    }
    return found


def write_world(events: Path, *names: str, hours: float = HOURS) -> None:
    """Write the log: of everybody, unless some are named."""
    with written_log(events) as log:
        everybody = {name: story for name, story in stories().items() if name in (names or [name])}
        for name, story in everybody.items():
            if story.holdout:
                rows, embedded = story.holdout, story.embedded
                story.tenant.publish(log, time_s=DAY_S, rows=rows, embedded=embedded)
            if name != "rolls":
                log.rollout({"live": 1}, time_s=DAY_S, version=story.tenant.version)
        for step in range(round(hours * 3600 / STEP_S)):
            hour = step * STEP_S / 3600
            for story in everybody.values():
                story.sent += story.send(log, story, hour)
            if step % 2 == 1:
                for story in everybody.values():
                    _label(log, story, hour)
            log.flush()


def _label(log: WrittenLog, story: Story, hour: float) -> None:
    """Label what was sent in the last hour."""
    time_s = time_of(hour) + 60.0
    for sent in story.sent:
        sent.label(log, time_s=time_s, share=story.share, right=story.right(hour - 1))
    story.sent.clear()
