from collections.abc import Callable
from typing import Any

import pytest
import yaml

from grafana.slo import LIMITS, SLO, InvalidSlo, parse, read, seconds

Change = Callable[[dict[str, Any]], object]


def changed(change: Change) -> str:
    document = yaml.safe_load(SLO.read_text(encoding="utf-8"))
    change(document)
    return yaml.safe_dump(document)


def test_the_file_is_valid_as_it_is_shipped() -> None:
    slo = read()
    assert [(one.burn, one.long, one.short, one.severity) for one in slo.windows] == [
        (14.4, "1h", "5m", "critical"),
        (6.0, "6h", "30m", "critical"),
        (3.0, "1d", "2h", "warning"),
        (1.0, "3d", "6h", "warning"),
    ]
    assert slo.alerts.keys() == LIMITS.keys()
    assert slo.evidence.z == 1.96


@pytest.mark.parametrize(("duration", "expected"), [("0s", 0), ("5m", 300), ("3d", 259_200)])
def test_durations_are_read(duration: str, expected: int) -> None:
    assert seconds(duration) == expected


CASES: dict[str, tuple[Change, str]] = {
    "a key that nobody knows": (
        lambda d: d["classes"]["gold"].update(latancy=0.9),
        "classes.gold.latancy: Extra inputs are not permitted",
    ),
    "a share in percent": (
        lambda d: d["service"].update(availability=99.9),
        "service.availability: a share lies between 0 and 1: 0.999, not 99.9",
    ),
    "a number where text must be": (
        lambda d: d["alerts"]["TenantryDrift"].update({"for": 300}),
        "alerts.TenantryDrift.for: Input should be a valid string",
    ),
    "a duration without a unit": (
        lambda d: d["alerts"]["TenantryDrift"].update({"for": "15"}),
        "alerts.TenantryDrift.for: a duration is a whole number and one of s, m, h, d: 5m",
    ),
    "a wrong unit": (
        lambda d: d["alerts"]["TenantryLogLag"]["limits"]["lag"].update(unit="minutes"),
        "alerts.TenantryLogLag.limits.lag.unit: is 'minutes', and this limit is in 'seconds'",
    ),
    "a ratio beyond 1": (
        lambda d: d["alerts"]["TenantryQueueSaturated"]["limits"]["used"].update(value=80),
        "alerts.TenantryQueueSaturated.limits.used.value: a ratio lies between 0 and 1",
    ),
    "a negative limit": (
        lambda d: d["alerts"]["TenantryLogLag"]["limits"]["lag"].update(value=-1),
        "alerts.TenantryLogLag.limits.lag.value: Input should be greater than or equal to 0",
    ),
    "a limit that is missing": (
        lambda d: d["alerts"]["TenantryLogLag"]["limits"].clear(),
        "alerts.TenantryLogLag.limits.lag: is missing",
    ),
    "a limit that no rule has": (
        lambda d: d["alerts"]["TenantryDrift"].update(
            limits={"far": {"value": 1, "unit": "ratio", "why": "x"}}
        ),
        "alerts.TenantryDrift.limits.far: there is no such limit",
    ),
    "a limit without a reason": (
        lambda d: d["alerts"]["TenantryLogLag"]["limits"]["lag"].pop("why"),
        "alerts.TenantryLogLag.limits.lag.why: Field required",
    ),
    "an alert that is missing": (
        lambda d: d["alerts"].pop("TenantryDrift"),
        "alerts.TenantryDrift: is missing",
    ),
    "an alert that nobody makes": (
        lambda d: d["alerts"].update(TenantryDrft={"owner": "ml", "for": "1m"}),
        "alerts.TenantryDrft: there is no such alert",
    ),
    "windows in another order": (
        lambda d: d["windows"].reverse(),
        "windows.1: windows go from short and fast to long and slow",
    ),
    "a short window that is longer": (
        lambda d: d["windows"][0].update(short="2h"),
        "windows.0: short (2h) must be shorter than long (1h)",
    ),
    "a slower burn that is worse": (
        lambda d: (
            d["windows"][2].update(severity="critical")
            or d["windows"][1].update(severity="warning")
        ),
        "windows.2.severity: a slower burn is not more severe than a faster one",
    ),
    "a window beyond the period": (
        lambda d: d.update(period="2d"),
        "windows.3.long: longer than the period",
    ),
    "no windows": (lambda d: d.update(windows=[]), "windows: at least one is needed"),
    "an objective that no burn can miss": (
        lambda d: d["classes"]["gold"].update(latency=0.9),
        "classes.gold.latency: 0.9 never fires: 14.4 times its budget is more than all requests",
    ),
    "no standard class": (
        lambda d: d["classes"].pop("standard"),
        "classes: 'standard' is missing; classes that are not listed take it",
    ),
    "an owner that nobody is": (
        lambda d: d["tenants"].update(acme={"owner": "payments"}),
        "tenants.acme.owner: 'payments' is none of owners: ml, platform",
    ),
    "a receiver without a way": (
        lambda d: d["owners"]["ml"].update(page={}),
        "owners.ml.page: needs at least one of webhook, slack, email",
    ),
    "mail without a server": (lambda d: d.pop("smtp"), "owners.ml.ticket.email: needs smtp"),
    "a heartbeat by mail without a server": (
        lambda d: d.pop("smtp") and d.update(heartbeat={"email": {"to": "a@example.com"}}),
        "heartbeat.email: needs smtp",
    ),
    "a URL that ends in a slash": (
        lambda d: d["urls"].update(runbooks="https://example.com/"),
        "urls.runbooks: String should match pattern",
    ),
    "a class whose name is no name": (
        lambda d: d["classes"].update({'a"b': d["classes"]["gold"]}),
        'classes.a"b: String should match pattern',
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_told_with_its_path(name: str) -> None:
    change, told = CASES[name]
    with pytest.raises(InvalidSlo) as caught:
        parse(changed(change))
    assert f"slo.yaml: {told}" in str(caught.value)


def test_every_mistake_is_told_at_once() -> None:
    text = changed(lambda d: d["classes"]["gold"].update(latency=2, availability=0, owner=3))
    with pytest.raises(InvalidSlo) as caught:
        parse(text)
    paths = [line.split(": ")[1] for line in str(caught.value).splitlines()]
    assert paths == [f"classes.gold.{key}" for key in ("owner", "availability", "latency")]


def test_a_key_that_stands_twice_is_refused() -> None:
    text = SLO.read_text(encoding="utf-8") + "\nperiod: 28d\n"
    with pytest.raises(InvalidSlo, match="'period' stands here twice"):
        parse(text)


@pytest.mark.parametrize("text", ["", "- a\n- b\n", "a: [", "just text"])
def test_what_is_no_such_file_is_refused(text: str) -> None:
    with pytest.raises(InvalidSlo, match=r"^slo\.yaml: "):
        parse(text)
