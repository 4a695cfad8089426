"""The fold: one frame of the log after the other into the state."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from monitoring.ingest.features import Mapped, Wanted, mapped
from monitoring.ingest.frames import Frame, frame_of
from monitoring.ingest.labels import Labelling
from monitoring.ingest.ports import Judge
from monitoring.ingest.predictions import Predicted
from monitoring.ingest.records import UndecodableSeen
from monitoring.rows import Rows
from monitoring.state.adapters import mark_of
from monitoring.state.calendar import SECOND_US
from monitoring.state.head import Head
from monitoring.state.kinds import Kind
from monitoring.state.owners import WatchedOwner
from monitoring.state.ports import Measure
from monitoring.state.recent import no_rows
from monitoring.state.state import MonitorState
from monitoring.state.view import Desk
from monitoring.watched import Watched
from service.events.reader import LogBatch

QUIET_US = 10 * SECOND_US  # by which a bucket is over before a clock alone closes it

Keeps = Callable[[Watched], int]  # how many of the newest rows are kept as they are


@dataclass(frozen=True, slots=True)
class _Group:
    """Rows of one version, with what they are counted into."""

    predicted: Predicted
    rows: Rows  # with groups as they are counted
    owner: WatchedOwner
    head: Head
    measure: Measure | None


class Fold:
    """Folds frames; used by one thread."""

    def __init__(self, state: MonitorState, judge: Judge, keeps: Keeps = lambda _: 0) -> None:
        """`keeps` says how many of a version's newest rows are kept as they are."""
        self._state = state
        self._judge = judge
        self._keeps = keeps
        self._desk = Desk(state)
        self._labelling = Labelling(state)

    def take(self, batch: LogBatch) -> None:
        """Fold a frame: all of it while nobody reads."""
        frame = frame_of(batch)
        with self._state.turns:
            self._fold(frame)

    def forget(self, tenant: str) -> None:
        """Have the judge delete what it keeps of a tenant; hold the state meanwhile."""
        self._judge.forget(self._desk, tenant)

    def tick(self, now_us: int) -> bool:
        """Close the buckets that are over by a time; return whether there was one.

        For a log that says nothing: whatever comes next would close them first too, so that what
        is judged does not depend on who was faster, as long as clocks agree.
        """
        with self._state.turns:
            closed = self._close(now_us)
            for owner in closed:
                self._state.versions.roll(owner)
        return bool(closed)

    def _close(self, now_us: int) -> list[WatchedOwner]:
        closed = []
        for owner, end_us in self._state.versions.closing(now_us):
            self._judge.closed(self._desk, owner.key, end_us)
            closed.append(owner)
        return closed

    def _fold(self, frame: Frame) -> None:
        state = self._state
        # What the frame brings is not of the buckets that were over when it was written.
        touched = self._close(max(frame.newest_us, frame.written_us - QUIET_US))
        state.log.events += frame.events
        for what, count in frame.malformed.items():
            self._malformed(what, count)
        for part in frame.references:
            if not state.references.take(part):
                self._malformed("reference", len(part))
        for rollout in frame.rollouts:
            mark = mark_of(
                rollout.time_us,
                rollout.revision,
                rollout.before,
                rollout.after,
                rollout.actor,
                rollout.reason,
            )
            state.adapters.rolled(rollout.tenant, rollout.adapter, mark, rollout.time_us)
        for one in frame.quarantines:
            state.adapters.quarantined(
                one.tenant, one.adapter, one.version, one.digest, one.time_us
            )
        touched += self._predictions(frame)
        touched += [owner for one in frame.undecodable if (owner := self._undecodable(one))]
        touched += self._labelling.take(frame.labels, self._malformed)
        if frame.newest_us and state.watermark.see(frame.newest_us, frame.written_us):
            state.versions.turn_back()
        touched += self._close(state.watermark.us)
        for owner in {owner.id: owner for owner in touched}.values():
            state.versions.roll(owner)
        if state.watermark.is_sweep_due:
            state.versions.sweep()
            state.watermark.swept()
        state.evict()

    def _malformed(self, what: str, count: int) -> None:
        malformed = self._state.log.malformed
        malformed[what] = malformed.get(what, 0) + count

    def _undecodable(self, seen: UndecodableSeen) -> WatchedOwner | None:
        """Count images that could not be decoded, of a version that answered some."""
        state = self._state
        owner = state.versions.owners.get(seen.watched)
        head: Head | None = None if owner is None else state.objects.edit(owner.id, Kind.HEAD)
        if owner is None or head is None or not head.classes or head.digest != seen.digest:
            # Nothing is known of such a version, which may have no classes to be counted by.
            self._malformed("undecodable before an answer", 1)
            return None
        state.references.prepare(seen.watched, head.digest, head.backbone, seen.time_us)
        found = state.references.find(seen.watched, head.digest, head.backbone)
        measure = None if found is None else state.references.measure(found.id)
        state.versions.count_undecodable(owner, head, seen.time_us, seen.count, measure)
        return owner

    # --- predictions ---------------------------------------------------------------------

    def _predictions(self, frame: Frame) -> list[WatchedOwner]:
        entered = [group for p in frame.predictions.groups if (group := self._entered(p))]
        owners = self._state.versions.owners  # a group with another digest may follow in a frame
        some = [group for group in entered if owners.get(group.owner.key) is group.owner]
        if not some:
            return []
        main = mapped(
            frame.predictions.embeddings,
            [_wanted(g.predicted.first, len(g.rows.embedded), g.measure) for g in some],
            projected=True,
        )
        base = mapped(
            frame.predictions.base_embeddings,
            [_base_wanted(g.predicted.base_first, len(g.rows.based), g.measure) for g in some],
            projected=False,
        )
        for group, features, base_features in zip(some, main, base, strict=True):
            self._count(group, features, base_features)
            if group.owner.role == "shadow":
                self._labelling.shadows(group.owner, group.head, group.rows)
        return [group.owner for group in some]

    def _entered(self, predicted: Predicted) -> _Group | None:
        """Find what rows are counted into; None: they do not fit those before them."""
        state, rows = self._state, predicted.rows
        watched = predicted.watched
        owner, head = state.versions.enter(watched, predicted.digest, predicted.backbone)
        classes = rows.probabilities.shape[1]
        hidden = rows.embeddings.shape[1] if len(rows.embedded) else 0
        if (head.classes and classes != head.classes) or (
            head.hidden and hidden and hidden != head.hidden
        ):
            head.malformed += len(rows)
            self._malformed("another shape", len(rows))
            return None
        head.classes, head.hidden = classes, hidden or head.hidden
        newest_us = int(rows.time_us.max())
        head.predictions += len(rows)
        head.embedded += len(rows.embedded)
        head.first_us = min(head.first_us or newest_us, int(rows.time_us.min()))
        head.last_us = max(head.last_us, newest_us)
        head.sample = predicted.sample if predicted.sample >= 0 else head.sample
        state.versions.seen(owner, newest_us)
        learn(head, rows, predicted.names)
        rows = self._grouped(head, rows)
        state.references.prepare(watched, head.digest, head.backbone, newest_us)
        found = state.references.find(watched, head.digest, head.backbone)
        measure = None if found is None else state.references.measure(found.id)
        if measure is not None and found is not None:
            self._begin_watch(owner, head, measure, found.id)
        return _Group(predicted, rows, owner, head, measure)

    def _grouped(self, head: Head, rows: Rows) -> Rows:
        """Count rows by subgroup, and return them with the names under which they are counted."""
        if not any(rows.groups):
            return rows
        names: list[str | None] = []
        for group in rows.groups:
            name = None if group is None else head.admit(group, self._state.limits.groups_max)
            if name is not None:
                head.groups[name] = head.groups.get(name, 0) + 1
            names.append(name)
        return replace(rows, groups=names)

    def _begin_watch(self, owner: WatchedOwner, head: Head, measure: Measure, number: int) -> None:
        """Begin a watch where there is none yet, or where it went by another reference."""
        key = self._state.references.key
        if head.reference == number and head.judge == key:
            return
        objects = self._state.objects
        keep = objects.put if head.reference else objects.add
        head.reference, head.judge, head.watched = number, key, 0
        head.spent_us = None
        watch = measure.watch()
        if watch is None:
            objects.drop(owner.id, Kind.WATCH)
            return
        keep(owner.id, Kind.WATCH, watch)

    def _count(self, group: _Group, main: Mapped, base: Mapped) -> None:
        state, rows, owner, head = self._state, group.rows, group.owner, group.head
        state.versions.count(
            owner, head, rows, group.measure, main.features, main.projected, base.features
        )
        kept = self._keeps(owner.key)
        if kept and len(rows.embedded):
            recent = state.objects.get(owner.id, Kind.RECENT) or no_rows(head.classes, head.hidden)
            state.objects.put(owner.id, Kind.RECENT, recent.with_rows(rows, kept))
        if group.measure is None or main.features is None:
            return
        watch = state.objects.edit(owner.id, Kind.WATCH)
        if watch is None:
            return
        head.watched += len(main.features)
        lengths, head.spent_us = self._judge.run_lengths(
            self._desk, rows.time_us[rows.embedded], head.spent_us
        )
        alarms = group.measure.update(watch, rows.embeddings, lengths)
        for place in alarms:
            row = int(rows.embedded[place])
            time_us, name = int(rows.time_us[row]), rows.prediction_ids[row]
            self._judge.alarmed(self._desk, owner.key, time_us, name)


def learn(head: Head, rows: Rows, names: Sequence[str | None]) -> None:
    """Learn the names of classes that have none yet."""
    if len(head.names) < head.classes:
        head.names += [None] * (head.classes - len(head.names))
    if None not in head.names:
        return
    for number, name in zip(rows.class_index.tolist(), names, strict=True):
        if head.names[number] is None:
            head.names[number] = name


def _wanted(first: int, count: int, measure: Measure | None) -> Wanted:
    return Wanted(first, count, None if measure is None else measure.map)


def _base_wanted(first: int, count: int, measure: Measure | None) -> Wanted:
    return Wanted(first, count, None if measure is None else measure.base_map)
