"""Rows of references in one frame: a reference may need several."""

from collections import Counter
from collections.abc import Sequence

import numpy as np

from monitoring.ingest.columns import Columns, Vectors
from monitoring.ingest.predictions import are_images, are_probabilities, images_of, is_unit
from monitoring.rows import HalfArray, Images, IntArray
from monitoring.state.reference_rows import ReferencePart


def parts_of(columns: Columns, malformed: Counter[str]) -> list[ReferencePart]:
    """Return a frame's references in its order; of one that is not sound no row is returned."""
    if not len(columns):
        return []
    row, version = columns.integers("row", -1), columns.integers("version", -1)
    named = [columns.coded(name) for name in ("tenant", "adapter", "digest", "backbone")]
    new = np.zeros(len(columns), np.bool_)
    new[:1] = True
    new[1:] = np.diff(row) != 1
    for codes in (version, *(codes for codes, _ in named)):
        new[1:] |= np.diff(codes) != 0
    starts = np.flatnonzero(new).tolist()
    images = images_of(columns)
    parts = []
    for start, stop in zip(starts, [*starts[1:], len(columns)], strict=True):
        names = [texts[codes[start]] if codes[start] >= 0 else None for codes, texts in named]
        part = _part(columns, images, start, stop, names)
        if part is None:
            malformed["reference"] += stop - start
        else:
            parts.append(part)
    return parts


def _part(
    columns: Columns, images: Images | None, start: int, stop: int, names: Sequence[str | None]
) -> ReferencePart | None:
    rows = np.arange(start, stop)
    tenant, adapter, digest, backbone = names
    whole = columns.integers("rows", -1)[rows]
    first, version = int(columns.integers("row", -1)[start]), columns.integers("version", -1)[start]
    tops, truths = (columns.integers(n, -1)[rows] for n in ("class_index", "label_index"))
    tokens, unknown = (columns.integers(n, -1)[rows] for n in ("tokens", "unknown_tokens"))
    own = images.rows(rows) if images is not None and columns.known("width")[rows].any() else None
    probabilities = columns.vectors("probabilities")
    classes = int(probabilities.lengths[start])
    sound = (
        digest is not None
        and backbone is not None
        and version >= 0
        and first >= 0
        and bool((whole == whole[0]).all())
        and first + len(rows) <= whole[0]
        and bool((probabilities.lengths[rows] == classes).all())
        and bool(are_probabilities(probabilities)[rows].all())
        and bool(((tops >= 0) & (tops < classes) & (truths < classes)).all())
        and bool(((np.minimum(tokens, unknown) >= 0) if own is None else are_images(own)).all())
    )
    main, base = columns.vectors("embedding"), columns.vectors("base_embedding")
    if not sound or not _uniform(main, rows) or not _uniform(base, rows):
        return None
    return ReferencePart(
        tenant=tenant or "",
        adapter=adapter or "",
        version=int(version),
        digest=digest or "",
        backbone=backbone or "",
        time_us=int(columns.integers("time", 0)[start]),
        row=first,
        rows=int(whole[0]),
        names={
            **_names(truths, columns.texts("label")[start:stop]),
            **_names(tops, columns.texts("class_name")[start:stop]),
        },
        class_index=tops,
        label_index=truths,
        probabilities=probabilities.matrix(rows, classes),
        embeddings=_matrix(main, rows),
        base_embeddings=_matrix(base, rows),
        tokens=tokens,
        unknown=unknown,
        truncated=columns.truths("truncated")[rows],
        images=own,
    )


def _uniform(vectors: Vectors, rows: IntArray) -> bool:
    """Return whether all rows have a sound vector of one width, or none has any."""
    lengths = vectors.lengths[rows]
    return bool((lengths == lengths[0]).all()) and bool(is_unit(vectors)[rows].all())


def _matrix(vectors: Vectors, rows: IntArray) -> HalfArray | None:
    width = int(vectors.lengths[rows[0]])
    return vectors.matrix(rows, width) if width > 0 else None


def _names(classes: IntArray, names: Sequence[str | None]) -> dict[int, str]:
    pairs = dict(zip(classes.tolist(), names, strict=True))
    return {number: name for number, name in pairs.items() if number >= 0 and name is not None}
