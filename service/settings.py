"""Every limit and knob of the service, in one frozen object.

Each field is also a variable, `TENANTRY_<FIELD>`, and its docstring is its line in the reference.
A `TENANTRY_*` variable that no part of the project knows is refused at start-up: a misspelt limit
would otherwise be no limit.
"""

import difflib
import math
import os
import re
import types
import typing
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from service.credentials.loopback import is_loopback
from service.errors import InvalidSettings
from service.tracing.endpoint import check_endpoint
from service.tracing.sampling import tenant_ratios

PREFIX = "TENANTRY_"

# Read by other parts of the project: where tests and benchmarks find their data sets, and what the
# commands that call a server are told.
_KNOWN_ELSEWHERE = frozenset({"TENANTRY_DATA", "TENANTRY_KEY", "TENANTRY_URL"})
# The sidecar's own, which it checks itself: both may be started from one environment.
_MONITOR_PREFIX = "TENANTRY_MONITOR_"

_REFERENCE_HEAD = (
    "Each is an environment variable; those that `tenantry serve --help` lists are flags too, and",
    "a flag goes before a variable. An unknown `TENANTRY_*` variable is a start-up error.",
)

_CLASS = re.compile("[a-z0-9][a-z0-9-]{0,62}", re.ASCII)
_PAGE = re.compile("https?://[!-~]+")  # anything else in a link could be a script
_OBJECTIVE_S_MAX = 3600.0

_MIB = 1 << 20
_GIB = 1 << 30


class Settings(BaseSettings):
    """What one service process is told; built once, in `serve`, and passed on as plain values."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, frozen=True, extra="forbid", use_attribute_docstrings=True
    )

    bundle: Path
    """Directory of the exported backbone."""
    state: Path
    """Directory of everything that must survive a restart: registry, adapters, keys."""

    host: str = "127.0.0.1"
    """Address to listen on; any but a loopback address needs an admin key."""
    port: int = Field(default=8000, ge=0, le=65535)
    """Port to listen on; 0 takes a free one and logs it."""
    operator_port: int | None = Field(default=None, ge=0, le=65535)
    """A port of its own, without keys, for metrics and pages; keep it off the public network."""
    admin_key: SecretStr | None = None
    """The operator's key; without one the server is open, and on the loopback address only."""
    admin_key_file: Path | None = None
    """A file of operator's keys, one a line, all of them valid; read again when it changes."""
    grpc_port: int | None = Field(default=None, ge=0, le=65535)
    """Port of the Open Inference Protocol over gRPC, on the same host; not set: none."""

    provider: Literal["auto", "cpu", "openvino", "cuda", "tensorrt"] = "auto"
    """Where the graph runs; `auto` takes what `tenantry tune` found, or measures what there is."""
    variant: str = "auto"
    """Which of the bundle's precisions runs; `auto` takes the fastest that agrees with fp32."""
    threads: int | None = Field(default=None, ge=1, le=1024)
    """Threads of one forward pass; not set: what was tuned, or every core of this process."""
    gpu_memory_bytes_max: int | None = Field(default=None, ge=1 << 28)
    """GPU memory for the model and its passes, the bank apart; not set: all that there is."""
    cuda_graphs: bool = False
    """Whether a pass on `cuda` or `tensorrt` is recorded once for each shape, and replayed."""
    bank_slots: int = Field(default=128, ge=1, le=65536)
    """Adapters that are ready to run at once; the others are loaded when they are asked for."""
    host_cache_bytes_max: int = Field(default=2 * _GIB, ge=0)
    """Memory for adapters that are read but in no slot."""

    queue_texts_max: int = Field(default=4096, ge=1)
    """Texts that may wait for a forward pass; beyond that requests get 503."""
    queue_tokens_max: int = Field(default=262_144, ge=1)
    """Tokens that may wait for a forward pass; beyond that requests get 503."""
    tenant_queue_ratio: float = Field(default=1.0, gt=0, le=100)
    """A tenant's waiting work over what the queue has free, times its weight; beyond that 429."""
    request_timeout_s_max: float = Field(default=60.0, gt=0)
    """Longest wait for an answer; `X-Timeout-Ms` can only shorten it."""
    latency_objective_s: float = Field(default=0.5, gt=0, le=3600, allow_inf_nan=False)
    """Within which a request shall be answered, from its head on; later answers count as slow."""
    class_latency_objectives: tuple[str, ...] = ()
    """The same for classes of tenants, as a JSON list such as `["gold=0.2", "batch=5"]`."""
    drain_s: float = Field(default=30.0, ge=0)
    """How long accepted requests may take after SIGTERM."""

    max_inputs: int = Field(default=1000, ge=1)
    """Inputs in one request; beyond that 422."""
    max_body_bytes: int = Field(default=8 * _MIB, ge=1024)
    """Bytes of a request body, after decompression; beyond that 413."""
    max_images: int = Field(default=64, ge=1)
    """Images in one request, where the backbone reads images; beyond that 422."""
    max_image_pixels: int = Field(default=32 * _MIB, ge=1, le=64 * _MIB)
    """Width times height of an image; beyond that 422, before it is decoded."""
    images_bytes_max: int = Field(default=512 * _MIB, ge=1 << 20)
    """Memory for images that are decoded and not answered yet; beyond that 503."""
    max_upload_bytes: int = Field(default=256 * _MIB, ge=1024)
    """Bytes of an upload's body, after decompression; beyond that 413."""
    max_unpacked_bytes: int = Field(default=512 * _MIB, ge=1024)
    """Bytes that an upload's archive may unpack to; beyond that 422."""
    bodies_bytes_max: int = Field(default=512 * _MIB, ge=1024)
    """Memory for all request bodies that are being read or answered; beyond that 503."""
    head_timeout_s: float = Field(default=20.0, gt=0)
    """Longest wait for a request's head, from its first byte or the connection's first moment."""
    body_timeout_s: float = Field(default=30.0, gt=0)
    """Longest wait for the next piece of a request's body; then the connection closes."""
    uploads_max: int = Field(default=3, ge=1)
    """Uploads that are received and checked at once; beyond that 503."""
    connections_backlog: int = Field(default=2048, ge=1)
    """Connections that may wait to be accepted."""
    connections_max: int = Field(default=16_384, ge=1)
    """Connections that are open at once, as far as the limit of open files allows; beyond, 503."""
    keep_alive_s: int = Field(default=75, ge=1)
    """How long an idle connection is kept open."""

    tenants_max: int = Field(default=10_000, ge=1)
    """Tenants in the registry."""
    adapters_per_tenant_max: int = Field(default=1_000, ge=1)
    """Adapters of one tenant."""
    adapters_max: int = Field(default=10_000, ge=1)
    """Adapters in the registry."""
    versions_per_adapter_max: int = Field(default=1_000, ge=1)
    """Versions of one adapter."""
    tenant_series_max: int = Field(default=200, ge=0)
    """Tenants with a metric series of their own; later ones are counted under `_other`."""

    shadows_max: int = Field(default=4, ge=0, le=64)
    """Shadow versions in one rollout."""
    registry_poll_s: float = Field(default=0.5, gt=0, le=2)
    """How often the registry is asked for what other processes changed."""
    registry_busy_s: float = Field(default=10.0, gt=0, le=60)
    """How long a change waits for another process that holds the registry; beyond that 503."""
    usage_flush_s: float = Field(default=10.0, gt=0)
    """How often usage is written down; a crash can lose this much of it."""

    gate_holdout_required: bool = False
    """Whether an upload must bring a hold-out."""
    gate_holdout_rows_max: int = Field(default=2000, ge=10)
    """Rows of a hold-out that are measured: drawn at random, the same ones each time."""
    gate_accuracy_drop_max: float = Field(default=0.02, ge=0, le=1)
    """How much less accurate than the live version, in points of the interval's near end."""
    gate_baseline_drop_max: float = Field(default=0.0, ge=-1, le=1)
    """How much less accurate than nearest centroids on the bare backbone (negative transfer)."""
    gate_calibration_error_max: float | None = Field(default=None, ge=0, le=1)
    """Largest calibration error of the answers as they would be served; not set: any."""
    gate_licenses: tuple[str, ...] | None = None
    """Licences that an upload may have, as a JSON list; not set: any, and none."""
    gate_signing_keys: Path | None = None
    """Directory of public keys; where it is set, every upload must be signed by one of them."""

    event_log: bool = True
    """Whether predictions are logged for the sidecar; labels and rollouts always are."""
    events_waiting_max: int = Field(default=65_536, ge=1)
    """Predictions that may wait to be logged; beyond that they are dropped and counted."""
    events_flush_s: float = Field(default=1.0, gt=0)
    """How often the log is written and synced; a crash can lose this much of its predictions."""
    events_segment_bytes: int = Field(default=64 * _MIB, ge=1 << 16)
    """Size at which a segment of the log is sealed."""
    events_segment_s: float = Field(default=3600.0, gt=0)
    """Age at which a segment of the log is sealed."""
    events_kept_s: float = Field(default=30 * 86_400.0, gt=0)
    """Age at which a segment of the log is deleted."""
    events_kept_bytes: int = Field(default=20 * _GIB, ge=1 << 20)
    """Size of the log beyond which its oldest segments are deleted."""
    redactor: str = "standard"
    """What takes personal data out of logged texts: an entry point of `tenantry.redactors`."""
    base_embedding_ratio: float = Field(default=0.02, ge=0, le=1)
    """Share of the logged predictions that the bare backbone embeds too, in the same passes."""
    audit_ratio: float = Field(default=0.0, ge=0, le=1)
    """Share of the predictions that are marked to be labelled, drawn at random."""

    canary_pairing: bool = True
    """Whether canary and live answer requests of each other too, unseen, so that labels compare."""
    automatic_rollback: Literal["off", "canary", "live"] = "off"
    """What goes without a person once it is proven worse: nothing, canaries, live versions too."""
    rollback_alpha: float = Field(default=0.01, gt=0, le=0.2)
    """Share of the canaries that are no worse and may be called worse, however long they run."""

    vllm_metrics: bool = False
    """Whether `vllm:` gauges are exported for gateways that route by them; they name tenants."""

    grafana_url: str | None = None
    """Address of Grafana, to which the service's page links."""
    sidecar_url: str | None = None
    """Address of the sidecar's report, to which the service's page links."""

    otlp_endpoint: str | None = None
    """A collector's base URL; traces go to it as OTLP over HTTP. Not set: nothing is recorded."""
    otlp_headers_file: Path | None = None
    """A file of headers that the collector wants, `name: value` a line; read again for each use."""
    trace_ratio: float = Field(default=0.05, ge=0, le=1)
    """Share of a tenant's requests that is recorded, drawn at random."""
    trace_tenants: tuple[str, ...] = ()
    """Tenants with a share of their own, as a JSON list such as `["acme=1", "globex=0"]`."""
    trace_parent: Literal["ignore", "follow"] = "ignore"
    """Whether a caller's `traceparent` decides what is recorded; its trace is continued anyway."""
    trace_followed_per_s_max: float = Field(default=10.0, ge=0, allow_inf_nan=False)
    """Requests a second that are recorded since their callers say so; others by their share."""

    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged."""
    log_format: Literal["auto", "json", "text"] = "auto"
    """JSON lines, or text for people; `auto`: text where standard error is a terminal."""
    request_log: Literal["off", "errors", "all"] = "errors"
    """Which requests get their one log line: none, 5xx but 503, or all; a bug of ours gets one."""

    @field_validator("admin_key")
    @classmethod
    def _key_can_be_sent(cls, key: SecretStr | None) -> SecretStr | None:
        if key is None:
            return None
        text = key.get_secret_value()
        if not text:
            raise ValueError("is empty; give a key, or leave the variable out for an open server")
        if not all("!" <= character <= "~" for character in text):
            raise ValueError("must be printable ASCII without spaces, or no header can carry it")
        return key

    @field_validator("class_latency_objectives")
    @classmethod
    def _objectives_can_be_read(cls, lines: tuple[str, ...]) -> tuple[str, ...]:
        _objectives_of(lines)
        return lines

    @field_validator("grafana_url", "sidecar_url")
    @classmethod
    def _page_can_be_linked(cls, address: str | None) -> str | None:
        if address is not None and not _PAGE.fullmatch(address):
            raise ValueError("must be an address such as https://grafana.example.com/d/tenantry")
        return address

    @field_validator("otlp_endpoint")
    @classmethod
    def _collector_can_be_asked(cls, endpoint: str | None) -> str | None:
        return None if endpoint is None else check_endpoint(endpoint)

    @field_validator("trace_tenants")
    @classmethod
    def _ratios_can_be_read(cls, pairs: tuple[str, ...]) -> tuple[str, ...]:
        tenant_ratios(pairs)
        return pairs

    @property
    def latency_objectives(self) -> dict[str, float]:
        """Return the seconds of each class of tenants that has an objective of its own."""
        return _objectives_of(self.class_latency_objectives)

    @property
    def keyed(self) -> bool:
        """Return whether callers need a key."""
        return self.admin_key is not None or self.admin_key_file is not None

    @model_validator(mode="after")
    def _open_means_loopback(self) -> Self:
        if not self.keyed and not is_loopback(self.host):
            raise ValueError(
                f"host {self.host} can be reached from elsewhere, and there is no admin key: set"
                f" {PREFIX}ADMIN_KEY, or listen on 127.0.0.1"
            )
        if self.operator_port is not None and self.operator_port == self.port != 0:
            raise ValueError("operator_port must differ from port")
        return self


def _objectives_of(lines: Iterable[str]) -> dict[str, float]:
    """Return the seconds of each class; raise `ValueError`, naming the line that is wrong."""
    objectives: dict[str, float] = {}
    for line in lines:
        name, _, seconds = line.partition("=")
        if not _CLASS.fullmatch(name):
            raise ValueError(f'{line!r} names no class; write "class=seconds", such as "gold=0.2"')
        if name in objectives:
            raise ValueError(f"the class {name} has two objectives")
        try:
            objectives[name] = float(seconds)
        except ValueError:
            objectives[name] = math.nan
        if not 0 < objectives[name] <= _OBJECTIVE_S_MAX:
            raise ValueError(
                f"{line!r} must give seconds above 0, at most {_OBJECTIVE_S_MAX:g}: write"
                ' "class=seconds", such as "gold=0.2"'
            ) from None
    return objectives


def read_settings(**given: Any) -> Settings:
    """Return the settings: `given` first (None means not given), then environment, then default.

    Raises `InvalidSettings`, naming every variable at fault and the nearest known name of an
    unknown one; a value that may be a secret is never repeated.
    """
    unknown = [line for name in sorted(os.environ) if (line := _unknown(name))]
    if unknown:
        raise InvalidSettings("\n".join(unknown))
    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        raise InvalidSettings("\n".join(map(_line, error.errors(include_input=False)))) from None


def variable_of(field: str) -> str:
    """Return the environment variable of a field."""
    return PREFIX + field.upper()


def _unknown(name: str) -> str | None:
    known = {variable_of(field) for field in Settings.model_fields} | _KNOWN_ELSEWHERE
    if not name.upper().startswith(PREFIX) or name.upper() in known:
        return None
    if name.upper().startswith(_MONITOR_PREFIX):
        return None
    if name.upper().endswith(("_SERVICE_HOST", "_SERVICE_PORT")) or "_TCP" in name.upper():
        return (
            f"{name} is not a setting; Kubernetes adds it for a service called `tenantry`:"
            " set `enableServiceLinks: false` in the pod"
        )
    nearest = difflib.get_close_matches(name.upper(), known, n=1)
    return f"{name} is not a setting" + (f"; did you mean {nearest[0]}?" if nearest else "")


def _line(error: typing.Any) -> str:  # pydantic's ErrorDetails, whose name is private to its core
    message = str(error["msg"]).removeprefix("Value error, ")
    if error["type"] == "tuple_type":
        message = 'must be a JSON list, such as ["one", "another"]'
    if not error["loc"]:
        return message
    field = str(error["loc"][0])
    variable = variable_of(field)
    if error["type"] == "missing":
        return f"{variable} is needed, or --{field.replace('_', '-')}"
    return f"{variable}: {message}"


def settings_reference() -> str:
    """Return the reference page of the settings, in Markdown."""
    lines = ["# Settings", "", *_REFERENCE_HEAD, "", *settings_table(Settings, variable_of)]
    return "\n".join(lines) + "\n"


def settings_table(kind: type[BaseSettings], variable: Callable[[str], str]) -> list[str]:
    """Return the lines of a table of settings; `variable` names the variable of a field."""
    lines = ["| variable | type | default | meaning |", "| --- | --- | --- | --- |"]
    for name, field in kind.model_fields.items():
        default = "needed" if field.is_required() else _shown(field.default, "bytes" in name)
        told = _type_name(field.annotation).replace("|", "\\|")
        lines.append(f"| `{variable(name)}` | {told} | {default} | {field.description} |")
    return lines


def _shown(value: object, is_bytes: bool) -> str:
    if value is None:
        return "not set"
    if is_bytes and isinstance(value, int) and value % _MIB == 0 and value:
        return f"`{value}` ({value // _MIB} MiB)"
    return f"`{value}`"


def _type_name(annotation: object) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Literal:
        return " | ".join(f"`{value}`" for value in arguments)
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}"
    if origin is types.UnionType or origin is typing.Union:
        return " | ".join(_type_name(kind) for kind in arguments if kind is not type(None))
    names = {
        Path: "path",
        SecretStr: "secret",
        str: "text",
        bool: "true | false",
        int: "integer",
        float: "number",
    }
    return names[typing.cast(type, annotation)]
