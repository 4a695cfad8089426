"""A fleet of made-up reports: every state, every way of not knowing, and texts meant to do harm.

| adapter | what is the matter |
| --- | --- |
| acme/support | drifted after a rollout; two other versions; groups; texts are logged |
| globex/spam | calibration turned: labels say that it is too sure |
| initech/moderation | well |
| hooli/notes | a pooled reference, hardly any rows, no labels: unknown |
| xss/inject | well, but its labels, texts, actors and reasons are markup |
"""

import dataclasses
import math
import random
from dataclasses import dataclass, field

from msgspec.structs import replace

from monitoring.errors import UnknownWatched
from monitoring.report import (
    Accuracy,
    AdapterLine,
    AdapterReport,
    Alarm,
    Bar,
    Calibration,
    ClassMix,
    ClassShare,
    Drift,
    Figure,
    FleetReport,
    FleetState,
    GroupReport,
    HistoryPoint,
    LogState,
    Mark,
    Point,
    Quality,
    ReferenceInfo,
    ReliabilityBin,
    Sample,
    State,
    TriggerReport,
    VersionReport,
    Watch,
    Window,
    WindowReport,
)
from monitoring.watched import Role
from monitoring.web.reports import (
    Measured,
    RolledBack,
    Rollout,
    RolloutRole,
    VersionFigures,
)

NOW_S = 1_743_431_400.0  # 2025-03-31 14:30 UTC
HOUR_S = 3600.0
DAY_S = 86_400.0
BACKBONE = "sha256:" + "b7" * 32
HARM = "<img src=x onerror=\"document.title='harmed'\"><script>document.title='harmed'</script>"
CLASSES = ("billing", "cancel", "delivery", "login", "refund", "returns", "shipping", "warranty")

_ORDER: dict[State, int] = {"alarm": 0, "warning": 1, "unknown": 2, "ok": 3}


@dataclass(frozen=True)
class Case:
    """What is the matter with a version, in a few numbers."""

    tenant: str
    adapter: str
    version: int = 3
    role: Role = "live"
    state: State = "ok"
    why: str = "Drift is within tolerance and probabilities keep what they say."
    reading: str = "within tolerance"
    effect: float | None = 0.4  # at the end
    effect_before: float = 0.4
    moved_ago_s: float = 5 * HOUR_S
    error: float | None = 0.03
    accuracy: float = 0.93
    labels: int = 1240
    rows: int = 500
    predictions: int = 184_302
    classes: tuple[str, ...] = CLASSES
    pooled: bool = False
    texts: tuple[str | None, ...] = (None,)
    groups: tuple[str, ...] = ()
    actor: str = "ci@acme.example"


SUPPORT = Case(
    "acme",
    "support",
    version=4,
    state="alarm",
    why="Inputs moved 2.31 times as far as tolerated (interval 1.86 to 2.78) over the last 500"
    " rows, and stayed so with the reference's class mix: other content.",
    reading="other content: the distance stays when classes are re-weighted",
    effect=2.31,
    accuracy=0.861,
    error=0.061,
    texts=(
        "where is the parcel that your new courier was to bring on tuesday???",
        "the app asks me for a passkey, what is that",
        "Bonjour, je n'ai toujours pas reçu ma commande",
        None,
    ),
    groups=("mobile", "web", "_other"),
)
SPAM = Case(
    "globex",
    "spam",
    version=2,
    state="warning",
    why="Answers are surer than they are right: calibration error 14.2 % (interval 11.0 % to"
    " 17.6 %) by 420 labels; inputs did not move.",
    error=0.142,
    accuracy=0.805,
    labels=420,
    classes=("ham", "spam"),
)
MODERATION = Case("initech", "moderation", version=1, labels=3110)
NOTES = Case(
    "hooli",
    "notes",
    version=1,
    state="unknown",
    why="Too few rows to tell: 31 of 50, and no labels came back.",
    reading="too few rows",
    effect=None,
    error=None,
    labels=0,
    rows=31,
    predictions=31,
    pooled=True,
)
INJECT = Case(
    "xss",
    "inject",
    why=f"Nothing is the matter {HARM}",
    reading=HARM,
    classes=(HARM, "'\"><svg onload=alert(1)>", "</script><script>alert(1)</script>"),
    texts=(HARM, "javascript:alert(1)", "\u202eright to left", "two\nlines"),
    groups=(HARM,),
    actor=HARM,
)
CASES = (SUPPORT, SPAM, MODERATION, NOTES, INJECT)


@dataclass
class FakeReports:
    """Reports and measurements of some cases; `more` adds healthy adapters by the hundred."""

    cases: tuple[Case, ...] = CASES
    more: int = 0
    lag_s: float = 0.8
    problems: tuple[str, ...] = ()
    version: str = "0.1.0"
    made_s: float = NOW_S
    asked: list[str] = field(default_factory=list)

    def fleet(self, tenant: str | None = None) -> FleetReport:
        self.asked.append("fleet" if tenant is None else f"fleet {tenant}")
        lines = [line_of(case) for case in self.cases]
        lines += [many_line(index) for index in range(self.more)]
        lines.sort(key=lambda line: _ORDER[line.state])
        triggers = [trigger for case in self.cases for trigger in triggers_of(case)]
        if tenant is not None:
            lines = [line for line in lines if line.tenant == tenant]
            triggers = [trigger for trigger in triggers if trigger.tenant == tenant]
        return FleetReport(
            version=self.version,
            made_s=self.made_s,
            log=self.log(),
            fleet=None if tenant is not None else fleet_state(len(lines)),
            adapters=tuple(lines),
            triggers=tuple(triggers),
            problems=self.problems,
        )

    def adapter(self, tenant: str, adapter: str) -> AdapterReport:
        self.asked.append(f"{tenant}/{adapter}")
        for case in self.cases:
            if (case.tenant, case.adapter) == (tenant, adapter):
                return adapter_of(case)
        raise UnknownWatched(f"there is no adapter {adapter!r} of {tenant!r} in the log")

    def log(self) -> LogState:
        waiting = self.lag_s > 60
        return LogState(
            lag_s=self.lag_s,
            backlog_bytes=48_300_000 if waiting else 0,
            backlog_segments=3 if waiting else 0,
            events=1_204_331,
            damaged=0,
            missing=0,
            late=12,
            freshest_s=self.made_s - self.lag_s,
        )

    def measured(self) -> Measured:
        return Measured(
            version=self.version,
            looked_s=self.made_s,
            log=self.log(),
            fleet=fleet_state(len(self.cases)),
            fleet_alarms=1,
            calibration_objective=0.1,
            watched=tuple(map(figures_of, self.cases)),
            rollouts=tuple(map(rollout_of, self.cases)),
        )


def figure(value: float | None, half: float, count: int, unknown: str = "") -> Figure:
    if value is None:
        return Figure(count=count, unknown=unknown)
    return Figure(value=value, lower=value - half, upper=value + half, count=count)


def fleet_state(watched: int) -> FleetState:
    return FleetState(
        alarm=False,
        evidence_log10=0.2,
        moved=1,
        watched=watched,
        budget_per_week=1.0,
        reading="Single tenants moved, not everyone.",
    )


def effect_of(case: Case) -> Figure:
    return figure(case.effect, 0.46, case.rows, f"too few rows: {case.rows} of 50")


def error_of(case: Case) -> Figure:
    return figure(case.error, 0.024, case.labels, f"too few labels: {case.labels} of 50")


def accuracy_of(case: Case) -> Figure:
    known = case.accuracy if case.labels else None
    return figure(known, 0.018, case.labels, f"too few labels: {case.labels} of 50")


def estimate_of(case: Case) -> Figure:
    known = case.accuracy + 0.02 if case.rows > 50 else None
    return figure(known, 0.03, case.rows, "too few rows: 31 of 50")


def line_of(case: Case) -> AdapterLine:
    return AdapterLine(
        tenant=case.tenant,
        adapter=case.adapter,
        version=case.version,
        role=case.role,
        standing="live",
        state=case.state,
        why=case.why,
        effect=effect_of(case),
        evidence_log10=4.2 if case.state == "alarm" else 0.3,
        calibration_error=error_of(case),
        accuracy=accuracy_of(case),
        estimated=estimate_of(case),
        labels=case.labels,
        predictions=case.predictions,
        last_s=NOW_S - 12,
        reference="pooled" if case.pooled else "holdout",
    )


def many_line(index: int) -> AdapterLine:
    state: State = ("ok", "ok", "ok", "unknown", "warning")[index % 5]
    case = dataclasses.replace(
        MODERATION, tenant=f"tenant-{index // 3:04}", adapter=f"adapter-{index:04}"
    )
    return replace(line_of(case), state=state, effect=figure(0.2 + index % 17 / 20, 0.2, 500))


def reference_of(case: Case) -> ReferenceInfo:
    return ReferenceInfo(
        source="pooled" if case.pooled else "holdout",
        rows=4100 if case.pooled else 640,
        made_s=NOW_S - 20 * DAY_S,
        backbone=BACKBONE,
        note="too small for p-values of windows of more than 160 rows" if case.pooled else None,
    )


def adapter_of(case: Case) -> AdapterReport:
    versions = [version_of(case)]
    if case is SUPPORT:
        canary = dataclasses.replace(
            case, version=5, role="canary", state="ok", effect=0.7, rows=212, labels=61
        )
        shadow = dataclasses.replace(
            case, version=6, role="shadow", state="unknown", labels=0, error=None
        )
        versions += [version_of(canary), version_of(shadow)]
    return AdapterReport(
        tenant=case.tenant,
        adapter=case.adapter,
        versions=tuple(versions),
        rollouts=rollouts_of(case),
        triggers=triggers_of(case),
    )


def rollouts_of(case: Case) -> tuple[Mark, ...]:
    marks = [
        (20 * DAY_S, 1, None),
        (30 * HOUR_S, 3, None),
        (8 * HOUR_S, 4, None),
        (2 * HOUR_S, 4, 5),
    ]
    told = [
        Mark(
            time_s=NOW_S - ago_s,
            revision=index + 1,
            live=live,
            canary=canary,
            canary_percent=None if canary is None else 10.0,
            shadow=(6,) if canary else (),
            actor=case.actor,
            forced="the gate compared with another class mix" if index == 2 else None,
        )
        for index, (ago_s, live, canary) in enumerate(marks)
    ]
    if case is SUPPORT:
        told[1] = replace(
            told[1], actor="controller", forced="latency: 0.4 s more than live", rolled_back=2
        )
    return tuple(told)


def triggers_of(case: Case) -> tuple[TriggerReport, ...]:
    if case.state not in ("alarm", "warning"):
        return ()
    drifted = case.state == "alarm"
    return (
        TriggerReport(
            id=f"trigger-{case.tenant}",
            tenant=case.tenant,
            adapter=case.adapter,
            version=case.version,
            reason="drift" if drifted else "calibration",
            raised_s=NOW_S - 3 * HOUR_S,
            delivered="delivered" if drifted else "dry-run",
            attempts=2 if drifted else 1,
            detail="beyond tolerance for an hour" if drifted else "interval wholly beyond 10 %",
        ),
    )


def version_of(case: Case) -> VersionReport:
    names = (("last-500", 0.9 * HOUR_S, 1.0), ("1h", HOUR_S, 0.9), ("1d", DAY_S, 0.35))
    return VersionReport(
        tenant=case.tenant,
        adapter=case.adapter,
        version=case.version,
        role=case.role,
        standing=case.role if case.role != "pinned" else "retired",
        digest="sha256:" + f"{case.version:02x}" * 32,
        state=case.state,
        why=case.why,
        last_s=NOW_S - 12,
        predictions=case.predictions,
        sampled=0.5 if case.tenant == "globex" else 1.0,
        reference=reference_of(case),
        primary="last-500",
        windows=tuple(window_of(case, *name) for name in names),
        watch=watch_of(case),
        calibration=calibration_of(case),
        groups=tuple(
            GroupReport(group=group, predictions=900, calibration=calibration_of(part))
            for group, part in groups_of(case)
        ),
        alarms=alarms_of(case),
        history=history_of(case),
        projection=projection_of(case),
        samples=samples_of(case),
    )


def groups_of(case: Case) -> list[tuple[str, Case]]:
    return [
        (
            group,
            dataclasses.replace(
                case,
                labels=0 if group == "_other" else 300,
                accuracy=0.9 - 0.05 * index,
                error=None if group == "_other" else 0.05 + 0.03 * index,
            ),
        )
        for index, group in enumerate(case.groups)
    ]


def window_of(case: Case, name: str, length_s: float, share: float) -> WindowReport:
    effect = effect_of(case)
    if effect.value is not None:
        effect = figure(effect.value * (0.5 + share / 2), 0.46, case.rows)
    drift = Drift(
        statistic=None if effect.value is None else effect.value * 0.0131,
        tolerance=0.0131,
        effect=effect,
        reweighted=figure(effect.value and effect.value * 0.92, 0.5, case.rows, "too few rows"),
        content=figure(effect.value and effect.value * 0.88, 0.5, case.rows, "too few rows"),
        pvalue=None if case.pooled else (0.001 if case.state == "alarm" else 0.341),
        pvalue_unknown="reference too small" if case.pooled else None,
        class_statistic=None if case.pooled else 0.21,
        class_pvalue=None if case.pooled else 0.04,
        class_worst=None if case.pooled else case.classes[0],
        reading=case.reading,
    )
    base = replace(drift, effect=figure(effect.value, 0.5, 60, "too few rows"))
    return WindowReport(
        window=Window(
            name=name,
            start_s=NOW_S - length_s,
            end_s=NOW_S,
            rows=round(case.rows * (1 if name == "last-500" else 4 * share)),
            embedded=case.rows,
        ),
        drift=drift,
        base_drift=None if case.pooled else base,
        mix=mix_of(case),
        accuracy=Accuracy(
            estimate=estimate_of(case),
            helped=accuracy_of(case),
            reliable=case.state != "alarm",
        ),
        confidence=confidence_of(case),
        inputs=inputs_of(case),
    )


def mix_of(case: Case) -> ClassMix:
    refused = case.error is None
    total = sum(range(1, len(case.classes) + 1))
    shares = []
    for index, label in enumerate(case.classes):
        reference = (index + 1) / total
        now = (len(case.classes) - index) / total if case.state == "alarm" else reference * 0.98
        prior = Figure(unknown="condition of the confusion matrix is 41, above 30")
        if not refused:
            prior = figure(now * 0.95, 0.02, case.rows)
        shares.append(ClassShare(label=label, reference=reference, now=now, prior=prior))
    return ClassMix(
        statistic=14.2,
        pvalue=0.048,
        condition=41.0 if refused else 2.7,
        refused="condition of the confusion matrix is 41, above 30" if refused else None,
        classes=tuple(shares),
    )


def confidence_of(case: Case) -> tuple[Bar, ...]:
    bars = []
    for index in range(20):
        reference = math.exp(0.35 * index) / 2860
        now = math.exp(0.26 * index) / 760 if case.state == "alarm" else reference * 1.03
        bars.append(Bar(start=index / 20, end=(index + 1) / 20, reference=reference, now=now))
    return tuple(bars)


def inputs_of(case: Case) -> tuple[Quality, ...]:
    worse = 3.0 if case.state == "alarm" else 1.0
    rows = case.rows
    return (
        Quality(name="empty", unit="ratio", reference=0.0, now=0.0, count=rows, pvalue=1.0),
        Quality(
            name="truncated",
            unit="ratio",
            reference=0.012,
            now=0.012 * worse,
            count=rows,
            pvalue=0.003 if worse > 1 else 0.8,
        ),
        Quality(
            name="unknown_tokens",
            unit="ratio",
            reference=0.0021,
            now=0.0021 * worse,
            count=rows * 14,
        ),
        Quality(name="duplicates", unit="ratio", reference=None, now=0.034, count=rows),
        Quality(name="tokens_p50", unit="tokens", reference=14.0, now=15.0, count=rows),
        Quality(name="tokens_p95", unit="tokens", reference=41.0, now=44.0 * worse, count=rows),
    )


def watch_of(case: Case) -> Watch:
    unknown = "the reference is borrowed" if case.pooled else None
    return Watch(
        evidence_log10=None if unknown else (6.4 if case.state == "alarm" else 0.4),
        threshold_log10=5.1,
        run_length=126_000.0,
        rows=case.predictions,
        unknown=unknown,
    )


def calibration_of(case: Case) -> Calibration:
    nothing = f"too few labels: {case.labels} of 50"
    known = case.error is not None and case.labels > 0
    error = case.error or 0.0
    bins = []
    for index in range(10):
        confidence = 0.52 + 0.05 * index
        right = figure(min(0.99, confidence - error * 1.4), 0.05, case.labels // 10)
        bins.append(ReliabilityBin(confidence=confidence, accuracy=right))
    return Calibration(
        error=error_of(case),
        error_square=error**2 if known else None,
        brier=figure(0.11 + error if known else None, 0.014, case.labels, nothing),
        brier_reliability=error**2 if known else None,
        brier_resolution=0.021 if known else None,
        brier_uncertainty=0.12 if known else None,
        gap=figure(error * 0.9 if known else None, 0.02, case.labels, nothing),
        temperature=1.0 + 4 * error if known else None,
        accuracy=accuracy_of(case),
        bins=tuple(bins) if known else (),
        labels=case.labels,
        audited=case.labels // 12,
        coverage=0.067 if case.labels else None,
        delay_s_median=5.2 * HOUR_S if case.labels else None,
        delay_s_p90=2.4 * DAY_S if case.labels else None,
        weighted=case.tenant == "globex",
        reference_error=0.024,
        reference_accuracy=0.937,
    )


def alarms_of(case: Case) -> tuple[Alarm, ...]:
    old = Alarm(
        kind="drift",
        began_s=NOW_S - 26 * HOUR_S,
        ended_s=NOW_S - 25 * HOUR_S,
        reason="an import of old tickets",
        evidence=5.3,
    )
    if case.state == "alarm":
        began_s = NOW_S - case.moved_ago_s + HOUR_S
        reason = "further than tolerated since a rollout"
        new = Alarm(kind="drift", began_s=began_s, ended_s=None, reason=reason, evidence=6.4)
        return (new, old)
    if case.state == "warning":
        began_s = NOW_S - 4 * HOUR_S
        reason = "error beyond 10 % with its interval"
        return (
            Alarm(kind="calibration", began_s=began_s, ended_s=None, reason=reason, evidence=None),
        )
    return ()


def history_of(case: Case) -> tuple[HistoryPoint, ...]:
    drawn = random.Random(f"{case.tenant}/{case.adapter}/{case.version}")
    points = []
    steps = 36 * 4 if case.rows > 50 else 3
    evidence = 0.0
    for index in range(steps):
        ago_s = (steps - 1 - index) * 900.0
        moved = case.effect is not None and ago_s < case.moved_ago_s
        target = case.effect if moved and case.effect is not None else case.effect_before
        grown = min(1.0, (case.moved_ago_s - ago_s) / (2 * HOUR_S)) if moved else 1.0
        effect = case.effect_before + (target - case.effect_before) * grown + drawn.gauss(0, 0.07)
        if 25 * HOUR_S < ago_s < 26 * HOUR_S and case.state == "alarm":
            effect += 1.1
        hole = 17 * HOUR_S < ago_s < 19 * HOUR_S or case.effect is None
        evidence = max(0.0, evidence + (effect - 0.95) * 0.28 + drawn.gauss(0, 0.1))
        points.append(
            HistoryPoint(
                time_s=NOW_S - ago_s,
                rows=case.rows,
                effect=None if hole else effect,
                lower=None if hole else effect - 0.4,
                upper=None if hole else effect + 0.4,
                evidence_log10=None if case.pooled else evidence,
                pvalue=None if hole else max(0.001, 0.5 - effect / 5),
                class_statistic=0.1 + effect / 20,
                accuracy=case.accuracy + drawn.gauss(0, 0.008) if case.labels else None,
                calibration_error=None
                if case.error is None
                else max(0.0, case.error * (0.4 + 0.6 * index / steps) + drawn.gauss(0, 0.004)),
                alarm=not hole and effect > 1.4,
            )
        )
    return tuple(points)


def projection_of(case: Case) -> tuple[Point, ...]:
    if case.rows < 50:
        return ()
    drawn = random.Random(case.tenant)
    points = []
    for index in range(300):
        middle = index % len(case.classes)
        angle = 2 * math.pi * middle / len(case.classes)
        shift = 2.2 if case.state == "alarm" and index >= 200 else 0.0
        points.append(
            Point(
                x=4 * math.cos(angle) + drawn.gauss(0, 0.8) + shift,
                y=3 * math.sin(angle) + drawn.gauss(0, 0.8) - shift / 2,
                label=case.classes[middle],
                prediction_id=f"{index:048}" if index >= 200 else None,
            )
        )
    return tuple(points)


def samples_of(case: Case) -> tuple[Sample, ...]:
    if case.rows < 50:
        return ()
    return tuple(
        Sample(
            prediction_id=f"{index:04}" + "q8Zr" * 11,
            time_s=NOW_S - 700.0 * index,
            label=case.classes[index % len(case.classes)],
            confidence=0.41 + 0.05 * index,
            distance=1.31 - 0.04 * index,
            text=case.texts[index % len(case.texts)],
        )
        for index in range(8)
    )


def figures_of(case: Case) -> VersionFigures:
    known = case.effect is not None
    return VersionFigures(
        tenant=case.tenant,
        adapter=case.adapter,
        version=case.version,
        role=case.role,
        standing="live",
        digest="sha256:" + f"{case.version:02x}" * 32,
        first_s=NOW_S - 20 * DAY_S,
        last_s=NOW_S - 12,
        reference=reference_of(case),
        drift_statistic=case.effect and case.effect * 0.0131,
        drift_effect=case.effect,
        drift_pvalue=0.341 if known else None,
        drift_evidence_log10=0.4 if known else None,
        drift_alarm=case.state == "alarm" if known else None,
        calibration_error=error_of(case),
        brier=calibration_of(case).brier,
        accuracy=accuracy_of(case),
        estimated=estimate_of(case),
        label_coverage=0.067 if case.labels else None,
        label_delay_s=5.2 * HOUR_S if case.labels else None,
        drift_alarms=len(alarms_of(case)),
        labels=case.labels,
        predictions=case.predictions,
        class_shares=shares_of(case) if known else {},
        confidence={"0.1": 0.52, "0.5": 0.9, "0.9": 0.99} if known else {},
        tokens={"0.5": 12.0, "0.95": 31.0} if known else {},
        accuracy_objective=None if case.pooled else 0.88,
        out_of_service=False,
        bad_inputs={"truncated": 7, "empty": 1},
        triggers={"drift": len(triggers_of(case))},
        triggered_s={one.reason: one.raised_s for one in triggers_of(case)},
    )


def shares_of(case: Case) -> dict[str, float]:
    return {name: 1 / len(case.classes) for name in case.classes}


def rollout_of(case: Case) -> Rollout:
    """Return what rollouts say: a canary, and one before it that the service took out."""
    first, *_, last = rollouts_of(case)
    shares: dict[tuple[int, RolloutRole], float] = {(case.version, "live"): 1.0}
    if last.canary is not None and last.live == case.version:
        shares = {(case.version, "live"): 0.9, (last.canary, "canary"): 0.1, (6, "shadow"): 0.0}
    back = RolledBack(version=case.version + 1, reason="accuracy", time_s=NOW_S - 8 * HOUR_S)
    return Rollout(
        tenant=case.tenant,
        adapter=case.adapter,
        first_s=first.time_s,
        shares=shares,
        rolled_s={"automatic": back.time_s, "operator": last.time_s},
        rolled_back=(back,),
        out_of_service=(),
    )
