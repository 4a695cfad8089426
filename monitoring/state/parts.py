"""Some of a group's rows, where a frame's rows fall into several buckets."""

from dataclasses import replace

import numpy as np

from monitoring.rows import IntArray, Rows


def taken(rows: Rows, chosen: IntArray) -> tuple[Rows, IntArray, IntArray]:
    """Return chosen rows, ascending, and which embeddings and base embeddings are theirs."""
    embedded = np.flatnonzero(np.isin(rows.embedded, chosen))
    based = np.flatnonzero(np.isin(rows.based, chosen))
    some = chosen.tolist()
    part = replace(
        rows,
        time_us=rows.time_us[chosen],
        order=rows.order[chosen],
        prediction_ids=[rows.prediction_ids[row] for row in some],
        class_index=rows.class_index[chosen],
        confidence=rows.confidence[chosen],
        probabilities=rows.probabilities[chosen],
        embedded=np.searchsorted(chosen, rows.embedded[embedded]),
        embeddings=rows.embeddings[embedded],
        based=np.searchsorted(chosen, rows.based[based]),
        base_embeddings=rows.base_embeddings[based],
        tokens=rows.tokens[chosen],
        unknown=rows.unknown[chosen],
        truncated=rows.truncated[chosen],
        characters=rows.characters[chosen],
        text_bytes=rows.text_bytes[chosen],
        replaced=rows.replaced[chosen],
        fingerprint=rows.fingerprint[chosen],
        groups=[rows.groups[row] for row in some],
        audit=rows.audit[chosen],
        texts=[rows.texts[row] for row in some],
        images=None if rows.images is None else rows.images.rows(chosen),
    )
    return part, embedded, based
