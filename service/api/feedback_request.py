"""The body of `POST /v1/feedback`, decoded and checked in one pass."""

from typing import Annotated

import msgspec

LABELS_MAX = 10_000


class FeedbackLabel(msgspec.Struct, forbid_unknown_fields=True):
    """The label of one prediction."""

    id: Annotated[str, msgspec.Meta(description="the prediction's id, as its answer gave it")]
    label: Annotated[
        str, msgspec.Meta(description="one of the labels of the version that answered")
    ]
    group: Annotated[
        Annotated[str, msgspec.Meta(min_length=1, max_length=64)] | None,
        msgspec.Meta(description="the subgroup that it counts for"),
    ] = None


class FeedbackRequest(msgspec.Struct, forbid_unknown_fields=True):
    """Labels of predictions, of any versions and of every tenant that the key may label."""

    labels: Annotated[
        list[FeedbackLabel],
        msgspec.Meta(
            min_length=1, max_length=LABELS_MAX, description=f"1 to {LABELS_MAX:,} labels"
        ),
    ]
