"""The sidecar's parts put together: the state, who follows the log, and who is told of it."""

import logging
import time
from contextlib import ExitStack
from dataclasses import fields
from importlib.metadata import version

from monitoring.assessment.judge import Judge
from monitoring.assessment.measurements import StateMeasurements
from monitoring.assessment.policy import Policy
from monitoring.assessment.reports import StateReports
from monitoring.backends import licence
from monitoring.backends.backends import Backends
from monitoring.backends.selection import read_selections
from monitoring.errors import MonitorError
from monitoring.ingest.fold import Fold
from monitoring.ingest.follower import Follower, Pace
from monitoring.report import LogState, TriggerReport
from monitoring.settings import MonitorSettings
from monitoring.state.limits import Limits
from monitoring.state.state import MonitorState
from monitoring.state.view import View
from monitoring.triggers import outbox
from monitoring.triggers.delivery import Delivery
from monitoring.triggers.outbox import Fate
from monitoring.triggers.posting import HttpPoster
from monitoring.triggers.signature import keys_of
from monitoring.triggers.tables import METADATA
from monitoring.watched import Watched

FOLDER = "monitor"  # in the state directory
EVENTS = "events"

_LAGGING_S = 60.0  # beyond it figures do not tell of now

logger = logging.getLogger(__name__)


class Sidecar:
    """Everything but the server."""

    def __init__(self, settings: MonitorSettings, *, reading: bool = False) -> None:
        """Open the state; with `reading`, as another sidecar's last checkpoint left it.

        Raises `MonitorError` and `OSError`.
        """
        self.settings = settings
        self.policy = Policy.of(settings)
        self.backends = _backends(settings)
        self._delivery: Delivery | None = None
        poster = None if reading else _poster(settings)
        judge = Judge(self.policy, _fate(settings), self._wake, self.backends)
        self.state = _state(settings, judge, reading=reading)
        with ExitStack() as opened:
            opened.callback(self.state.close)
            fold = Fold(self.state, judge, self._keeps)
            self.follower = Follower(settings.state / EVENTS, self.state, fold, _pace(settings))
            if poster is not None:
                self._delivery = _delivery(settings, self.state, poster)
            opened.pop_all()
        view, own = View(self.state), version("tenantry")
        self.reports = StateReports(
            view,
            self.policy,
            version=own,
            log=self.log_state,
            triggers=self._triggers,
            problems=self.problems,
        )
        self.measurements = StateMeasurements(
            view, self.policy, version=own, log=self.log_state, looked_s=self._looked_s
        )

    def start(self) -> None:
        """Follow the log, and send triggers, on threads of their own."""
        if self._delivery is not None:
            self._delivery.start()
        self.follower.start()

    def close(self) -> None:
        """Stop, write a last checkpoint, and let go of the state."""
        self.follower.stop()
        if self._delivery is not None:
            self._delivery.close()
        self.state.close()

    def log_state(self) -> LogState:
        """Return how far the log was read."""
        return self.follower.log_state()

    def problems(self) -> tuple[str, ...]:
        """Return what the sidecar itself cannot do, and what to do next."""
        found = list(self.follower.problems)
        events = self.settings.state / EVENTS
        if not events.is_dir():
            found.append(f"there is no event log in {events} yet; the service makes it")
        if self._delivery is not None and self._delivery.problem is not None:
            found.append(self._delivery.problem)
        return tuple(found)

    def unready(self) -> str | None:
        """Return why figures do not tell of now; None where they do."""
        if not self.follower.is_alive:
            return "the log is not followed"
        lag_s = self.log_state().lag_s
        if lag_s > _LAGGING_S:
            return f"catching up with the event log: {lag_s:.0f} s behind"
        return None

    def check(self) -> None:
        """Raise `MonitorError` where the log is no longer followed, after `start`."""
        if not self.follower.is_alive:
            reason = "; ".join(self.problems()) or "the log says why"
            raise MonitorError(f"the event log is no longer followed: {reason}")

    def _looked_s(self) -> float:
        return self.follower.looked_s

    def _wake(self) -> None:
        if self._delivery is not None:
            self._delivery.wake()

    def _keeps(self, watched: Watched) -> int:
        return self.backends.rows_needed(watched.tenant, watched.adapter)

    def _triggers(
        self, tenant: str | None, adapter: str | None, most: int
    ) -> tuple[TriggerReport, ...]:
        with self.state.database.read() as connection:
            return outbox.reports(connection, tenant=tenant, adapter=adapter, limit=most)


def _state(settings: MonitorSettings, judge: Judge, *, reading: bool) -> MonitorState:
    folder, limits = settings.state / FOLDER, _limits(settings)
    if reading:
        return MonitorState.look(folder, limits, judge)
    return MonitorState.open(folder, limits, judge, others=(METADATA,), forget=(outbox.forget,))


def _limits(settings: MonitorSettings) -> Limits:
    shared = {field.name for field in fields(Limits)} & set(MonitorSettings.model_fields)
    return Limits(**{name: getattr(settings, name) for name in shared})


def _pace(settings: MonitorSettings) -> Pace:
    return Pace(
        poll_s=settings.poll_s, checkpoint_s=settings.checkpoint_s, silent_s=settings.silent_s
    )


def _backends(settings: MonitorSettings) -> Backends:
    selections = () if settings.backends is None else read_selections(settings.backends)
    if selections:
        logger.warning("%s", licence.require())
    return Backends(selections, settings.seed)


def _fate(settings: MonitorSettings) -> Fate:
    if settings.webhook_dry_run:
        return "dry-run"
    return "no-receiver" if settings.webhook_url is None else "waiting"


def _poster(settings: MonitorSettings) -> HttpPoster | None:
    """Return what posts triggers; None where none is sent. Raises `InvalidMonitorSettings`."""
    if settings.webhook_url is None or settings.webhook_dry_run:
        return None
    _keys(settings)  # before anything is made, since they may be at fault
    return HttpPoster(settings.webhook_url)


def _delivery(settings: MonitorSettings, state: MonitorState, poster: HttpPoster) -> Delivery:
    return Delivery(state.database, poster, _WallClock(), _keys(settings))


def _keys(settings: MonitorSettings) -> tuple[bytes, ...]:
    assert settings.webhook_secret is not None, "settings have seen to it"
    return keys_of(settings.webhook_secret.get_secret_value())


class _WallClock:
    """The clock that signatures and delays go by."""

    def now_s(self) -> float:
        """Return the seconds since 1970."""
        return time.time()
