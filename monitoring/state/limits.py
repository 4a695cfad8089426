"""How much the state holds, as plain values."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the state; those of `MonitorSettings` have its names and meaning."""

    bucket_s: int = 300
    fine_buckets: int = 24
    hours_kept: int = 48
    days_kept: int = 35
    versions_max: int = 20_000
    groups_max: int = 20
    sample_rows: int = 32
    labels_kept: int = 20_000
    reference_rows_max: int = 5000
    sample_hours: int = 24  # for which samples of rows are kept
    shadows_kept: int = 20_000  # predictions of a shadow that wait for labels
    pool_rows: int = 2000  # of a backbone's pooled reference
    pool_rows_min: int = 200  # below which there is none
    marks_max: int = 200  # rollouts of an adapter
    quarantined_max: int = 100  # digests of an adapter
    alarms_max: int = 100  # of a version
    grace_s: float = 2.0  # by which the log must be past the end of a bucket that closes
    loaded_bytes: int = 256 << 20  # objects in memory, besides those that changed
    changed_bytes: int = 128 << 20  # objects that changed, beyond which a checkpoint is due
