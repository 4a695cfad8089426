"""One frame of the log, taken apart: what the sidecar folds into its state.

Events that cannot be used (another length, NaN, an unknown role) are counted by what is wrong with
them and left out; none raises. What the log keeps for the comparison of a canary with the live
version is none of this: the live version's answers to the canary's rows (`paired`), which its
callers never got, and counts of failures.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from monitoring.ingest.columns import Columns
from monitoring.ingest.predictions import Predictions, predictions_of
from monitoring.ingest.records import (
    LabelSeen,
    QuarantineSeen,
    RolloutSeen,
    UndecodableSeen,
    labels_of,
    quarantines_of,
    rollouts_of,
    undecodable_of,
)
from monitoring.ingest.reference_parts import parts_of
from monitoring.state.reference_rows import ReferencePart
from service.events.reader import LogBatch

_KINDS = frozenset(
    {"prediction", "label", "reference", "rollout", "quarantine", "undecodable", "failure"}
)


@dataclass(frozen=True, slots=True)
class Frame:
    """What one frame says."""

    writer: str
    first: int  # sequence number of its first event
    written_us: int  # by the writer's wall clock
    newest_us: int  # of what moves the time on: predictions and labels; 0 without any
    events: int  # rows in it, malformed ones included
    predictions: Predictions
    labels: tuple[LabelSeen, ...]
    references: tuple[ReferencePart, ...]
    rollouts: tuple[RolloutSeen, ...]
    quarantines: tuple[QuarantineSeen, ...]
    undecodable: tuple[UndecodableSeen, ...]
    malformed: Mapping[str, int]  # events that were left out, by what was wrong


def frame_of(batch: LogBatch) -> Frame:
    """Take a frame apart."""
    columns = Columns(batch.records)
    codes, names = columns.coded("kind")
    kinds = [name for name in names if name is not None]
    malformed: Counter[str] = Counter()
    for number, name in enumerate(names):
        if name not in _KINDS:
            malformed["kind"] += int((codes == number).sum())
    of = {kind: columns.of_kind(kind) for kind in kinds}
    nothing = Columns(batch.records.slice(0, 0))
    answers = of.get("prediction", nothing).without("role", "paired")
    predictions = predictions_of(answers, batch.writer)
    malformed.update(predictions.malformed)
    labels = labels_of(of.get("label", nothing), malformed)
    newest = [int(group.rows.time_us.max()) for group in predictions.groups]
    newest += [label.came_us for label in labels]
    return Frame(
        writer=batch.writer,
        first=batch.first,
        written_us=round(batch.written_s * 1e6),
        newest_us=max(newest, default=0),
        events=len(columns),
        predictions=predictions,
        labels=tuple(labels),
        references=tuple(parts_of(of.get("reference", nothing), malformed)),
        rollouts=tuple(rollouts_of(of.get("rollout", nothing), malformed)),
        quarantines=tuple(quarantines_of(of.get("quarantine", nothing), malformed)),
        undecodable=tuple(undecodable_of(of.get("undecodable", nothing), malformed)),
        malformed=malformed,
    )
