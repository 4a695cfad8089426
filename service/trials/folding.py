"""From frames of the event log to trials: what each of them is told, in the log's order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow.compute as pc

from service.events.reader import LogBatch
from service.events.schema import column_of
from service.trials.spans import Arm
from service.trials.trial import Arms, Trial

Trials = Mapping[tuple[str, str], Sequence[Trial]]  # by tenant and adapter

_COLUMNS = (
    *("time", "kind", "version", "role", "prediction_id", "class_index", "label_index", "label"),
    *("predicted_at", "audit", "count"),
)


def fold(batch: LogBatch, trials: Trials) -> set[tuple[str, str]]:
    """Tell the trials what one frame holds of theirs; return which were told something."""
    if not batch.records.num_rows or not trials:
        return set()
    kind = batch.column("kind")[0].as_py()
    if kind == "reference":  # a frame of references or predictions holds nothing else
        return set()
    told = set()
    for name, records in _of_trials(batch.records, trials):
        for trial in trials[name]:
            if kind == "prediction":
                _fold_predictions(batch, records, trial)
            else:
                _fold_singles(batch, records, trial)
            trial.settle()
        told.add(name)
    return told


def _of_trials(records: Any, trials: Trials) -> list[tuple[tuple[str, str], Any]]:
    """Return the rows of each adapter that has a trial."""
    tenants, of_tenant = _coded(records, "tenant")
    wanted = {tenant for tenant, _ in trials} & set(tenants)
    if not wanted:
        return []
    adapters, of_adapter = _coded(records, "adapter")
    found = []
    for tenant in sorted(wanted):
        its = of_tenant == tenants.index(tenant)
        for adapter in adapters:
            if (tenant, adapter) not in trials:
                continue
            rows = np.flatnonzero(its & (of_adapter == adapters.index(adapter)))
            if len(rows):
                some = records if len(rows) == records.num_rows else records.take(rows)
                found.append(((tenant, adapter), some))
    return found


def _coded(records: Any, name: str) -> tuple[list[str], Any]:
    coded = records.column(name).dictionary_encode()
    return coded.dictionary.to_pylist(), coded.indices.to_numpy()


def _fold_predictions(batch: LogBatch, records: Any, trial: Trial) -> None:
    arms = trial.arms
    version = records.column("version").to_numpy(zero_copy_only=False)
    revision = records.column("revision").to_numpy(zero_copy_only=False)
    mine = revision >= arms.revision
    roles, role = _coded(records, "role")

    def rows_of(name: str, number: int) -> Any:
        if name not in roles:
            return np.empty(0, np.intp)
        return np.flatnonzero(mine & (version == number) & (role == roles.index(name)))

    canary = rows_of(arms.watched, arms.canary)
    live = rows_of("live", arms.live)  # none where live itself is watched
    own: dict[Arm, Any] = {"canary": canary, "live": live}
    for arm, rows in own.items():
        if len(rows):
            requests = _Requests(records.take(rows[_begins(records, rows)]))
            trial.answered(
                arm, requests.seconds(), len(rows), batch.written_s, requests=len(requests)
            )
            for keyed in requests.drawn():
                trial.labels.drawn(arm, keyed=keyed)
    for key, name in _named(records, canary):
        trial.said(key, name)
    twins = [(arm, request) for arm in own for request in _twins(records, rows_of, arm, arms)]
    for arm, request in twins:
        trial.labels.had(arm, keyed=request.keyed)
    for arm, request in twins:
        trial.twins(arm, request.keys, request.names, keyed=request.keyed)


@dataclass(frozen=True, slots=True)
class _Twin:
    """What the other version said of one request."""

    keys: list[int]
    names: list[str]
    keyed: bool


def _twins(records: Any, rows_of: Callable[[str, int], Any], arm: Arm, arms: Arms) -> list[_Twin]:
    """Return the twins of one version's requests."""
    if arm == "live" and arms.watched == "live":
        return []  # what rides with a live version that is watched is its own twin
    twins = rows_of(*arms.twins_of(arm))
    if not len(twins):
        return []
    found = []
    for rows in np.split(twins, np.flatnonzero(_begins(records, twins))[1:]):
        told = _named(records, rows)
        keyed = bool(column_of(records, "keyed")[int(rows[0])].as_py())
        found.append(_Twin([key for key, _ in told], [name for _, name in told], keyed))
    return found


class _Requests:
    """Requests, by the first row of each."""

    def __init__(self, firsts: Any) -> None:
        self._firsts = firsts
        self._alone = pc.fill_null(column_of(firsts, "alone"), True)

    def __len__(self) -> int:
        return int(self._firsts.num_rows)

    def seconds(self) -> list[float]:
        """Return the seconds of those that were drawn to go alone.

        Drawn, not found without a twin: of one that was dropped, the queue was full.
        """
        took = pc.add(self._firsts.column("queue_s"), self._firsts.column("compute_s"))
        drawn = pc.fill_null(column_of(self._firsts, "alone"), False)
        seconds: list[float] = took.filter(drawn).to_numpy(zero_copy_only=False).tolist()
        return seconds

    def drawn(self) -> list[bool]:
        """Return of each that was drawn to have a twin whether a key led to its version."""
        keyed = pc.fill_null(column_of(self._firsts, "keyed"), False)
        found: list[bool] = keyed.filter(pc.invert(self._alone)).to_pylist()
        return found


def _begins(records: Any, rows: Any) -> Any:
    """Return which rows begin a request; its rows stand together, and were answered together."""
    some = records.select(["time", "request_id"]).take(rows)
    asked = some.column("request_id").dictionary_encode().indices.to_numpy(zero_copy_only=False)
    time = some.column("time").cast("int64").to_numpy()
    begins = np.ones(len(rows), np.bool_)
    begins[1:] = (asked[1:] != asked[:-1]) | (time[1:] != time[:-1])
    return begins


def _named(records: Any, rows: Any) -> list[tuple[int, str]]:
    """Return the key of each answer, and the class that was said."""
    if not len(rows):
        return []
    some = records.select(["prediction_id", "class_name"]).take(rows)
    ids, names = some.column(0).to_pylist(), some.column(1).to_pylist()
    return [(hash(one), name) for one, name in zip(ids, names, strict=True) if name is not None]


def _fold_singles(batch: LogBatch, records: Any, trial: Trial) -> None:
    for row in _rows(records):
        if row["kind"] == "label":
            _fold_label(row, trial)
        elif row["time"].timestamp() < trial.arms.begun_s:
            continue
        elif row["kind"] == "failure":
            _fold_failure(row, trial, batch.written_s)
        elif row["kind"] == "quarantine" and row["version"] == trial.arms.canary:
            trial.quarantined = True


def _fold_label(row: Mapping[str, Any], trial: Trial) -> None:
    arm = trial.arms.arm_of(row["role"], row["version"])
    if arm is not None:
        trial.labelled(
            arm,
            hash(row["prediction_id"]),
            row["label"],
            right=row["class_index"] == row["label_index"],
            predicted_s=row["predicted_at"].timestamp(),
            audit=bool(row["audit"]),
        )


def _fold_failure(row: Mapping[str, Any], trial: Trial, written_s: float) -> None:
    arm = trial.arms.arm_of(row["role"], row["version"])
    if arm is not None:
        trial.failed(arm, row["count"] or 0, written_s)


def _rows(records: Any) -> list[dict[str, Any]]:
    """Return rows by name, null where their writer did not know a column yet."""
    columns = [column_of(records, name).to_pylist() for name in _COLUMNS]
    return [dict(zip(_COLUMNS, row, strict=True)) for row in zip(*columns, strict=True)]
