"""Every limit and knob of the sidecar, in one frozen object.

Each field is also a variable, `TENANTRY_MONITOR_<FIELD>`, and its docstring is its line in the
reference. Three are the service's, under the service's names: `TENANTRY_STATE`,
`TENANTRY_ADMIN_KEY` and `TENANTRY_ADMIN_KEY_FILE`.
"""

import difflib
import os
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from monitoring.errors import InvalidMonitorSettings

PREFIX = "TENANTRY_MONITOR_"
_SHARED = {name: f"TENANTRY_{name.upper()}" for name in ("state", "admin_key", "admin_key_file")}

_DAY_S = 86_400.0
_HOUR_S = 3600


class MonitorSettings(BaseSettings):
    """What one sidecar is told; built once, in `monitor`, and passed on as plain values."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        populate_by_name=True,
        allow_inf_nan=False,
    )

    state: Path = Field(validation_alias="TENANTRY_STATE")
    """The service's state directory, with the log in `events`; the sidecar writes `monitor`."""
    admin_key: SecretStr | None = Field(default=None, validation_alias="TENANTRY_ADMIN_KEY")
    """The operator's key; the same as the service's."""
    admin_key_file: Path | None = Field(default=None, validation_alias="TENANTRY_ADMIN_KEY_FILE")
    """A file of operator's keys, one a line; the same as the service's."""
    host: str = "127.0.0.1"
    """Address to listen on; any but a loopback address needs an admin key."""
    port: int = Field(default=8001, ge=0, le=65535)
    """Port of page, report and metrics; 0 takes a free one and logs it."""

    poll_s: float = Field(default=0.5, gt=0, le=60)
    """How often the log is asked for what is new."""
    silent_s: float = Field(default=30.0, gt=0)
    """How long a living writer that says nothing is waited for."""
    checkpoint_s: float = Field(default=15.0, gt=0)
    """How often figures and place in the log are written down, in one transaction."""

    bucket_s: int = Field(default=60, ge=1, le=3600)
    """Length of the finest time buckets, at whose ends versions are judged; divides an hour."""
    fine_buckets: int = Field(default=75, ge=4)
    """How many of the finest buckets a version keeps; older ones are rolled up to hours."""
    hours_kept: int = Field(default=48, ge=1)
    """How many hours a version keeps before they are rolled up to days."""
    days_kept: int = Field(default=35, ge=1)
    """How many days a version keeps."""
    versions_max: int = Field(default=20_000, ge=1)
    """Versions (in a role) that are watched; beyond, the tenant with most loses its oldest."""
    groups_max: int = Field(default=20, ge=0)
    """Subgroups of a version with figures of their own; later ones are counted as `_other`."""
    sample_rows: int = Field(default=32, ge=0)
    """Rows of an hour that are kept for priors, projection and examples: personal data."""

    window_rows: int = Field(default=500, ge=50)
    """Rows of the primary window, from the newest buckets; a fifth of the reference at most."""
    drift_tolerance: float = Field(default=0.1, gt=0, le=1)
    """Tolerated drift: as if this share of the rows were replaced by wholly foreign ones."""
    alarms_per_week: float = Field(default=1.0, gt=0)
    """False alarms a week that the whole fleet may raise."""
    reference_rows_max: int = Field(default=5000, ge=50)
    """Rows of a reference that are kept."""
    seed: int = Field(default=0, ge=0)
    """Of random features and resampling: the same log and seed give the same figures."""

    label_window_s: float = Field(default=7 * _DAY_S, gt=0)
    """How old labels may be that the figures tell of, by when they came."""
    label_window_max: int = Field(default=10_000, ge=50)
    """How many labels of a version the figures tell of: the latest."""
    labels_kept: int = Field(default=20_000, ge=50)
    """How many labels of a version are kept."""
    labels_min: int = Field(default=50, ge=10)
    """Labels below which label figures are unknown."""
    calibration_error_max: float = Field(default=0.1, gt=0, le=1)
    """Tolerated calibration error; beyond it with the whole interval is harm."""
    accuracy_drop_max: float = Field(default=0.05, gt=0, le=1)
    """Tolerated drop of accuracy below the reference's; beyond it with the interval is harm."""

    webhook_url: str | None = None
    """Where retrain triggers are sent; not set: they are only shown."""
    webhook_secret: SecretStr | None = None
    """Key of the signature header of a trigger."""
    webhook_dry_run: bool = False
    """Whether triggers are stored and shown, but not sent."""
    webhook_cooldown_s: float = Field(default=_DAY_S, ge=0)
    """Least time between two triggers of an adapter for the same reason."""
    drift_patience_s: float = Field(default=3600.0, ge=0)
    """How long drift must stay beyond its tolerance before it triggers."""

    backends: Path | None = None
    """A JSON file that selects alibi-detect's detectors for adapters (extra `alibi`)."""
    tenant_series_max: int = Field(default=200, ge=0)
    """Tenants with metric series of their own; later ones are counted under `_other`."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged."""

    @property
    def keyed(self) -> bool:
        """Return whether callers need a key."""
        return self.admin_key is not None or self.admin_key_file is not None

    @field_validator("admin_key")
    @classmethod
    def _key_can_be_sent(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None:
            return None
        text = key.get_secret_value()
        if not text:
            raise ValueError("is empty; give a key, or leave the variable out")
        if not all("!" <= character <= "~" for character in text):
            raise ValueError("must be printable ASCII without spaces, or no header can carry it")
        return key

    @model_validator(mode="after")
    def _agree(self) -> Self:
        if _HOUR_S % self.bucket_s:
            raise ValueError(f"bucket_s {self.bucket_s} does not divide an hour")
        if self.labels_min > self.label_window_max or self.label_window_max > self.labels_kept:
            raise ValueError("labels_min, label_window_max and labels_kept must ascend")
        if (
            self.webhook_url is not None
            and self.webhook_secret is None
            and not self.webhook_dry_run
        ):
            raise ValueError(
                f"webhook_url is set without a secret to sign with: set {PREFIX}WEBHOOK_SECRET"
            )
        return self


def variable_of(field: str) -> str:
    """Return the environment variable of a field."""
    return _SHARED.get(field, PREFIX + field.upper())


def read_settings(**given: Any) -> MonitorSettings:
    """Return the settings: `given` first (None means not given), then environment, then default.

    Raises `InvalidMonitorSettings`, naming every variable at fault and the nearest known name of
    an unknown one; a value that may be a secret is never repeated.
    """
    unknown = [line for name in sorted(os.environ) if (line := _unknown(name))]
    if unknown:
        raise InvalidMonitorSettings("\n".join(unknown))
    try:
        return MonitorSettings(**{key: value for key, value in given.items() if value is not None})
    except ValidationError as error:
        lines = map(_line, error.errors(include_input=False))
        raise InvalidMonitorSettings("\n".join(lines)) from None


def _unknown(name: str) -> str | None:
    known = {variable_of(field) for field in MonitorSettings.model_fields}
    if not name.upper().startswith(PREFIX) or name.upper() in known:
        return None
    if name.upper().endswith(("_SERVICE_HOST", "_SERVICE_PORT")) or "_TCP" in name.upper():
        return (
            f"{name} is not a setting; Kubernetes adds it for a service called `tenantry-monitor`:"
            " set `enableServiceLinks: false` in the pod"
        )
    nearest = difflib.get_close_matches(name.upper(), known, n=1)
    return f"{name} is not a setting" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _line(error: Any) -> str:  # pydantic's ErrorDetails, whose name is private to its core
    message = str(error["msg"]).removeprefix("Value error, ")
    if not error["loc"]:
        return message
    named = str(error["loc"][0])
    field = next((name for name, variable in _SHARED.items() if variable == named), named)
    if error["type"] == "missing":
        return f"{variable_of(field)} is needed, or --{field.replace('_', '-')}"
    return f"{variable_of(field)}: {message}"
