"""From events to Arrow record batches: predictions vectorised over blocks, the others by row."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import chain, pairwise
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import orjson
import pyarrow as pa

from service.events.image_figures import ImageFigures
from service.events.predictions import FloatArray, PredictionBlock
from service.events.records import (
    Failure,
    Label,
    Quarantine,
    Reference,
    RolloutEvent,
    Undecodable,
)
from service.events.schema import SCHEMA
from service.events.text_figures import TextFigures

_TYPES = {field.name: field.type for field in SCHEMA}

Counts = npt.NDArray[np.int64]
RedactAll = Callable[[Sequence[str]], list[str | None]]
Single = Label | RolloutEvent | Quarantine | Undecodable | Failure  # events of one row each

_Figures = TypeVar("_Figures", TextFigures, ImageFigures)

# What columns take of figures.
_TEXTS: dict[str, Callable[[TextFigures], Sequence[int]]] = {
    "characters": lambda texts: texts.characters,
    "text_bytes": lambda texts: texts.bytes,
    "replaced": lambda texts: texts.replaced,
}
_IMAGES: dict[str, Callable[[ImageFigures], Sequence[float | None]]] = {
    "width": lambda images: images.widths,
    "height": lambda images: images.heights,
    "image_bytes": lambda images: images.bytes,
    "brightness": lambda images: images.brightness,
    "sharpness": lambda images: images.sharpness,
}


class InvalidBlock(ValueError):
    """A block whose sequences do not belong to the same texts."""


def check_block(block: PredictionBlock) -> None:
    """Raise `InvalidBlock` where a block's sequences differ in length, or are not of its shape."""
    n = len(block.ids)
    if not (
        n
        == len(block.class_index)
        == len(block.probabilities)
        == len(block.tokens)
        == len(block.unknown)
        == len(block.truncated)
        == len(block.audit)
    ):
        raise InvalidBlock("sequences of different lengths")
    if block.texts is not None and len(block.texts) != n:
        raise InvalidBlock("texts of another number")
    if block.figures is not None and not block.figures.are_of(n):
        raise InvalidBlock("figures of another number of texts")
    _check_images(block.images, n)
    if block.embeddings is not None and len(block.embeddings) != n:
        raise InvalidBlock("embeddings of another number")
    if block.base_embeddings is not None:
        rows = range(n) if block.base_rows is None else block.base_rows
        ascending = all(a < b for a, b in pairwise(rows))
        inside = not rows or (rows[0] >= 0 and rows[-1] < n)
        if len(block.base_embeddings) != len(rows) or not ascending or not inside:
            raise InvalidBlock("base embeddings of other rows")


def _check_images(images: ImageFigures | None, count: int) -> None:
    if images is not None and not images.are_of(count):
        raise InvalidBlock("figures of another number of images")


def check_reference(reference: Reference) -> None:
    """Raise `InvalidBlock` where a reference's sequences differ in length."""
    n = len(reference.class_index)
    per_row = (
        reference.label_index,
        reference.probabilities,
        reference.embeddings,
        reference.base_embeddings,
        reference.tokens,
        reference.unknown,
        reference.truncated,
    )
    if any(part is not None and len(part) != n for part in per_row):
        raise InvalidBlock("sequences of different lengths")
    _check_images(reference.images, n)


def prediction_batch(blocks: Sequence[PredictionBlock], first: int, redact: RedactAll) -> Any:
    """Return the events of some checked blocks, numbered from `first`."""
    counts = np.array([len(block.ids) for block in blocks], np.int64)
    n = int(counts.sum())
    spread = _spreader(counts, n)
    lengths = np.repeat([block.probabilities.shape[1] for block in blocks], counts)
    flat = np.concatenate([block.probabilities.ravel() for block in blocks])
    tops = np.concatenate([block.class_index for block in blocks]).astype(np.int64)
    if n and (int(tops.min()) < 0 or bool((tops >= lengths).any())):
        raise InvalidBlock("a class index beyond the classes")
    starts = np.cumsum(lengths) - lengths
    columns: dict[str, Any] = {
        "kind": pa.repeat("prediction", n),
        "time": spread([block.time_s for block in blocks], "time"),
        "role": spread([block.role for block in blocks], "role"),
        "alone": spread([block.alone for block in blocks], "alone"),
        "keyed": spread([block.keyed for block in blocks], "keyed"),
        "revision": spread([block.revision for block in blocks], "revision"),
        "prediction_id": _each((block.ids for block in blocks), "prediction_id"),
        "request_id": spread([block.request_id for block in blocks], "request_id"),
        "trace_id": spread([block.trace_id for block in blocks], "trace_id"),
        "class_index": pa.array(tops.astype(np.int32)),
        "class_name": _names(blocks, tops),
        "confidence": pa.array(flat[starts + tops].astype(np.float32, copy=False)),
        "probabilities": _lists(flat.astype(np.float16), lengths, None),
        "embedding": _vectors([block.embeddings for block in blocks], counts),
        "base_embedding": _base_vectors(blocks, counts),
        "tokens": _each((block.tokens for block in blocks), "tokens"),
        "unknown_tokens": _each((block.unknown for block in blocks), "unknown_tokens"),
        "truncated": _each((block.truncated for block in blocks), "truncated"),
        "fingerprint": _fingerprints(blocks),
        "queue_s": spread([block.queue_s for block in blocks], "queue_s"),
        "compute_s": spread([block.compute_s for block in blocks], "compute_s"),
        "group": spread([block.group for block in blocks], "group"),
        "audit": _each((block.audit for block in blocks), "audit"),
        "audit_probability": spread(
            [block.audit_probability for block in blocks], "audit_probability"
        ),
        "sample": spread([block.sample for block in blocks], "sample"),
        "text": _texts(blocks, redact),
    }
    columns |= _figures(blocks, [block.figures for block in blocks], _TEXTS)
    if any(block.images is not None for block in blocks):
        columns |= _figures(blocks, [block.images for block in blocks], _IMAGES)
    for name in ("tenant", "adapter", "version", "digest", "backbone", "precision", "provider"):
        columns[name] = spread([getattr(block, name) for block in blocks], name)
    return _batch(columns, n, first)


def reference_batch(reference: Reference, start: int, stop: int, first: int) -> Any:
    """Return rows `start` to `stop` of a reference, numbered from `first`."""
    n = stop - start
    rows = slice(start, stop)
    probabilities = reference.probabilities[rows]
    lengths = np.full(n, probabilities.shape[1])
    tops, truths = (
        np.asarray(index[rows], np.int32)
        for index in (reference.class_index, reference.label_index)
    )
    labels = pa.array(reference.labels, pa.string())
    whole = np.array([n], np.int64)
    columns = {
        "kind": pa.repeat("reference", n),
        "time": _times(np.full(n, reference.time_s)),
        "version": pa.array(np.full(n, reference.version, np.int32)),
        "role": pa.repeat("reference", n),
        "class_index": pa.array(tops),
        "class_name": labels.take(pa.array(tops)),
        "confidence": pa.array(probabilities[np.arange(n), tops].astype(np.float32)),
        "label_index": pa.array(truths),
        "label": labels.take(pa.array(truths)),
        "probabilities": _lists(probabilities.astype(np.float16).ravel(), lengths, None),
        "embedding": _vectors([_some(reference.embeddings, rows)], whole),
        "base_embedding": _vectors([_some(reference.base_embeddings, rows)], whole),
        "tokens": pa.array(reference.tokens[rows], pa.int32()),
        "unknown_tokens": pa.array(reference.unknown[rows], pa.int32()),
        "truncated": pa.array(reference.truncated[rows], pa.bool_()),
        "row": pa.array(np.arange(start, stop, dtype=np.int32)),
        "rows": pa.array(np.full(n, len(reference), np.int32)),
    }
    if reference.images is not None:
        for name, of in _IMAGES.items():
            columns[name] = _column(list(of(reference.images)[rows]), name)
    for name in ("tenant", "adapter", "digest", "backbone", "precision", "provider"):
        columns[name] = pa.repeat(getattr(reference, name), n)
    if reference.actor is not None:
        columns["actor"] = pa.repeat(reference.actor, n)
    return _batch(columns, n, first)


def record_batch(events: Sequence[Single], first: int) -> Any:
    """Return single events, numbered from `first`."""
    rows = [_row(event) for event in events]
    names = set().union(*rows)
    columns = {name: _column([row.get(name) for row in rows], name) for name in names}
    return _batch(columns, len(rows), first)


def _row(event: Single) -> Mapping[str, Any]:
    row: dict[str, Any] = {
        "time": event.time_s,
        "tenant": event.tenant,
        "adapter": event.adapter,
    }
    if isinstance(event, RolloutEvent):
        before = None if event.before is None else orjson.dumps(event.before).decode()
        after = orjson.dumps(event.after).decode()
        row |= {"kind": "rollout", "revision": event.revision, "before": before, "after": after}
        return row | {"actor": event.actor, "reason": event.reason}
    row |= {"version": event.version, "digest": event.digest}
    if isinstance(event, Undecodable):
        row |= {"kind": "undecodable", "role": event.role, "backbone": event.backbone}
        return row | {"count": event.count}
    if isinstance(event, Failure):
        row |= {"kind": "failure", "role": event.role, "backbone": event.backbone}
        return row | {"code": event.code, "count": event.count}
    if isinstance(event, Quarantine):
        row |= {"kind": "quarantine", "reason": event.reason, "backbone": event.backbone}
        return row | {"precision": event.precision, "provider": event.provider}
    return row | {
        "kind": "label",
        "role": "canary" if event.canary else "live" if event.live else "pinned",
        "prediction_id": event.prediction_id,
        "request_id": event.request_id,
        "predicted_at": event.predicted_s,
        "class_index": event.class_index,
        "confidence": event.confidence,
        "label_index": event.label_index,
        "label": event.label,
        "group": event.group,
        "audit": event.audit,
        "audit_probability": event.audit_probability,
        "actor": event.actor,
    }


def _batch(columns: Mapping[str, Any], n: int, first: int) -> Any:
    numbered = {"sequence": pa.array(np.arange(first, first + n, dtype=np.int64)), **columns}
    arrays = [
        numbered[field.name] if field.name in numbered else pa.nulls(n, field.type)
        for field in SCHEMA
    ]
    return pa.RecordBatch.from_arrays(arrays, schema=SCHEMA)


def _spreader(counts: Counts, n: int) -> Callable[[list[Any], str], Any]:
    """Return what turns one value a block into one value a text."""
    if n == len(counts) and (counts == 1).all():
        return _column
    index = pa.array(np.repeat(np.arange(len(counts), dtype=np.int32), counts))
    return lambda values, name: _column(values, name).take(index)


def _column(values: list[Any], name: str) -> Any:
    if name in ("time", "predicted_at"):
        return _times(np.array(values, np.float64))
    kind = _TYPES[name]
    try:
        return pa.array(values, kind)
    except UnicodeEncodeError:  # halves of surrogate pairs, from a client's JSON
        return pa.array([_sound(value) for value in values], kind)


def _sound(text: str | None) -> str | None:
    return None if text is None else text.encode("utf-8", "replace").decode()


def _times(seconds: npt.NDArray[np.float64]) -> Any:
    missing = np.isnan(seconds)
    micros = np.rint(np.where(missing, 0.0, seconds) * 1e6).astype(np.int64)
    return pa.array(micros, mask=missing).view(_TYPES["time"])


def _each(parts: Iterable[Sequence[Any]], name: str) -> Any:
    return _column(list(chain.from_iterable(parts)), name)


def _figures(
    blocks: Sequence[PredictionBlock],
    found: Sequence[_Figures | None],
    takers: Mapping[str, Callable[[_Figures], Sequence[float | None]]],
) -> dict[str, Any]:
    """Return columns of each block's figures: nulls for a block that has none."""
    unknown: list[float | None] = [None]
    return {
        name: _each(
            (
                unknown * len(block.ids) if figures is None else take(figures)
                for block, figures in zip(blocks, found, strict=True)
            ),
            name,
        )
        for name, take in takers.items()
    }


def _fingerprints(blocks: Sequence[PredictionBlock]) -> Any:
    unknown: list[int | None] = [None]
    known = [block.figures or block.images for block in blocks]
    parts = [
        unknown * len(block.ids) if figures is None else figures.fingerprints
        for block, figures in zip(blocks, known, strict=True)
    ]
    return _each(parts, "fingerprint")


def _names(blocks: Sequence[PredictionBlock], tops: Counts) -> Any:
    if not any(block.labels for block in blocks):
        return pa.nulls(len(tops), pa.string())
    labels = chain.from_iterable([block.labels or None] * len(block.ids) for block in blocks)
    pairs = zip(labels, tops.tolist(), strict=True)
    return _column([None if names is None else names[top] for names, top in pairs], "class_name")


def _texts(blocks: Sequence[PredictionBlock], redact: RedactAll) -> Any:
    if not any(block.texts for block in blocks):
        return pa.nulls(sum(len(block.ids) for block in blocks), pa.string())
    texts: list[str | None] = []
    for block in blocks:
        texts += [None] * len(block.ids) if block.texts is None else redact(block.texts)
    return _column(texts, "text")


def _base_vectors(blocks: Sequence[PredictionBlock], counts: Counts) -> Any:
    if not any(block.base_embeddings is not None for block in blocks):
        return pa.nulls(int(counts.sum()), _TYPES["base_embedding"])
    if all(block.base_rows is None for block in blocks):
        return _vectors([block.base_embeddings for block in blocks], counts)
    parts: list[FloatArray | None] = []  # row by row: a sampled few
    for block in blocks:
        rows: list[FloatArray | None] = [None] * len(block.ids)
        if block.base_embeddings is not None:
            wanted = range(len(rows)) if block.base_rows is None else block.base_rows
            for number, row in enumerate(wanted):
                rows[row] = block.base_embeddings[number : number + 1]
        parts += rows
    return _vectors(parts, np.ones(len(parts), np.int64))


def _vectors(parts: Sequence[FloatArray | None], counts: Counts) -> Any:
    """Return rows scaled to L2 norm 1, as float16; a part without rows gives nulls."""
    there = [part for part in parts if part is not None]
    if not there:
        return pa.nulls(int(counts.sum()), _TYPES["embedding"])
    widths = np.array([0 if part is None else part.shape[1] for part in parts])
    missing = None
    if len(there) < len(parts):
        missing = np.repeat([part is None for part in parts], counts)
    if len({part.shape[1] for part in there}) == 1:
        flat = unit_rows(np.concatenate(there)).astype(np.float16).ravel()
    else:
        flat = np.concatenate([unit_rows(part).astype(np.float16).ravel() for part in there])
    return _lists(flat, np.repeat(widths, counts), missing)


def unit_rows(rows: FloatArray) -> FloatArray:
    """Return the rows scaled to L2 norm 1; zeros stay zeros, what has no norm becomes NaN."""
    with np.errstate(all="ignore"):
        norms = np.sqrt(np.einsum("ij,ij->i", rows, rows))
        norms[norms == 0.0] = 1.0
        norms[~np.isfinite(norms)] = np.nan
        unit: FloatArray = rows / norms[:, None]
    return unit


def _lists(
    values: npt.NDArray[np.float16],
    lengths: npt.NDArray[Any],
    missing: npt.NDArray[np.bool_] | None,
) -> Any:
    offsets = np.zeros(len(lengths) + 1, np.int32)
    np.cumsum(lengths, out=offsets[1:])
    mask = None if missing is None else pa.array(missing)
    return pa.ListArray.from_arrays(
        pa.array(offsets), pa.array(values), type=_TYPES["embedding"], mask=mask
    )


def _some(rows: FloatArray | None, chosen: slice) -> FloatArray | None:
    return None if rows is None else rows[chosen]
