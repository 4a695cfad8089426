"""The fleet as the judge sees it: how the budget is shared out, and whether everyone moved.

A tick is the end of a time bucket. What versions reported at it lies in their memos; it is taken
in when the first bucket of the next tick closes.
"""

from statistics import NormalDist

from msgspec import Struct, field

from monitoring import codec
from monitoring.assessment import alarms as life
from monitoring.assessment.memo import read_memo
from monitoring.assessment.policy import Policy
from monitoring.detectors import fleet, watch
from monitoring.detectors.budget import WEEK_US, Budget, level, run_length, run_lengths
from monitoring.report import FleetState
from monitoring.rows import FloatArray, IntArray
from monitoring.state.view import Desk, View
from monitoring.triggers.trigger import time_of
from monitoring.watched import Watched
from service.measures import Z95

_SECOND_US = 1_000_000
_HOUR_US = 3600 * _SECOND_US
_DAY_US = 24 * _HOUR_US
_ACTIVE_US = _DAY_US  # a tenant that was silent for longer does not count
_NOTE = "fleet"


class _Note(Struct, kw_only=True):
    """What is kept of the fleet."""

    state: fleet.State = field(default_factory=fleet.State.begin)
    tick_us: int = 0  # the one whose reports are being gathered
    detectors: int = 1  # versions that share the budget of watches and of labels
    everyone_since_us: int | None = None  # while everyone moved


class FleetWatch:
    """Shares the budget out, and watches the fleet."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy
        self._budget = Budget.of(policy.alarms_per_week)
        ticks_a_week = WEEK_US / (policy.bucket_s * _SECOND_US)
        self._run_length = ticks_a_week / self._budget.fleet
        self._known: tuple[bytes | None, _Note] = (None, _Note())  # that was decoded last

    # --- the budget ----------------------------------------------------------------------

    def run_lengths(
        self, view: View, time_us: IntArray, latest_us: int | None
    ) -> tuple[FloatArray, int | None]:
        """Return in how many rows a watch may alarm falsely, at each row; see `budget`."""
        return run_lengths(
            time_us,
            latest_us,
            alarms_per_week=self._budget.watches,
            detectors=self._note(view).detectors,
        )

    def usual_run_length(self, view: View, watched: Watched) -> float:
        """Return the run length at a version's usual traffic, for people; a row a week at least."""
        totals = view.totals(watched)
        first_us, last_us = totals.first_us or 0, totals.last_us or 0
        weeks = max(last_us - first_us, _DAY_US) / WEEK_US
        usual = run_length(
            alarms_per_week=self._budget.watches,
            detectors=self._note(view).detectors,
            events_per_week=max(1.0, totals.embedded / weeks),
        )
        assert usual is not None
        return usual

    def label_level(self, view: View, labels: int) -> float:
        """Return how much wider than that of 95 % an interval of labels must be to alarm.

        Figures change when a bucket ends in which a label came, and once an hour as old labels
        fall out of their window: at most once a bucket, and not more often than labels and hours
        together. Two figures are looked at.
        """
        buckets = WEEK_US / (self._policy.bucket_s * _SECOND_US)
        allowed = level(
            alarms_per_week=self._budget.labels,
            detectors=self._note(view).detectors,
            decisions_per_week=2 * min(buckets, labels + WEEK_US / _HOUR_US),
        )
        return max(1.0, -NormalDist().inv_cdf(min(0.025, allowed)) / Z95)

    # --- everyone, or this tenant --------------------------------------------------------

    def closed(self, desk: Desk, end_us: int) -> None:
        """Take note that a bucket of some version is over; the first of a tick ends the last."""
        tick_us = self._note(desk).tick_us
        if tick_us - _DAY_US <= end_us <= tick_us:
            return
        note = _decoded(desk.note(_NOTE))
        if end_us > tick_us > 0:  # else a clock was wrong, and turned back
            self._take_in(desk, note)
        note.tick_us = end_us
        desk.set_note(_NOTE, codec.encode(note))

    def forget(self, desk: Desk, tenant: str) -> None:
        """Delete what the detector holds of a tenant."""
        note = _decoded(desk.note(_NOTE))
        if note.state.forget(tenant):
            desk.set_note(_NOTE, codec.encode(note))

    def _take_in(self, desk: Desk, note: _Note) -> None:
        reports: dict[str, list[float]] = {}
        tenants: set[str] = set()
        detectors = 0
        for watched in desk.watched():
            last_us = desk.totals(watched).last_us or 0
            if last_us < note.tick_us - _ACTIVE_US or desk.watch(watched) is None:
                continue
            detectors += 1
            tenants.add(watched.tenant)
            memo = read_memo(desk.memo(watched))
            if memo.time_us == note.tick_us and memo.reported is not None:
                reports.setdefault(watched.tenant, []).append(memo.reported)
        note.detectors = max(1, detectors)
        told = {tenant: fleet.reported(each) for tenant, each in reports.items()}
        fleet.update(note.state, told, tenants, note.tick_us, self._run_length)
        if not note.state.everyone:
            note.everyone_since_us = None
        elif note.everyone_since_us is None:
            note.everyone_since_us = note.tick_us

    # --- what is told --------------------------------------------------------------------

    def told(self, view: View) -> FleetState:
        """Return the fleet's state."""
        note = self._note(view)
        shown: set[tuple[str, str]] = set()
        moved: set[tuple[str, str]] = set()
        for watched in view.watched():
            if not life.can_last(watched.role, view.standing(watched)):
                continue
            shown.add((watched.tenant, watched.adapter))
            if life.active(view.alarms(watched), "drift") is not None:
                moved.add((watched.tenant, watched.adapter))
        reading = fleet.reading(note.state, len(moved), len(shown))
        since_us = note.everyone_since_us
        return FleetState(
            alarm=note.state.everyone,
            evidence_log10=fleet.evidence_log10(note.state, self._run_length),
            moved=len(moved),
            watched=len(shown),
            budget_per_week=self._policy.alarms_per_week,
            reading=reading if since_us is None else f"{reading}; since {_written(since_us)}",
        )

    def alarms_total(self, view: View) -> int:
        """Return how many fleet alarms there were in all."""
        return self._note(view).state.alarms

    def _note(self, view: View) -> _Note:
        """Return what is kept, to be read only: it is decoded once, and asked for at every row."""
        data = view.note(_NOTE)
        kept, note = self._known
        if data is not kept:
            note = _decoded(data)
            self._known = data, note
        return note


def reported(desk: Desk, watched: Watched) -> float | None:
    """Return a version's evidence since it reported last, and begin anew; None: too few rows."""
    kept = desk.edit_watch(watched)
    return None if kept is None else watch.taken(kept)


def _decoded(data: bytes | None) -> _Note:
    return _Note() if data is None else codec.decode(data, _Note)


def _written(time_us: int) -> str:
    return f"{time_of(time_us):%Y-%m-%d %H:%M} UTC"
