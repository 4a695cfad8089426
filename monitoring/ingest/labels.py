"""Labels into the table: the last one of each prediction, for the answer and for its shadows."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from monitoring.ingest.records import LabelSeen
from monitoring.rows import Rows
from monitoring.state.calendar import SECOND_US, start_of
from monitoring.state.head import Head
from monitoring.state.kinds import Kind
from monitoring.state.labels import LabelRow, ShadowRow
from monitoring.state.owners import WatchedOwner
from monitoring.state.state import MonitorState


class Labelling:
    """Folds labels, and what shadows predicted."""

    def __init__(self, state: MonitorState) -> None:
        self._state = state

    # --- labels --------------------------------------------------------------------------

    def take(
        self, labels: Sequence[LabelSeen], malformed: Callable[[str, int], object]
    ) -> list[WatchedOwner]:
        """Take in a frame's labels, in its order; return the versions that they count for."""
        if not labels:
            return []
        found = _Found(self._state, labels)
        touched: list[WatchedOwner] = []
        for label in labels:
            if self._is_of_another(label):
                malformed("label of another digest", 1)
                continue
            touched += self._one(label, found)
            named = (label.watched.tenant, label.watched.adapter)
            self._state.adapters.labelled(*named, label.came_us, label.predicted_us)
        return touched

    def _is_of_another(self, label: LabelSeen) -> bool:
        """Return whether the version number means other weights by now."""
        owner = self._state.versions.owners.get(label.watched)
        if owner is None or not label.digest:
            return False
        head: Head = self._state.objects.get(owner.id, Kind.HEAD)
        return bool(head.digest) and head.digest != label.digest

    def _one(self, label: LabelSeen, found: "_Found") -> list[WatchedOwner]:
        state, watched = self._state, label.watched
        owner, head = state.versions.enter(watched, label.digest, "")
        known = found.labelled(owner, head)
        self._put(owner, head, label, label.class_index, label.confidence, known)
        touched = [owner]
        for other in state.versions.of_adapter(watched.tenant, watched.adapter):
            row = found.shadowed(other).get(label.prediction_id)
            if row is not None:
                side: Head = state.objects.edit(other.id, Kind.HEAD)
                known = found.labelled(other, side)
                self._put(other, side, label, row.class_index, row.confidence, known)
                touched.append(other)
        return touched

    def _put(
        self,
        owner: WatchedOwner,
        head: Head,
        label: LabelSeen,
        class_index: int,
        confidence: float,
        known: set[str],
    ) -> None:
        """Keep a label; `known` are the predictions that have one, and gets this one."""
        state = self._state
        head.labels += 1
        head.labelled += label.prediction_id not in known
        known.add(label.prediction_id)
        limit = state.limits.groups_max
        group = None if label.group is None else head.admit(label.group, limit)
        if group is not None:
            head.groups.setdefault(group, 0)
        state.labels.put(
            LabelRow(
                owner.id,
                label.prediction_id,
                head.labels,
                label.came_us,
                label.predicted_us,
                class_index,
                confidence,
                _truth(head, label),
                label.audit,
                label.audit_probability,
                group,
            )
        )
        state.versions.seen(owner, label.came_us)
        end_us = start_of(label.came_us, head.bucket_us) + head.bucket_us
        state.versions.open(owner, head, end_us)

    # --- shadows -------------------------------------------------------------------------

    def shadows(self, owner: WatchedOwner, head: Head, rows: Rows) -> None:
        """Keep what a shadow predicted; a label that came before it counts now."""
        early = self._early(owner, rows)
        columns = zip(
            rows.prediction_ids,
            rows.time_us.tolist(),
            rows.class_index.tolist(),
            rows.confidence.tolist(),
            strict=True,
        )
        for name, time_us, class_index, confidence in columns:
            head.shadowed += 1
            row = ShadowRow(owner.id, name, head.shadowed, time_us, class_index, confidence)
            self._state.shadows.put(row)
            label = early.get(name)
            if label is not None:
                known = {name} & self._state.labels.find({owner.id: head.labels}, [name]).keys()
                self._put(owner, head, self._seen(owner, label), class_index, confidence, known)

    def _early(self, owner: WatchedOwner, rows: Rows) -> Mapping[str, LabelRow]:
        """Return labels that answers got before their shadow's rows came; there are few."""
        newest_us = self._state.adapters.labelled_us(owner.tenant, owner.adapter)
        names = [
            name
            for name, time_us in zip(rows.prediction_ids, rows.time_us.tolist(), strict=True)
            if start_of(time_us, SECOND_US) <= newest_us  # ids know the second
        ]
        if not names:
            return {}
        last = {
            other.id: self._state.objects.get(other.id, Kind.HEAD).labels
            for other in self._state.versions.of_adapter(owner.tenant, owner.adapter)
            if other.role != "shadow"
        }
        return self._state.labels.find(last, names)

    def _seen(self, owner: WatchedOwner, row: LabelRow) -> LabelSeen:
        """Return a label that another version's answer got, as one of this version's rows."""
        other: Head | None = self._state.objects.get(row.owner, Kind.HEAD)
        names = other.names if other is not None else []
        known = 0 <= row.label_index < len(names)
        return LabelSeen(
            watched=owner.key,
            digest="",
            prediction_id=row.prediction_id,
            came_us=row.came_us,
            predicted_us=row.predicted_us,
            class_index=row.class_index,
            confidence=row.confidence,
            label_index=row.label_index,
            label=names[row.label_index] if known else None,
            group=row.group,
            audit=row.audit,
            audit_probability=row.audit_probability,
        )


class _Found:
    """What the tables hold of the predictions that a frame's labels are of, read together."""

    def __init__(self, state: MonitorState, labels: Iterable[LabelSeen]) -> None:
        self._state = state
        self._names: dict[tuple[str, str], dict[str, None]] = {}  # of predictions, by adapter
        for label in labels:
            names = self._names.setdefault((label.watched.tenant, label.watched.adapter), {})
            names[label.prediction_id] = None
        self._labelled: dict[int, set[str]] = {}
        self._shadowed: dict[int, Mapping[str, ShadowRow]] = {}

    def labelled(self, owner: WatchedOwner, head: Head) -> set[str]:
        """Return which of the predictions have a label that counts for a version."""
        if owner.id not in self._labelled:
            names = self._names[owner.tenant, owner.adapter]
            found = self._state.labels.find({owner.id: head.labels}, names)
            self._labelled[owner.id] = set(found)
        return self._labelled[owner.id]

    def shadowed(self, owner: WatchedOwner) -> Mapping[str, ShadowRow]:
        """Return what a version predicted as a shadow; nothing where it is none."""
        if owner.role != "shadow":
            return {}
        if owner.id not in self._shadowed:
            head: Head = self._state.objects.get(owner.id, Kind.HEAD)
            names = self._names[owner.tenant, owner.adapter]
            self._shadowed[owner.id] = self._state.shadows.find({owner.id: head.shadowed}, names)
        return self._shadowed[owner.id]


def _truth(head: Head, label: LabelSeen) -> int:
    """Return the true class in a version's own order; -1 for one that it never predicted.

    A shadow may have the same classes in another order than the version that answered. The class
    that it predicted has a name by then, so a name that is not known was not predicted.
    """
    name, at = label.label, label.label_index
    if name is None:
        return at
    if name in head.names:
        return head.names.index(name)
    return at if at >= len(head.names) or head.names[at] is None else -1
