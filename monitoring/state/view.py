"""Reading the state, from any thread: what reports and metrics are made of.

Each call sees the state between two frames of the log. Whoever makes several that belong together
holds it still meanwhile, and briefly:

    with view.standing_still():
        ...
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from monitoring.errors import UnknownWatched
from monitoring.labelled import Labelled
from monitoring.references.rows import ReferenceRows
from monitoring.report import Alarm, HistoryPoint, Mark, Standing
from monitoring.sketches.sample import RowSample
from monitoring.state import windows
from monitoring.state.calendar import HOUR_US, SECOND_US
from monitoring.state.checkpoints import Deferred
from monitoring.state.head import Head
from monitoring.state.history import points
from monitoring.state.kinds import Kind
from monitoring.state.owners import WatchedOwner
from monitoring.state.ports import Measure
from monitoring.state.recent import RecentRows
from monitoring.state.references import Found
from monitoring.state.state import MonitorState
from monitoring.state.windows import WindowRows
from monitoring.watched import Watched


@dataclass(frozen=True, slots=True)
class Totals:
    """What is known of a version in a role as a whole."""

    digest: str
    backbone: str
    classes: int  # 0: no prediction was seen
    names: tuple[str, ...]  # of the classes; numbers where no name was seen
    hidden: int  # 0: no embedding was seen
    predictions: int
    embedded: int  # of them
    labels: int  # that came
    labelled: int  # predictions that got one
    too_late: int  # predictions that came too late for any bucket
    malformed: int  # predictions that did not fit those before them, and were left out
    first_us: int | None  # time of the first prediction
    last_us: int | None  # and of the newest one
    sample: float  # share of the predictions that is logged, as it was last


@dataclass(frozen=True, slots=True)
class WatchState:
    """The continuous watch of a version."""

    watch: Any  # as `Measure.watch` made it; look at it while the state stands still
    rows: int  # that it has seen
    run_length: float  # rows in which it may raise one false alarm
    reference: int  # id of the reference that it goes by


class View:
    """The state, to be read."""

    def __init__(self, state: MonitorState) -> None:
        self._state = state

    @contextmanager
    def standing_still(self) -> Iterator[None]:
        """Hold the state between two frames."""
        with self._state.turns:
            yield

    # --- who there is --------------------------------------------------------------------

    def watched(self, tenant: str | None = None, adapter: str | None = None) -> list[Watched]:
        """Return all versions in their roles, sorted; of a tenant, or of one of its adapters."""
        with self._state.turns:
            owners = self._state.versions.owners
            return sorted(
                owner.key
                for owner in owners
                if tenant in (None, owner.tenant) and adapter in (None, owner.adapter)
            )

    def active(self, since_us: int) -> list[Watched]:
        """Return the versions with a prediction or label since a time, sorted; cheap."""
        with self._state.turns:
            owners = self._state.versions.owners
            return sorted(owner.key for owner in owners if owner.last_us >= since_us)

    @property
    def watermark_us(self) -> int:
        """Return the time of the newest event; 0: there was none."""
        return self._state.watermark.us

    def totals(self, watched: Watched) -> Totals:
        """Return totals. Raises `UnknownWatched`, as all that ask for one version do."""
        with self._found(watched) as (_, head):
            names = (name or str(number) for number, name in enumerate(head.names))
            return Totals(
                digest=head.digest,
                backbone=head.backbone,
                classes=head.classes,
                names=tuple(names),
                hidden=head.hidden,
                predictions=head.predictions,
                embedded=head.embedded,
                labels=head.labels,
                labelled=head.labelled,
                too_late=head.too_late,
                malformed=head.malformed,
                first_us=head.first_us or None,
                last_us=head.last_us or None,
                sample=head.sample,
            )

    def groups(self, watched: Watched) -> Mapping[str, int]:
        """Return predictions by subgroup; `_other` are those beyond the limit."""
        with self._found(watched) as (_, head):
            return dict(head.groups)

    def standing(self, watched: Watched) -> Standing:
        """Return how a version stands: by the last rollout, or else by its role."""
        with self._found(watched) as (_, head):
            notes = self._state.adapters.notes(watched.tenant, watched.adapter)
            told = notes.standing(watched.version, head.digest)
            if told is not None:
                return told
            return "retired" if watched.role == "pinned" else watched.role

    def rollouts(self, tenant: str, adapter: str) -> tuple[Mark, ...]:
        """Return an adapter's rollouts, oldest first."""
        with self._state.turns:
            return tuple(self._state.adapters.notes(tenant, adapter).marks)

    def adapters(self) -> list[tuple[str, str]]:
        """Return the adapters of which a rollout or a quarantine was seen, sorted."""
        with self._state.turns:
            adapters = self._state.adapters
            return sorted(
                owner.key
                for owner in adapters.owners
                if adapters.notes(owner.tenant, owner.adapter).first_us is not None
            )

    def first_rolled_s(self, tenant: str, adapter: str) -> float | None:
        """Return the time of an adapter's first rollout or quarantine; None: there was none."""
        with self._state.turns:
            first_us = self._state.adapters.notes(tenant, adapter).first_us
            return None if first_us is None else first_us / SECOND_US

    def out_of_service(self, tenant: str, adapter: str) -> Mapping[int, str]:
        """Return the quarantined versions that the last rollout names, and their digests."""
        with self._state.turns:
            notes = self._state.adapters.notes(tenant, adapter)
            return {
                version: digest
                for version, digest in notes.quarantined_versions.items()
                if notes.names(version)
            }

    def is_out_of_service(self, watched: Watched) -> bool:
        """Say whether a version is quarantined while the last rollout names it."""
        with self._found(watched) as (_, head):
            notes = self._state.adapters.notes(watched.tenant, watched.adapter)
            return head.digest in notes.quarantined and notes.names(watched.version)

    # --- windows -------------------------------------------------------------------------

    def window_rows(
        self, watched: Watched, rows: int, until_us: int | None = None
    ) -> WindowRows | None:
        """Return the newest buckets until they hold so many rows; None without any.

        `until_us` leaves out buckets that begin then or later; without it all count, but those
        dated beyond the newest event of the log.
        """
        with self._found(watched) as (owner, head):
            until = self._until(until_us)
            return windows.newest_rows(self._state.objects, owner.id, head, rows, until)

    def window_time(
        self, watched: Watched, seconds: float, until_us: int | None = None
    ) -> WindowRows | None:
        """Return the buckets that begin in the last `seconds` before `until_us`; None: none does.

        Without `until_us`, before the newest event of the log.
        """
        with self._found(watched) as (owner, head):
            until = self._until(until_us)
            from_us = until - round(seconds * SECOND_US)
            return windows.between(self._state.objects, owner.id, head, from_us, until)

    def sketch_between(self, watched: Watched, from_us: int, until_us: int) -> WindowRows | None:
        """Return the buckets that begin at or after a time and before another."""
        with self._found(watched) as (owner, head):
            return windows.between(self._state.objects, owner.id, head, from_us, until_us)

    def predictions_between(self, watched: Watched, from_us: int, until_us: int) -> int:
        """Return how many predictions those buckets hold; cheap."""
        with self._found(watched) as (_, head):
            return windows.predictions_between(head, from_us, until_us)

    def sample(self, watched: Watched, since_us: int) -> RowSample:
        """Return the sample of the hours that end after a time, as one."""
        whole = RowSample(self._state.limits.sample_rows)
        for some in self.samples(watched, since_us):
            whole = whole.merge(some)
        return whole

    def samples(self, watched: Watched, since_us: int) -> list[RowSample]:
        """Return the samples of the hours that end after a time, oldest first."""
        with self._found(watched) as (owner, head):
            hours = sorted(hour for hour in head.samples if hour + HOUR_US > since_us)
            found = []
            for hour, kept in zip(
                hours, self._state.objects.several(owner.id, Kind.SAMPLE, hours), strict=True
            ):
                some = RowSample(kept.size).merge(kept)
                some.offered = head.samples[hour]
                found.append(some)
            return found

    def recent(self, watched: Watched) -> RecentRows | None:
        """Return the newest rows, where they are kept."""
        with self._found(watched) as (owner, _):
            rows: RecentRows | None = self._state.objects.get(owner.id, Kind.RECENT)
            return rows

    # --- labels --------------------------------------------------------------------------

    def labelled(
        self, watched: Watched, since_us: int, most: int, group: str | None = None
    ) -> Labelled:
        """Return the newest labels that came at or after a time, at most so many."""
        with self._found(watched) as (owner, head):
            return self._state.labels.labelled(owner.id, head.labels, since_us, most, group)

    def labelled_ids(self, watched: Watched, since_us: int, most: int) -> tuple[str, ...]:
        """Return predictions whose label came at or after a time, wrong ones first, then newest."""
        with self._found(watched) as (owner, head):
            return self._state.labels.ids(owner.id, head.labels, since_us, most)

    # --- what was judged -----------------------------------------------------------------

    def reference(self, watched: Watched) -> Found | None:
        """Return the reference of a version, or its backbone's pooled one; None: there is none."""
        with self._found(watched) as (_, head):
            return self._state.references.find(watched, head.digest, head.backbone)

    def reference_rows(self, number: int) -> ReferenceRows:
        """Return a reference's rows, by its id."""
        with self._state.turns:
            return self._state.references.rows(number)

    def measure(self, number: int) -> Measure | None:
        """Return a reference in use, by its id; None where nothing could be made of it."""
        with self._state.turns:
            return self._state.references.measure(number)

    def watch(self, watched: Watched) -> WatchState | None:
        """Return the continuous watch; None: there is none."""
        with self._found(watched) as (owner, head):
            watch = self._state.objects.get(owner.id, Kind.WATCH)
            if watch is None:
                return None
            return WatchState(watch, head.watched, head.run_length, head.reference)

    def history(self, watched: Watched) -> tuple[HistoryPoint, ...]:
        """Return how the version stood over time, oldest first."""
        with self._found(watched) as (owner, head):
            return points(self._state.objects, owner.id, head)

    def alarms(self, watched: Watched) -> tuple[Alarm, ...]:
        """Return alarms as they were set, latest first."""
        with self._found(watched) as (owner, _):
            return tuple(self._state.objects.get(owner.id, Kind.ALARMS) or ())

    def memo(self, watched: Watched) -> bytes | None:
        """Return what the judge keeps of a version."""
        with self._found(watched) as (owner, _):
            data: bytes | None = self._state.objects.get(owner.id, Kind.MEMO)
            return data

    def note(self, name: str) -> bytes | None:
        """Return what the judge keeps under a name."""
        with self._state.turns:
            return self._state.note(f"judge/{name}")

    # -------------------------------------------------------------------------------------

    @contextmanager
    def _found(self, watched: Watched) -> Iterator[tuple[WatchedOwner, Head]]:
        with self._state.turns:
            owner = self._state.versions.owners.get(watched)
            if owner is None:
                raise UnknownWatched(
                    f"{watched.model} has no version {watched.version} in the role {watched.role}"
                )
            yield owner, self._state.objects.get(owner.id, Kind.HEAD)

    def _until(self, until_us: int | None) -> int:
        return self._state.watermark.us + 1 if until_us is None else until_us


class Desk(View):
    """The state as a judge has it while a frame is folded: to be read and written."""

    def add_history(self, watched: Watched, point: HistoryPoint) -> None:
        """Add a point behind the others."""
        with self._edited(watched) as (owner, head):
            self._state.versions.add_history(owner, head, point)

    def set_alarms(self, watched: Watched, alarms: tuple[Alarm, ...]) -> None:
        """Set the alarms of a version, latest first; beyond the bound the oldest go."""
        with self._edited(watched) as (owner, _):
            kept = list(alarms[: self._state.limits.alarms_max])
            self._state.objects.put(owner.id, Kind.ALARMS, kept)

    def set_memo(self, watched: Watched, data: bytes) -> None:
        """Keep something of a version; it goes with it."""
        with self._edited(watched) as (owner, _):
            self._state.objects.put(owner.id, Kind.MEMO, data)

    def set_note(self, name: str, data: bytes) -> None:
        """Keep something that is of no version."""
        self._state.set_note(f"judge/{name}", data)

    def set_run_length(self, watched: Watched, run_length: float) -> None:
        """Set in how many rows the version's watch may raise a false alarm from now on."""
        with self._edited(watched) as (_, head):
            head.run_length = run_length

    def edit_watch(self, watched: Watched) -> Any | None:
        """Return the continuous watch, to be changed; None: there is none."""
        with self._edited(watched) as (owner, _):
            return self._state.objects.edit(owner.id, Kind.WATCH)

    def defer(self, write: Deferred) -> None:
        """Have `write(connection)` done in the transaction that writes down what is here.

        It is done with the next checkpoint, which follows soon; where that fails, again.
        """
        self._state.defer(write)

    @contextmanager
    def _edited(self, watched: Watched) -> Iterator[tuple[WatchedOwner, Head]]:
        with self._found(watched) as (owner, _):
            yield owner, self._state.objects.edit(owner.id, Kind.HEAD)
