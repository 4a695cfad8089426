"""Label figures of a version: which labels they are of, and when they prove harm."""

from monitoring.assessment.policy import Policy
from monitoring.detectors import accuracy, calibration
from monitoring.labelled import Labelled
from monitoring.references.reference import Reference
from monitoring.report import Accuracy, Calibration
from monitoring.state.calendar import DAY_US, HOUR_US, start_of
from monitoring.state.view import View
from monitoring.state.windows import WindowRows
from monitoring.watched import Watched
from service.measures import UNDEFINED, Estimate, wilson

_SECOND_US = 1_000_000
_HOUR_S = 3600


def window_start_us(policy: Policy, end_us: int) -> int:
    """Return from when on labels came that figures at a time tell of."""
    return end_us - round(policy.label_window_s * _SECOND_US)


def assessed(
    view: View, watched: Watched, reference: Reference | None, policy: Policy, end_us: int
) -> Calibration:
    """Return the label figures of a version as of a time."""
    since_us = window_start_us(policy, end_us)
    labelled = view.labelled(watched, since_us, policy.label_window_max)
    return _assessed(reference, labelled, policy, traffic_of(view, watched, policy, end_us))


def traffic_of(view: View, watched: Watched, policy: Policy, end_us: int) -> calibration.Traffic:
    """Return the predictions of which a share has a label; cheap."""
    from_us = _whole_buckets(policy, window_start_us(policy, end_us))
    logged = view.predictions_between(watched, from_us, end_us)
    return calibration.Traffic(from_us, end_us, _answered(view, watched, logged))


def by_group(
    view: View, watched: Watched, reference: Reference | None, policy: Policy, end_us: int
) -> dict[str, Calibration]:
    """Return the label figures of each subgroup of a version as of a time."""
    groups = view.groups(watched)
    if not groups:
        return {}
    since_us = window_start_us(policy, end_us)
    from_us = _whole_buckets(policy, since_us)
    found = view.sketch_between(watched, from_us, end_us)
    told = {}
    for group in groups:
        labelled = view.labelled(watched, since_us, policy.label_window_max, group)
        logged = 0 if found is None else found.sketch.groups[group]
        traffic = calibration.Traffic(from_us, end_us, _answered(view, watched, logged))
        told[group] = _assessed(reference, labelled, policy, traffic)
    return told


def estimated(
    view: View,
    watched: Watched,
    reference: Reference | None,
    window: WindowRows,
    policy: Policy,
    *,
    is_reliable: bool,
) -> Accuracy:
    """Return the accuracy of a window without labels, and helped by those of its predictions."""
    labelled = None
    if reference is not None and reference.accuracy is not None and view.totals(watched).labelled:
        start_us = round(window.start_s * _SECOND_US)  # a label comes after its prediction
        kept = view.labelled(watched, start_us, policy.label_window_max)
        labelled = within(kept, window.start_s, window.end_s)
    return accuracy.assess(
        None if reference is None else reference.accuracy,
        window.sketch,
        labelled,
        is_reliable=is_reliable,
        labels_min=policy.labels_min,
    )


def within(labelled: Labelled, start_s: float, end_s: float) -> Labelled:
    """Return the labels of predictions that were made in a window."""
    start_us, end_us = round(start_s * _SECOND_US), round(end_s * _SECOND_US)
    kept = (labelled.predicted_us >= start_us) & (labelled.predicted_us < end_us)
    return Labelled(
        came_us=labelled.came_us[kept],
        predicted_us=labelled.predicted_us[kept],
        class_index=labelled.class_index[kept],
        confidence=labelled.confidence[kept],
        right=labelled.right[kept],
        audit=labelled.audit[kept],
        audit_probability=labelled.audit_probability[kept],
    )


def reference_accuracy(reference: Reference | None) -> Estimate:
    """Return the hold-out's accuracy, with the interval that its size allows."""
    if reference is None or not reference.labelled:
        return UNDEFINED
    return wilson(reference.right, reference.labelled)


def is_stale(seen_us: int, end_us: int) -> bool:
    """Say whether figures need to be computed again, though no label came: old ones fell out."""
    return not seen_us <= end_us < seen_us + HOUR_US


def _assessed(
    reference: Reference | None,
    labelled: Labelled,
    policy: Policy,
    traffic: calibration.Traffic,
) -> Calibration:
    baseline = None if reference is None else reference.calibration
    return calibration.assess(baseline, labelled, labels_min=policy.labels_min, traffic=traffic)


def _whole_buckets(policy: Policy, since_us: int) -> int:
    """Return the first time at or after another at which buckets of its age begin."""
    if policy.label_window_s <= (policy.fine_buckets - 1) * policy.bucket_s:
        length_us = policy.bucket_s * _SECOND_US
    elif policy.label_window_s <= (policy.hours_kept - 1) * _HOUR_S:
        length_us = HOUR_US
    else:
        length_us = DAY_US
    return -start_of(-since_us, length_us)


def _answered(view: View, watched: Watched, logged: int) -> int:
    """Return of how many predictions the log holds so many, where it holds a share of them."""
    share = view.totals(watched).sample
    return round(logged / share) if share > 0 else 0
