"""`slo.yaml`: what is promised and who is told, read strictly.

Whatever is wrong with the file raises `InvalidSlo`, with the path of each key at fault.
"""

import re
from collections.abc import Hashable, Iterator, Mapping
from pathlib import Path
from statistics import NormalDist
from typing import Annotated, Literal, Self

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

SLO = Path(__file__).resolve().with_name("slo.yaml")
STANDARD = "standard"

Severity = Literal["critical", "warning"]
Unit = Literal["seconds", "ratio", "per pass", "requests", "events", "labels per day"]

_UNIT_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}

# What each alert is asked, and in which unit: the limits that it must have, no more and no fewer.
LIMITS: Mapping[str, Mapping[str, Unit]] = {
    "TenantryServiceDown": {"some_down": "seconds", "up": "ratio"},
    "TenantryQueueSaturated": {"used": "ratio"},
    "TenantryBankThrashing": {"evictions": "per pass", "loading": "ratio"},
    "TenantryAdapterQuarantined": {},
    "TenantryTenantLimited": {"refused": "ratio", "requests_min": "requests"},
    "TenantryEventLogFailing": {},
    "TenantryEventLogSlow": {"busy": "ratio", "write": "seconds"},
    "TenantryEventsDropped": {"events": "events"},
    "TenantryDiskFilling": {"free": "ratio", "full_in": "seconds", "likely": "ratio"},
    "TenantryRegistryUnreachable": {"age": "seconds"},
    "TenantryMixedBundles": {},
    "TenantryCanaryRolledBack": {"told": "seconds"},
    "TenantryCanaryWorse": {},
    "TenantryCalibrationBeyondObjective": {},
    "TenantryAccuracyBelowObjective": {},
    "TenantryDrift": {},
    "TenantryFleetDrift": {},
    "TenantryInputQuality": {"bad": "ratio", "rise": "ratio"},
    "TenantryRetrainRequested": {"told": "seconds"},
    "TenantryDataStale": {"age": "seconds"},
    "TenantryLabelsStopped": {
        "since": "seconds",
        "before": "seconds",
        "known": "seconds",
        "labels": "labels per day",
    },
    "TenantryMonitorDown": {"up": "ratio"},
    "TenantryMonitorStale": {"idle": "seconds"},
    "TenantryLogLag": {"lag": "seconds"},
    "TenantryLogUnreadDeleted": {},
    "TenantryTenantsUncounted": {},
    "TenantryWatchdog": {},
}


class InvalidSlo(Exception):
    """The file says something that cannot be meant; the message names each path."""


def seconds(duration: str) -> int:
    """Return a duration such as `5m` in seconds."""
    return int(duration[:-1]) * _UNIT_S[duration[-1]]


def _duration(value: str) -> str:
    if re.fullmatch(r"(0|[1-9]\d*)[smhd]", value) is None:
        raise ValueError("a duration is a whole number and one of s, m, h, d: 5m")
    return value


def _share(value: float) -> float:
    if not 0 < value < 1:
        raise ValueError("a share lies between 0 and 1: 0.999, not 99.9")
    return value


Duration = Annotated[str, AfterValidator(_duration)]
Share = Annotated[float, AfterValidator(_share)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]
Url = Annotated[str, Field(pattern=r"^https?://[^\s\"'{}]+[^\s\"'{}/]$")]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, populate_by_name=True)


class Window(_Part):
    """How fast a budget may burn, over how long."""

    burn: Annotated[float, Field(gt=0)]
    long: Duration
    short: Duration
    severity: Severity
    held: Annotated[Duration, Field(alias="for")]

    @model_validator(mode="after")
    def _long_is_longer(self) -> Self:
        if not 0 < seconds(self.short) < seconds(self.long):
            raise ValueError(f"short ({self.short}) must be shorter than long ({self.long})")
        return self


class Evidence(_Part):
    """When so few requests say enough."""

    confidence: Share
    bad_requests_min: Annotated[int, Field(ge=1)]

    @property
    def z(self) -> float:
        """Return the normal quantile of the two-sided interval."""
        return round(NormalDist().inv_cdf((1 + self.confidence) / 2), 4)


class ServiceObjective(_Part):
    """What all tenants together are promised."""

    owner: Name
    availability: Share
    latency: Share


class ClassObjective(_Part):
    """What each tenant of a class is promised."""

    owner: Name
    availability: Share
    latency: Share
    calibration_error: Share
    accuracy: Share | None = None


class Tenant(_Part):
    """What is different for one tenant."""

    owner: Name


class Limit(_Part):
    """A number that an alert compares with."""

    value: Annotated[float, Field(ge=0)]
    unit: str
    why: Annotated[str, Field(min_length=1)]


class AlertSettings(_Part):
    """What can be set of an alert that is not about an error budget."""

    owner: Name
    held: Annotated[Duration, Field(alias="for")]
    limits: dict[str, Limit] = Field(default_factory=dict)


class Urls(_Part):
    """Where links lead."""

    runbooks: Url
    dashboards: Url


class Webhook(_Part):
    """A URL that is posted to; the credentials are a bearer token in a file."""

    url: Url
    credentials_file: str | None = None


class Slack(_Part):
    """A channel; the incoming webhook's URL is a secret, and in a file."""

    url_file: str
    channel: str


class Email(_Part):
    """An address."""

    to: Annotated[str, Field(pattern=r"^\S+@\S+$")]


class Receiver(_Part):
    """Ways to tell somebody, all of which are taken."""

    webhook: Webhook | None = None
    slack: Slack | None = None
    email: Email | None = None

    @model_validator(mode="after")
    def _has_a_way(self) -> Self:
        if self.webhook is None and self.slack is None and self.email is None:
            raise ValueError("needs at least one of webhook, slack, email")
        return self


class Owner(_Part):
    """How a team is told, by how urgent it is."""

    page: Receiver
    ticket: Receiver
    info: Receiver


class Smtp(_Part):
    """The mail server; the password is in a file."""

    smarthost: Annotated[str, Field(pattern=r"^\S+:\d+$")]
    sender: Annotated[str, Field(alias="from", pattern=r"^\S+@\S+$")]
    username: str | None = None
    password_file: str | None = None


class Slo(_Part):
    """The whole file."""

    period: Duration
    windows: tuple[Window, ...]
    evidence: Evidence
    service: ServiceObjective
    classes: dict[Name, ClassObjective]
    tenants: dict[Name, Tenant]
    alerts: dict[str, AlertSettings]
    urls: Urls
    owners: dict[Name, Owner]
    fallback: Name
    heartbeat: Receiver
    smtp: Smtp | None = None

    @field_validator("windows", mode="before")
    @classmethod
    def _from_list(cls, value: object) -> object:
        return tuple(value) if isinstance(value, list) else value

    @property
    def standard(self) -> ClassObjective:
        """Return what a class has that is not listed."""
        return self.classes[STANDARD]

    def alert(self, name: str) -> AlertSettings:
        """Return what is set of an alert."""
        return self.alerts[name]

    def limit(self, alert: str, name: str) -> str:
        """Return a limit as PromQL writes numbers."""
        return f"{self.alerts[alert].limits[name].value:.12g}"


def read(path: Path = SLO) -> Slo:
    """Return what the file says; raise `InvalidSlo`."""
    return parse(path.read_text(encoding="utf-8"), path.name)


def parse(text: str, name: str = "slo.yaml") -> Slo:
    """Return what the text says; raise `InvalidSlo`, with `name` in its message."""
    try:
        document = yaml.load(text, _OnceLoader)  # noqa: S506 - a SafeLoader
        slo = Slo.model_validate(document)
    except yaml.YAMLError as error:
        raise InvalidSlo(f"{name}: {error}") from error
    except ValidationError as error:
        lines = [f"{name}: {_told(one)}" for one in error.errors()]
        raise InvalidSlo("\n".join(lines)) from error
    wrong = [f"{name}: {line}" for line in _contradictions(slo)]
    if wrong:
        raise InvalidSlo("\n".join(wrong))
    return slo


class _OnceLoader(yaml.SafeLoader):
    """Refuses a key that stands twice in a mapping, of which YAML would take the last."""

    def construct_mapping(
        self, node: yaml.MappingNode, deep: bool = False
    ) -> dict[Hashable, object]:
        """Return the mapping."""
        seen: set[str] = set()
        for key, _ in node.value:
            if key.value in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"{key.value!r} stands here twice", key.start_mark
                )
            seen.add(key.value)
        return super().construct_mapping(node, deep)


def _told(error: ErrorDetails) -> str:
    path = ".".join(str(part) for part in error["loc"] if part != "[key]") or "the whole file"
    message = error["msg"].removeprefix("Value error, ")
    return f"{path}: {message}"


def _contradictions(slo: Slo) -> Iterator[str]:
    """Yield what no part of the file can know alone."""
    yield from _windows_out_of_order(slo)
    yield from _objectives_out_of_reach(slo)
    yield from _alerts_at_fault(slo)
    named = [("service.owner", slo.service.owner), ("fallback", slo.fallback)]
    named += [(f"classes.{name}.owner", one.owner) for name, one in slo.classes.items()]
    named += [(f"tenants.{name}.owner", one.owner) for name, one in slo.tenants.items()]
    named += [(f"alerts.{name}.owner", one.owner) for name, one in slo.alerts.items()]
    for path, owner in named:
        if owner not in slo.owners:
            yield f"{path}: {owner!r} is none of owners: {', '.join(sorted(slo.owners))}"
    if STANDARD not in slo.classes:
        yield f"classes: {STANDARD!r} is missing; classes that are not listed take it"
    if slo.smtp is None:
        for path, receiver in _receivers(slo):
            if receiver.email is not None:
                yield f"{path}.email: needs smtp"


def _receivers(slo: Slo) -> Iterator[tuple[str, Receiver]]:
    for name, owner in slo.owners.items():
        yield f"owners.{name}.page", owner.page
        yield f"owners.{name}.ticket", owner.ticket
        yield f"owners.{name}.info", owner.info
    yield "heartbeat", slo.heartbeat


def _windows_out_of_order(slo: Slo) -> Iterator[str]:
    if not slo.windows:
        yield "windows: at least one is needed"
    for at, (before, after) in enumerate(zip(slo.windows, slo.windows[1:], strict=False), 1):
        if seconds(after.long) <= seconds(before.long) or after.burn >= before.burn:
            yield f"windows.{at}: windows go from short and fast to long and slow"
        if (before.severity, after.severity) == ("warning", "critical"):
            yield f"windows.{at}.severity: a slower burn is not more severe than a faster one"
    for at, window in enumerate(slo.windows):
        if seconds(window.long) > seconds(slo.period):
            yield f"windows.{at}.long: longer than the period"


def _objectives_out_of_reach(slo: Slo) -> Iterator[str]:
    """An objective so low that a burn rate asks for more errors than there are requests."""
    promised = {"service": slo.service, **{f"classes.{n}": c for n, c in slo.classes.items()}}
    fastest = max((window.burn for window in slo.windows), default=0.0)
    for path, one in promised.items():
        for kind in ("availability", "latency"):
            share = getattr(one, kind)
            if fastest * (1 - share) >= 1:
                yield (
                    f"{path}.{kind}: {share:g} never fires: {fastest:g} times its budget is"
                    " more than all requests"
                )


def _alerts_at_fault(slo: Slo) -> Iterator[str]:
    for name in sorted(LIMITS.keys() - slo.alerts.keys()):
        yield f"alerts.{name}: is missing"
    for name, settings in slo.alerts.items():
        if name not in LIMITS:
            yield f"alerts.{name}: there is no such alert"
            continue
        for limit in sorted(LIMITS[name].keys() - settings.limits.keys()):
            yield f"alerts.{name}.limits.{limit}: is missing"
        for limit, given in settings.limits.items():
            unit = LIMITS[name].get(limit)
            path = f"alerts.{name}.limits.{limit}"
            if unit is None:
                yield f"{path}: there is no such limit"
            elif given.unit != unit:
                yield f"{path}.unit: is {given.unit!r}, and this limit is in {unit!r}"
            elif unit == "ratio" and not 0 < given.value < 1:
                yield f"{path}.value: a ratio lies between 0 and 1"
