"""What is tolerated, and over which windows: the settings that judging goes by, as plain values."""

from dataclasses import dataclass, fields

from monitoring.settings import MonitorSettings

_ROWS_MIN = 50
_PART = 5


@dataclass(frozen=True, slots=True)
class Policy:
    """Plain values; names and meaning are those of `MonitorSettings`."""

    bucket_s: int = 60
    fine_buckets: int = 75
    hours_kept: int = 48
    window_rows: int = 500
    drift_tolerance: float = 0.1
    alarms_per_week: float = 1.0
    label_window_s: float = 7 * 86_400.0
    label_window_max: int = 10_000
    labels_min: int = 50
    calibration_error_max: float = 0.1
    accuracy_drop_max: float = 0.05
    drift_patience_s: float = 3600.0
    webhook_cooldown_s: float = 86_400.0
    seed: int = 0

    @staticmethod
    def of(settings: MonitorSettings) -> "Policy":
        """Return the policy that settings ask for."""
        return Policy(**{field.name: getattr(settings, field.name) for field in fields(Policy)})

    def rows_of(self, reference_rows: int) -> int:
        """Return how many rows the window by count has at least, for a reference of so many.

        p is defined up to a quarter of the reference; a fifth leaves room for the last bucket.
        """
        return min(self.window_rows, max(_ROWS_MIN, reference_rows // _PART))

    def primary(self, reference_rows: int) -> str:
        """Return the name of the window by count, which metrics and history tell of."""
        return f"last-{self.rows_of(reference_rows)}"
