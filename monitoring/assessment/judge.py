"""The judge: makes references, and draws conclusions each time a bucket of a version is over.

What it finds follows from the log alone, and is written in the transaction of the figures it rests
on: alarms, history, triggers, and the memo that fleet table and metrics are made of.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import msgspec
import numpy as np

from monitoring import codec
from monitoring.assessment import alarms as life
from monitoring.assessment import conditions, drift, examples, harm, labels
from monitoring.assessment.answers import note_answers
from monitoring.assessment.bad_inputs import bad_inputs
from monitoring.assessment.comparison import Comparison, comparison_of
from monitoring.assessment.fleet_watch import FleetWatch, reported
from monitoring.assessment.lasting import lasting
from monitoring.assessment.memo import Memo, read_memo
from monitoring.assessment.policy import Policy
from monitoring.assessment.verdict import verdict
from monitoring.backends.backends import Backends
from monitoring.backends.result import BackendResult
from monitoring.backends.rows import BackendRows
from monitoring.detectors import watch
from monitoring.detectors.figures import unknown
from monitoring.references.reference import FORMAT, Measuring, make_reference
from monitoring.references.rows import ReferenceRows
from monitoring.report import Alarm, HistoryPoint
from monitoring.rows import FloatArray, IntArray
from monitoring.state.ports import Origin
from monitoring.state.view import Desk
from monitoring.state.windows import WindowRows
from monitoring.triggers import outbox, rules
from monitoring.triggers.outbox import Fate
from monitoring.triggers.trigger import PREDICTION_IDS_MAX, Reason, Trigger, microseconds_of
from monitoring.watched import Watched

_SECOND_US = 1_000_000


@dataclass(frozen=True, slots=True)
class _Look:
    """A version at the end of one of its buckets."""

    desk: Desk
    watched: Watched
    end_us: int
    comparison: Comparison
    window: WindowRows | None  # the primary one; None: there are no predictions
    memo: Memo  # which the look changes


class Judge:
    """`monitoring.ingest.ports.Judge`, used by the thread that folds."""

    def __init__(
        self,
        policy: Policy,
        fate: Fate,
        on_trigger: Callable[[], object],
        backends: Backends | None = None,
    ) -> None:
        """`fate` is what becomes of triggers; `on_trigger` is called when one is to be stored."""
        self._policy = policy
        self._fate: Fate = fate
        self._on_trigger = on_trigger
        self._backends = backends
        self._fleet = FleetWatch(policy)
        kept = [FORMAT, policy.seed, policy.drift_tolerance]
        self._key = hashlib.sha256(msgspec.json.encode(kept)).hexdigest()[:16]

    # --- references ----------------------------------------------------------------------

    @property
    def key(self) -> str:
        """Return a digest of the settings that references depend on."""
        return self._key

    def reference(self, rows: ReferenceRows, origin: Origin) -> bytes:
        """Return what detectors need of a reference; raise `ValueError` where nothing can be."""
        policy = self._policy
        made = make_reference(rows, origin, seed=policy.seed, tolerance=policy.drift_tolerance)
        return codec.encode(made)

    def measure(self, data: bytes) -> Measuring:
        """Return a reference in use, of what `reference` gave."""
        return Measuring.of(data)

    def watch_to_bytes(self, watch: Any) -> bytes:
        """Return the state of a watch as bytes, exactly."""
        return codec.encode(watch)

    def watch_from_bytes(self, data: bytes) -> watch.State:
        """Return the state of a watch that `watch_to_bytes` wrote."""
        return codec.decode(data, watch.State)

    # --- what happens --------------------------------------------------------------------

    def run_lengths(
        self, desk: Desk, time_us: IntArray, latest_us: int | None
    ) -> tuple[FloatArray, int | None]:
        """Return in how many rows a watch may raise one false alarm, at each row."""
        return self._fleet.run_lengths(desk, time_us, latest_us)

    def forget(self, desk: Desk, tenant: str) -> None:
        """Delete what the fleet detector holds of a tenant."""
        self._fleet.forget(desk, tenant)

    def alarmed(self, desk: Desk, watched: Watched, time_us: int, prediction_id: str) -> None:
        """Begin an alarm, or take note that the one that is on was raised again."""
        memo = read_memo(desk.memo(watched))
        memo.alarmed_us = time_us
        alarms = desk.alarms(watched)
        if life.active(alarms, "drift") is None and _may_alarm(desk, watched):
            memo.drift_alarms += 1
            run_length = self._fleet.usual_run_length(desk, watched)
            alarm = Alarm(
                kind="drift",
                began_s=time_us / _SECOND_US,
                ended_s=None,
                reason=f"inputs changed, says the continuous watch, at prediction {prediction_id}",
                evidence=math.log10(run_length),
            )
            desk.set_alarms(watched, life.begun(alarms, alarm))
        desk.set_memo(watched, codec.encode(memo))

    def closed(self, desk: Desk, watched: Watched, end_us: int) -> None:
        """Assess a version at the end of one of its buckets."""
        policy = self._policy
        self._fleet.closed(desk, end_us)
        memo = read_memo(desk.memo(watched))
        memo.time_us = end_us
        comparison = comparison_of(desk, watched)
        window = desk.window_rows(watched, policy.rows_of(comparison.rows), until_us=end_us)
        look = _Look(desk, watched, end_us, comparison, window, memo)
        reading, whose = self._drift(look)
        note_answers(memo, None if window is None else window.sketch)
        accuracy = labels.reference_accuracy(comparison.reference)
        memo.reference_accuracy = accuracy.value if accuracy.is_defined else None
        self._labels(look)
        self._estimate(look)
        self._watch(look)
        self._inputs(look)
        memo.backends = self._tested(look)
        memo.reported = reported(desk, watched)
        alarms = self._alarms(look)
        desk.set_alarms(watched, alarms)
        told = harm.reasons(memo, accuracy, policy)
        memo.state, memo.why = verdict(alarms, told, memo.effect, comparison, reading, whose)
        self._trigger(look, alarms)
        desk.set_memo(watched, codec.encode(memo))
        desk.add_history(watched, _point(memo, alarms))

    # --- parts of an assessment ----------------------------------------------------------

    def _drift(self, look: _Look) -> tuple[str, str | None]:
        """Assess the primary window; return how it reads, and whether inputs or adapter moved."""
        memo, window = look.memo, look.window
        if window is None:
            memo.rows, memo.effect = 0, unknown("no predictions in the log")
            memo.statistic = memo.pvalue = memo.class_statistic = memo.beyond_since_us = None
            return "no predictions", None
        reference, tolerance = look.comparison.reference, self._policy.drift_tolerance
        found = drift.assessed(reference, window.sketch, tolerance)
        shown = drift.told(found, ())
        memo.rows = window.sketch.predictions
        memo.statistic, memo.effect = shown.statistic, shown.effect
        memo.pvalue, memo.class_statistic = shown.pvalue, shown.class_statistic
        end_us = round(window.end_s * _SECOND_US)
        effect = found.distance.effect
        memo.beyond_since_us = rules.beyond_since(memo.beyond_since_us, effect, end_us)
        whose = None
        if is_beyond(memo) and window.sketch.based:
            base = drift.assessed(reference, window.sketch, tolerance, base=True)
            whose = drift.whose(effect, base.distance.effect)
        return shown.reading, whose

    def _labels(self, look: _Look) -> None:
        """Compute label figures where a label came, or old ones may have fallen out.

        Coverage changes with every prediction, and is cheap.
        """
        desk, watched, memo = look.desk, look.watched, look.memo
        seen = desk.totals(watched).labels
        answered = labels.traffic_of(desk, watched, self._policy, look.end_us).predictions
        if memo.label_coverage is not None and answered:
            memo.label_coverage = min(1.0, memo.covered / answered)
        if seen == memo.labels_seen and not (seen and labels.is_stale(memo.labels_us, look.end_us)):
            return
        reference = look.comparison.reference
        told = labels.assessed(desk, watched, reference, self._policy, look.end_us)
        memo.labels_seen, memo.labels_us = seen, look.end_us
        memo.calibration_error, memo.brier = told.error, told.brier
        memo.accuracy, memo.audited = told.accuracy, told.audited
        memo.label_coverage, memo.label_delay_s = told.coverage, told.delay_s_median
        memo.covered = (told.coverage or 0.0) * answered

    def _estimate(self, look: _Look) -> None:
        memo = look.memo
        if look.window is None:
            memo.estimated = unknown("no predictions in the log")
            return
        told = labels.estimated(
            look.desk,
            look.watched,
            look.comparison.reference,
            look.window,
            self._policy,
            is_reliable=is_reliable(memo),
        )
        memo.estimated = told.helped if told.helped.unknown is None else told.estimate

    def _watch(self, look: _Look) -> None:
        desk, watched = look.desk, look.watched
        desk.set_run_length(watched, self._fleet.usual_run_length(desk, watched))
        kept = desk.watch(watched)
        look.memo.evidence_log10 = (
            None if kept is None else watch.evidence_log10(kept.watch, kept.run_length)
        )

    def _inputs(self, look: _Look) -> None:
        memo, start_us = look.memo, look.end_us - self._policy.bucket_s * _SECOND_US
        bucket = look.desk.sketch_between(look.watched, start_us, look.end_us)
        if bucket is None:
            return
        for reason, count in bad_inputs(bucket.sketch).items():
            memo.bad_inputs[reason] = memo.bad_inputs.get(reason, 0) + count

    def _tested(self, look: _Look) -> tuple[BackendResult, ...]:
        """Test the newest rows with the back-ends that were selected for the adapter."""
        desk, watched = look.desk, look.watched
        recent = desk.recent(watched)
        found = desk.reference(watched)
        if self._backends is None or recent is None or found is None:
            return ()
        window = BackendRows(
            recent.embeddings.astype(np.float32), recent.probabilities.astype(np.float32)
        )

        def reference() -> BackendRows | None:
            rows = desk.reference_rows(found.id)
            if rows.embeddings is None or found.source != "holdout":
                return None
            return BackendRows(
                rows.embeddings.astype(np.float32), rows.probabilities.astype(np.float32)
            )

        told = self._backends.assess(
            watched.tenant, watched.adapter, str(found.id), reference, window
        )
        # Seconds are not a function of the log.
        return tuple(msgspec.structs.replace(one, seconds=0.0) for one in told)

    def _alarms(self, look: _Look) -> life.Alarms:
        """Return the alarms after this look."""
        desk, watched, memo = look.desk, look.watched, look.memo
        end_s = look.end_us / _SECOND_US
        alarms = lasting(desk, watched, end_s)
        if not life.can_last(watched.role, desk.standing(watched)):
            return alarms
        wider = self._fleet.label_level(desk, memo.labels_seen)
        accuracy = labels.reference_accuracy(look.comparison.reference)
        alarms = harm.judged(alarms, memo, accuracy, self._policy, wider, look.end_us)
        if look.window is not None and _is_over(memo, look.window):
            alarms = life.ended(alarms, "drift", end_s)
        return alarms

    # --- triggers ------------------------------------------------------------------------

    def _trigger(self, look: _Look, alarms: life.Alarms) -> None:
        """Raise what the rules call for, unless the adapter raised it not long ago."""
        desk, watched, memo = look.desk, look.watched, look.memo
        policy = conditions.rules_of(self._policy)
        condition = conditions.condition_of(
            desk, watched, memo, alarms, look.window, look.comparison, self._policy
        )
        if not rules.judge(condition, policy, {}):
            return
        for trigger in rules.judge(condition, policy, _raised_us(desk, watched)):
            memo.raised[trigger.reason] = memo.raised.get(trigger.reason, 0) + 1
            memo.raised_us[trigger.reason] = microseconds_of(trigger.raised)
            self._store(desk, self._shown(look, trigger))

    def _shown(self, look: _Look, trigger: Trigger) -> Trigger:
        """Return a trigger with the predictions that show why it was raised."""
        found = examples.evidence(
            look.desk,
            look.watched,
            look.comparison,
            look.window,
            self._policy,
            trigger.reason,
            look.end_us,
            PREDICTION_IDS_MAX,
        )
        evidence = msgspec.structs.replace(trigger.evidence, prediction_ids=found)
        return msgspec.structs.replace(trigger, evidence=evidence)

    def _store(self, desk: Desk, trigger: Trigger) -> None:
        cooldown_us = round(self._policy.webhook_cooldown_s * _SECOND_US)
        store = partial(outbox.store, trigger=trigger, cooldown_us=cooldown_us, fate=self._fate)
        desk.defer(store)
        self._on_trigger()


def _may_alarm(desk: Desk, watched: Watched) -> bool:
    """Say whether drift of a version can be an alarm: it answers, and its reference is sound."""
    can_last = life.can_last(watched.role, desk.standing(watched))
    return can_last and comparison_of(desk, watched).failure is None


def is_beyond(memo: Memo) -> bool:
    """Say whether drift is beyond its tolerance, as far as it is known."""
    return memo.effect.value is not None and memo.effect.value > 1


def is_reliable(memo: Memo) -> bool:
    """Say whether confidence can mean what it meant: drift is known to be within its tolerance."""
    return memo.effect.value is not None and memo.effect.value <= 1


def _is_over(memo: Memo, window: WindowRows) -> bool:
    """Say whether a drift alarm is over.

    A whole window came since the watch raised it last, and nothing shows that it lies beyond the
    tolerance: a tenant may have begun to keep its embeddings to itself.
    """
    return window.start_s * _SECOND_US > memo.alarmed_us and not is_beyond(memo)


def _raised_us(desk: Desk, watched: Watched) -> Mapping[Reason, int]:
    """Return when an adapter raised each reason last, in whatever version."""
    last: dict[Reason, int] = {}
    for other in desk.watched(watched.tenant, watched.adapter):
        for reason, time_us in read_memo(desk.memo(other)).raised_us.items():
            last[reason] = max(time_us, last.get(reason, 0))
    return last


def _point(memo: Memo, alarms: life.Alarms) -> HistoryPoint:
    effect = memo.effect
    return HistoryPoint(
        time_s=memo.time_us / _SECOND_US,
        rows=memo.rows,
        effect=effect.value,
        lower=effect.lower,
        upper=effect.upper,
        evidence_log10=memo.evidence_log10,
        pvalue=memo.pvalue,
        class_statistic=memo.class_statistic,
        accuracy=memo.accuracy.value,
        calibration_error=memo.calibration_error.value,
        alarm=life.any_active(alarms),
    )
