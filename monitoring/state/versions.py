"""What is kept of versions: heads, sketches of time buckets, samples, and when buckets close."""

import heapq
from collections.abc import Callable, Iterator

from monitoring.report import HistoryPoint
from monitoring.rows import Rows
from monitoring.sketches.features import FeatureMap
from monitoring.sketches.sample import RowSample
from monitoring.sketches.sketch import Sketch
from monitoring.state.calendar import DAY_US, HOUR_US, SECOND_US, Calendar, start_of
from monitoring.state.directory import Directory
from monitoring.state.eviction import leaving
from monitoring.state.head import Head
from monitoring.state.history import add_point
from monitoring.state.kinds import Kind
from monitoring.state.limits import Limits
from monitoring.state.merging import merged
from monitoring.state.objects import Objects
from monitoring.state.owners import WatchedOwner
from monitoring.state.parts import taken
from monitoring.state.ports import Features, Measure
from monitoring.state.tables import WATCHED
from monitoring.state.watermark import Watermark
from monitoring.watched import Watched


class Versions:
    """All versions in their roles; not for several threads at once."""

    def __init__(
        self,
        objects: Objects,
        limits: Limits,
        watermark: Watermark,
        next_id: Callable[[], int],
        on_gone: Callable[[list[int]], object],
    ) -> None:
        """`on_gone` is told of ids whose versions went."""
        self.owners = Directory(WATCHED, WatchedOwner, lambda entry: entry.key)
        self.calendar = Calendar(
            limits.bucket_s * SECOND_US, limits.fine_buckets, limits.hours_kept, limits.days_kept
        )
        self._objects = objects
        self._limits = limits
        self._watermark = watermark
        self._next_id = next_id
        self._on_gone = on_gone
        self._due: list[tuple[int, Watched]] = []  # heap; what an owner says counts
        self._of_adapter: dict[tuple[str, str], dict[Watched, WatchedOwner]] = {}

    def loaded(self) -> None:
        """Take note that the directory was read."""
        for owner in self.owners:
            self._of_adapter.setdefault((owner.tenant, owner.adapter), {})[owner.key] = owner
        self._due = [(owner.due_us, owner.key) for owner in self.owners if owner.due_us]
        heapq.heapify(self._due)

    # --- versions come and go ------------------------------------------------------------

    def enter(self, watched: Watched, digest: str, backbone: str) -> tuple[WatchedOwner, Head]:
        """Return the owner of a version and its head, to be changed; new ones where it is new.

        A version number that means another digest now is another version: it begins anew.
        """
        owner = self.owners.get(watched)
        if owner is None:
            return self._begin(watched, digest, backbone)
        head: Head = self._objects.edit(owner.id, Kind.HEAD)
        if digest and head.digest and digest != head.digest:
            self.drop([owner])
            return self._begin(watched, digest, backbone)
        head.digest, head.backbone = digest or head.digest, backbone or head.backbone
        if head.bucket_us != self.calendar.bucket_us:
            self._change_length(owner, head)
        return owner, head

    def _begin(self, watched: Watched, digest: str, backbone: str) -> tuple[WatchedOwner, Head]:
        owner = WatchedOwner(
            self._next_id(), watched.tenant, watched.adapter, watched.version, watched.role
        )
        self.owners.add(owner)
        self._of_adapter.setdefault((owner.tenant, owner.adapter), {})[watched] = owner
        head = Head(digest=digest, backbone=backbone, bucket_us=self.calendar.bucket_us)
        self._objects.add(owner.id, Kind.HEAD, head)
        return owner, head

    def of_adapter(self, tenant: str, adapter: str) -> list[WatchedOwner]:
        """Return an adapter's versions in their roles, in the order in which they appeared."""
        return list(self._of_adapter.get((tenant, adapter), {}).values())

    def seen(self, owner: WatchedOwner, last_us: int) -> None:
        """Take note of the newest event of a version."""
        if last_us > owner.last_us:
            owner.last_us = last_us
            self.owners.touch(owner.key)

    def drop(self, owners: list[WatchedOwner]) -> None:
        """Delete everything of some versions."""
        ids = [owner.id for owner in owners]
        self._objects.drop_owners(ids)
        for owner in owners:
            self.owners.drop(owner.key)
            others = self._of_adapter[owner.tenant, owner.adapter]
            del others[owner.key]
            if not others:
                del self._of_adapter[owner.tenant, owner.adapter]
        self._on_gone(ids)

    def evict(self) -> None:
        """Delete versions beyond the bound, of the tenants first that have most."""
        excess = len(self.owners) - self._limits.versions_max
        if excess > 0:
            count = excess + self._limits.versions_max // 64
            self.drop(leaving(self.owners, lambda owner: owner.last_us, count))

    # --- rows come -----------------------------------------------------------------------

    def count(
        self,
        owner: WatchedOwner,
        head: Head,
        rows: Rows,
        measure: Measure | None,
        features: Features | None,
        projected: Features | None,
        base_features: Features | None,
    ) -> None:
        """Count rows into the sketches of their buckets, and offer them to the samples.

        Features are of `rows.embedded` and `rows.based`; None where `measure` has no map.
        """
        placed = 0
        maps = (measure.map, measure.base_map) if measure is not None else (None, None)
        for kind, start, chosen in self.calendar.parted(rows.time_us, self._watermark.us):
            part, main, side, base = rows, features, projected, base_features
            if chosen is not None:
                part, embedded, based = taken(rows, chosen)
                main = None if features is None else features[embedded]
                side = None if projected is None else projected[embedded]
                base = None if base_features is None else base_features[based]
            sketch = self._bucket(owner, head, kind, start, maps)
            same = maps[0] is not None and sketch.map_id == maps[0].id
            base_same = maps[1] is not None and sketch.base_map_id == maps[1].id
            sketch.add(
                part,
                main if same else None,
                side if same else None,
                base if base_same else None,
            )
            buckets = head.buckets(kind)
            buckets[start] = buckets.get(start, 0) + len(part)
            placed += len(part)
            self._sample(owner, head, part, start_of(start, HOUR_US) if kind != Kind.DAY else 0)
            if kind == Kind.FINE:
                self.open(owner, head, start + head.bucket_us)
        head.too_late += len(rows) - placed

    def count_undecodable(
        self, owner: WatchedOwner, head: Head, time_us: int, count: int, measure: Measure | None
    ) -> None:
        """Count images that could not be decoded into the bucket of their time."""
        maps = (measure.map, measure.base_map) if measure is not None else (None, None)
        place = self.calendar.place(time_us, self._watermark.us)
        if place is None:
            head.too_late += count
            return
        kind, start = place
        self._bucket(owner, head, kind, start, maps).add_undecodable(count)
        head.buckets(kind).setdefault(start, 0)
        if kind == Kind.FINE:
            self.open(owner, head, start + head.bucket_us)

    def _bucket(
        self,
        owner: WatchedOwner,
        head: Head,
        kind: Kind,
        start: int,
        maps: tuple[FeatureMap | None, FeatureMap | None],
    ) -> Sketch:
        """Return a bucket's sketch, to be changed."""
        if start in head.buckets(kind):
            there: Sketch = self._objects.edit(owner.id, kind, start)
            return there
        sketch = Sketch.empty(head.classes, *maps)
        self._objects.add(owner.id, kind, sketch, start)
        if kind == Kind.DAY:
            self._expires(owner, self._day_expires_us(start))
        return sketch

    def _sample(self, owner: WatchedOwner, head: Head, rows: Rows, hour: int) -> None:
        oldest = self._watermark.us - self._limits.sample_hours * HOUR_US
        if not self._limits.sample_rows or hour < oldest:
            return
        if hour not in head.samples:
            head.samples[hour] = 0
            self._objects.add(owner.id, Kind.SAMPLE, RowSample(self._limits.sample_rows), hour)
            self._expires(owner, self._sample_expires_us(hour))
        head.samples[hour] += len(rows)
        sample: RowSample = self._objects.get(owner.id, Kind.SAMPLE, hour)
        if len(sample) == sample.size and int(rows.order.min()) > sample.rows[-1].order:
            return  # as most are: then nothing of it is written anew
        sample = self._objects.edit(owner.id, Kind.SAMPLE, hour)
        sample.add(rows)
        sample.offered = len(sample)  # the head knows how many there were

    # --- buckets close, and become hours and days ----------------------------------------

    def open(self, owner: WatchedOwner, head: Head, end_us: int) -> None:
        """Take note that something came in a bucket that ends then, unless it has closed."""
        if end_us <= head.closed_us or end_us in head.open:
            return
        head.open = sorted([*head.open, end_us])
        self._next_due(owner, head)

    def closing(self, now_us: int) -> Iterator[tuple[WatchedOwner, int]]:
        """Yield versions and ends of the buckets that are over by a time, in the order of ends."""
        until_us = now_us - round(self._limits.grace_s * SECOND_US)
        while self._due and self._due[0][0] <= until_us:
            end_us, watched = heapq.heappop(self._due)
            owner = self.owners.get(watched)
            if owner is None or owner.due_us != end_us:
                continue
            head: Head = self._objects.edit(owner.id, Kind.HEAD)
            head.open = [end for end in head.open if end > end_us]
            head.closed_us = end_us
            self._next_due(owner, head)
            yield owner, end_us

    def _next_due(self, owner: WatchedOwner, head: Head) -> None:
        due_us = min(head.open, default=0)
        if due_us != owner.due_us:
            owner.due_us = due_us
            self.owners.touch(owner.key)
            if due_us:
                heapq.heappush(self._due, (due_us, owner.key))

    def roll(self, owner: WatchedOwner) -> None:
        """Add old buckets up to hours, and old hours to days; of a version that went, nothing."""
        if self.owners.get(owner.key) is not owner:
            return
        head: Head = self._objects.edit(owner.id, Kind.HEAD)
        now_us = self._watermark.us
        for kind, from_us in (
            (Kind.FINE, self.calendar.fine_from_us(now_us)),
            (Kind.HOUR, self.calendar.hours_from_us(now_us)),
        ):
            for start in sorted(start for start in head.buckets(kind) if start < from_us):
                place = self.calendar.place(start, now_us)
                target = place if place is not None else (Kind.DAY, start_of(start, DAY_US))
                self._move(owner, head, kind, start, target)

    def _move(
        self, owner: WatchedOwner, head: Head, kind: Kind, start: int, target: tuple[Kind, int]
    ) -> None:
        into, at = target
        sketch: Sketch = self._objects.get(owner.id, kind, start)
        buckets = head.buckets(into)
        if at in buckets:
            sketch = merged(self._objects.get(owner.id, into, at), sketch)
        elif into == Kind.DAY:
            self._expires(owner, self._day_expires_us(at))
        self._objects.put(owner.id, into, sketch, at)
        self._objects.drop(owner.id, kind, start)
        buckets[at] = buckets.get(at, 0) + head.buckets(kind).pop(start)

    def _change_length(self, owner: WatchedOwner, head: Head) -> None:
        """Roll everything up to hours: the finest buckets have another length now."""
        for start in sorted(head.fine):
            self._move(owner, head, Kind.FINE, start, (Kind.HOUR, start_of(start, HOUR_US)))
        head.open = []
        self._next_due(owner, head)
        head.bucket_us = self.calendar.bucket_us

    # --- what is old goes ----------------------------------------------------------------

    def sweep(self) -> None:
        """Delete days and samples that are too old."""
        for owner in self.owners:
            if owner.expires_us and owner.expires_us <= self._watermark.us:
                self._delete_old(owner)

    def _delete_old(self, owner: WatchedOwner) -> None:
        now_us = self._watermark.us
        head: Head = self._objects.edit(owner.id, Kind.HEAD)
        for start in [day for day in head.days if self._day_expires_us(day) <= now_us]:
            self._objects.drop(owner.id, Kind.DAY, start)
            del head.days[start]
        for start in [day for day in head.history if self._day_expires_us(day) <= now_us]:
            self._objects.drop(owner.id, Kind.HISTORY, start)
            head.history.remove(start)
        for start in [hour for hour in head.samples if self._sample_expires_us(hour) <= now_us]:
            self._objects.drop(owner.id, Kind.SAMPLE, start)
            del head.samples[start]
        ends = [self._day_expires_us(day) for day in (*head.days, *head.history)]
        ends += [self._sample_expires_us(hour) for hour in head.samples]
        owner.expires_us = min(ends, default=0)
        self.owners.touch(owner.key)

    def add_history(self, owner: WatchedOwner, head: Head, point: HistoryPoint) -> None:
        """Add a point to a version's history."""
        add_point(self._objects, owner.id, head, point)
        self._expires(owner, self._day_expires_us(head.history[-1]))

    def _expires(self, owner: WatchedOwner, when_us: int) -> None:
        if not owner.expires_us or when_us < owner.expires_us:
            owner.expires_us = when_us
            self.owners.touch(owner.key)

    def _day_expires_us(self, day: int) -> int:
        return day + (self._limits.days_kept + 1) * DAY_US

    def _sample_expires_us(self, hour: int) -> int:
        return hour + (self._limits.sample_hours + 1) * HOUR_US

    def turn_back(self) -> None:
        """Forget what was dated beyond the watermark, which was turned back."""
        now_us = self._watermark.us
        for owner in self.owners:
            if owner.last_us <= now_us + DAY_US:
                continue
            head: Head = self._objects.edit(owner.id, Kind.HEAD)
            for kind in (Kind.FINE, Kind.HOUR, Kind.DAY):
                buckets = head.buckets(kind)
                for start in [start for start in buckets if start > now_us + DAY_US]:
                    self._objects.drop(owner.id, kind, start)
                    del buckets[start]
            head.open = [end for end in head.open if end <= now_us + DAY_US]
            head.closed_us = min(head.closed_us, start_of(now_us, head.bucket_us))
            head.last_us = min(head.last_us, now_us)
            owner.last_us = now_us
            self.owners.touch(owner.key)
            self._next_due(owner, head)
