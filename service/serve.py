"""`tenantry serve`: builds every part, and runs them from the first request to the last."""

import asyncio
import gc
import logging
import os
import signal
import socket
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
import uvloop
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from service.api.app import Application, Parts, create_app
from service.api.image_reading import image_limits, waiting_max
from service.api.lifecycle import Lifecycle
from service.api.logs import FIELDS, begin_logging
from service.api.recording import LoggedChanges
from service.api.server import (
    Server,
    address_of,
    listen,
    port_of,
    raise_limit_of_files,
    server_config,
)
from service.api.version import VERSION
from service.api.vllm_metrics import LiveNames, VllmMetrics
from service.batching.assembly import EngineLimits, assemble
from service.batching.batcher import Batcher
from service.engine.bundle import Bundle, open_bundle
from service.engine.errors import TenantryError
from service.engine.execution.provider import DeviceOptions
from service.engine.images.preprocess import Preprocessor
from service.engine.tokens import Tokeniser
from service.engine.tuning.memory import ENGINES, MEMORY
from service.errors import InvalidSettings, StoreFull
from service.events.keys import InvalidKeyFile, KeyRing
from service.events.log import EventLog, LogLimits
from service.events.ports import LogUnwritable
from service.events.redaction import UnknownRedactor, load_redactor
from service.limits import TenantLimits
from service.metrics import Metrics, Objectives
from service.registry.records import RegistryLimits
from service.registry.registry import Registry
from service.rpc.availability import require_grpc
from service.settings import Settings, read_settings, variable_of
from service.tracing.sampling import Sampling, tenant_ratios
from service.trials.controller import Controller
from service.uploads.signature import check_signing_keys
from service.usage import UsageBook

if TYPE_CHECKING:
    from service.rpc.server import RpcServer
    from service.tracing.tracing import Tracing

EVENTS = "events"

_KEYS_POLL_S = 1.0
_RPC_CLOSING_S = 1.0
_SETTLE_S = 1.0
_THREADS = 8
_SHORT_KEY = 16
_SWITCH_INTERVAL_S = 0.0005

logger = logging.getLogger(__name__)


def serve(
    bundle: Annotated[
        Path | None, typer.Option(help="Directory of the exported backbone.", show_default=False)
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="Directory of what must survive a restart.", show_default=False),
    ] = None,
    host: Annotated[
        str | None, typer.Option(help="Address to listen on (127.0.0.1).", show_default=False)
    ] = None,
    port: Annotated[
        int | None, typer.Option(help="Port to listen on; 0: any (8000).", show_default=False)
    ] = None,
    operator_port: Annotated[
        int | None,
        typer.Option(help="A port without keys for metrics and pages.", show_default=False),
    ] = None,
    provider: Annotated[
        str | None,
        typer.Option(help="auto, cpu, openvino, cuda or tensorrt (auto).", show_default=False),
    ] = None,
    variant: Annotated[
        str | None,
        typer.Option(help="Precision of the bundle, or auto (auto).", show_default=False),
    ] = None,
    slots: Annotated[
        int | None, typer.Option(help="Adapters that are ready to run at once.", show_default=False)
    ] = None,
    threads: Annotated[
        int | None, typer.Option(help="Threads of one forward pass (all).", show_default=False)
    ] = None,
    log_level: Annotated[
        str | None,
        typer.Option(help="debug, info, warning or error (info).", show_default=False),
    ] = None,
) -> None:
    """Serve a bundle: answer texts with every tenant's adapters, and take uploads.

    Each option is also a variable, TENANTRY_BUNDLE and so on; docs/reference/settings.md lists
    those that have no option.
    """
    settings = read_settings(
        bundle=bundle,
        state=state,
        host=host,
        port=port,
        operator_port=operator_port,
        provider=provider,
        variant=variant,
        bank_slots=slots,
        threads=threads,
        log_level=log_level,
    )
    begin_logging(settings.log_level, settings.log_format)
    run(settings)


def run(settings: Settings) -> None:
    """Serve until a signal, and return when everything accepted was answered."""
    _warn(settings)
    _require(settings)
    raise_limit_of_files(settings.connections_max)
    # The engine's thread needs the interpreter back soon after a pass.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    backbone = open_bundle(settings.bundle)
    metrics = _metrics(settings)
    with ExitStack() as open_parts:
        registry = Registry.open(
            settings.state,
            backbone.digest,
            _registry_limits(settings),
            busy_s=settings.registry_busy_s,
        )
        open_parts.callback(registry.close)
        _warn_of_foreign(registry, backbone.digest)
        signing = _key_ring(settings.state)
        tracing = _tracing(settings, metrics, backbone)
        if tracing is not None:  # closed after the log, which tells it of its last write
            open_parts.callback(tracing.close)
        log = _event_log(settings, metrics, tracing)
        open_parts.callback(log.close)
        changes = LoggedChanges(log, metrics)
        open_parts.callback(changes.close)
        registry.on_rollout = changes.rolled
        registry.watch(
            settings.registry_poll_s, metrics.refreshed, metrics.poll_failed, metrics.polled
        )
        # What a quarantine leaves behind waits for the disk; the engine's thread must not.
        clerk = ThreadPoolExecutor(1, thread_name_prefix="tenantry-clerk")
        open_parts.callback(clerk.shutdown)
        batcher, choice = assemble(
            backbone,
            settings.provider,
            _engine_limits(settings, backbone),
            lambda digest: registry.load_adapter(digest, backbone.manifest),
            metrics,
            variant=settings.variant,
            device=_device_options(settings),
            memory=settings.state / MEMORY,
            on_failure=lambda: os.kill(os.getpid(), signal.SIGTERM),  # drain, and end
            on_quarantine=lambda digest: clerk.submit(_quarantined, registry, changes, digest),
            tracing=tracing,
            progress=lambda name: logger.info("measuring %s", name),
        )
        logger.info("provider %s: %s", choice.provider, choice.reason)
        registry.on_deleted = partial(_forget, batcher)
        trials = Controller(
            registry,
            settings.state / EVENTS,
            metrics,
            mode=settings.automatic_rollback,
            alpha=settings.rollback_alpha,
            quarantined=lambda: batcher.status().quarantined,
        )
        open_parts.callback(trials.stop)
        trials.start()
        parts = Parts(
            registry=registry,
            batcher=batcher,
            tokeniser=Tokeniser(backbone) if backbone.manifest.image is None else None,
            preprocessor=_preprocessor(backbone, settings),
            bundle=backbone,
            settings=settings,
            metrics=metrics,
            signing=signing,
            log=log,
            limits=TenantLimits(),
            usage=UsageBook(registry, metrics),
            lifecycle=Lifecycle(),
            trials=trials,
            tracing=tracing,
        )
        if settings.vllm_metrics:
            metrics.registry.register(VllmMetrics(batcher, LiveNames(registry.routes)))
        _run(parts, batcher, signing, changes)


def _run(parts: Parts, batcher: Batcher, signing: KeyRing, changes: LoggedChanges) -> None:
    """Listen, and serve with the parts until the server ends."""
    settings, lifecycle = parts.settings, parts.lifecycle
    sockets = _sockets(settings)
    app = create_app(parts, operator_port=port_of(sockets[1]) if len(sockets) > 1 else None)
    rpc = _rpc_server(app, parts)

    async def stop() -> None:
        if lifecycle.warm:
            await batcher.stop(0)  # tells those who still wait, on every wire
        if rpc is not None:
            await rpc.stop(_RPC_CLOSING_S)

    server = Server(server_config(app, settings), lifecycle, settings.drain_s, stop)

    async def main() -> None:
        # Uploads may wait for the registry; what answers need is done on the other threads.
        threads = ThreadPoolExecutor(_THREADS + settings.uploads_max, "tenantry-beside")
        asyncio.get_running_loop().set_default_executor(threads)
        warming = asyncio.create_task(
            _warm(batcher, lifecycle, parts.metrics, parts.bundle), name="warming"
        )
        warming.add_done_callback(lambda task: _give_up(task, server))
        chores = [
            asyncio.create_task(parts.usage.keep_flushing(settings.usage_flush_s)),
            asyncio.create_task(_keep_refreshing(signing)),
            asyncio.create_task(changes.keep_settling(_SETTLE_S)),
            asyncio.create_task(app.shared.undecodable.keep_telling()),
            asyncio.create_task(app.shared.failures.keep_telling()),
        ]
        logger.info("listening on %s", address_of(sockets[0]))
        if rpc is not None and settings.grpc_port is not None:
            port = await rpc.start(settings.host, settings.grpc_port)
            logger.info("gRPC on %s port %d", settings.host, port)
        try:
            await server.serve(sockets)
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.wait(chores)
            await parts.usage.flush()
            app.shared.undecodable.tell()
            app.shared.failures.tell()
        if warming.done():
            warming.result()
        if batcher.failure is not None:
            raise batcher.failure

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def _require(settings: Settings) -> None:
    """Raise `InvalidSettings` where something that the settings ask for cannot be had."""
    if settings.grpc_port is not None:
        require_grpc()
    if settings.gate_signing_keys is not None:
        check_signing_keys(settings.gate_signing_keys)


def _rpc_server(app: Application, parts: Parts) -> "RpcServer | None":
    if parts.settings.grpc_port is None:
        return None
    from service.rpc.server import RpcServer  # an extra brings what it needs

    return RpcServer(
        app.shared.predictor,
        parts.registry,
        parts.lifecycle,
        app.shared.gate,
        parts.metrics,
        parts.settings,
        bodies=app.shared.bodies,
        statistics=app.shared.statistics,
        answers=app.shared.answers,
        hidden_size=parts.bundle.manifest.hidden_size,
        tracing=parts.tracing,
    )


def _sockets(settings: Settings) -> list[socket.socket]:
    sockets = [
        listen(settings.host, settings.port, variable_of("port"), settings.connections_backlog)
    ]
    if settings.operator_port is not None:
        variable = variable_of("operator_port")
        sockets.append(
            listen(settings.host, settings.operator_port, variable, settings.connections_backlog)
        )
        logger.warning("metrics and pages, without a key, on %s", address_of(sockets[1]))
    return sockets


async def _keep_refreshing(signing: KeyRing) -> None:
    """Take over signing keys that were rotated, until cancelled."""
    while True:
        await asyncio.sleep(_KEYS_POLL_S)
        await asyncio.to_thread(signing.refresh)


def _forget(batcher: Batcher, digests: Sequence[str]) -> None:
    for digest in digests:
        batcher.forget(digest)


def _quarantined(registry: Registry, changes: LoggedChanges, digest: str) -> None:
    try:
        changes.quarantined(registry.note_quarantined(digest, "engine"), "inf or NaN in an answer")
    except TenantryError:
        logger.exception("the audit line of a quarantine could not be written")


async def _warm(batcher: Batcher, lifecycle: Lifecycle, metrics: Metrics, backbone: Bundle) -> None:
    """Start the batcher, and say that the process is ready."""
    begun = time.monotonic()
    await batcher.start()
    status = batcher.status()
    metrics.serves(backbone.digest, status.provider, status.precision)
    # What start-up made stays; the collector need not look at it again and again.
    gc.collect()
    gc.freeze()
    lifecycle.warm = True
    fields = {
        "bundle": backbone.digest,
        "model": backbone.manifest.source.name,
        "provider": status.provider,
        "precision": status.precision,
        "slots": status.slots,
        "seconds": round(time.monotonic() - begun, 3),
    }
    logger.info("ready", extra={FIELDS: fields})


def _give_up(warming: "asyncio.Task[None]", server: Server) -> None:
    """Stop the server where the batcher cannot start; `run` raises why."""
    if not warming.cancelled() and warming.exception() is not None:
        server.should_exit = True


def _warn_of_foreign(registry: Registry, serving: str) -> None:
    """Say where versions wait for their bundle: whoever asks for them is refused."""
    for digest, count in sorted(registry.routes().foreign().items()):
        logger.warning(
            "%d versions were published on the bundle %s, and this server serves %s: they answer"
            " nobody until they are sent again; `tenantry adapters migrate` does that",
            count,
            digest,
            serving,
        )


def _warn(settings: Settings) -> None:
    key = settings.admin_key
    if not settings.keyed:
        logger.warning(
            "OPEN: there is no admin key, so everyone on this machine may do everything here;"
            " %s sets one",
            variable_of("admin_key"),
        )
    elif key is not None and len(key.get_secret_value()) < _SHORT_KEY:
        logger.warning("the admin key has fewer than %d characters", _SHORT_KEY)


def _preprocessor(backbone: Bundle, settings: Settings) -> Preprocessor | None:
    """Return what prepares images; None where the backbone reads texts."""
    if backbone.manifest.image is None:
        return None
    return Preprocessor(backbone, image_limits(settings))


def _key_ring(state: Path) -> KeyRing:
    try:
        return KeyRing.open(state)
    except InvalidKeyFile as error:
        raise InvalidSettings(str(error)) from error


def _tracing(settings: Settings, metrics: Metrics, backbone: Bundle) -> "Tracing | None":
    if settings.otlp_endpoint is None:
        return None
    # Most processes trace nothing, and import no SDK for it.
    from service.tracing.headers import InvalidHeaders, read_headers
    from service.tracing.tracing import Collector, open_tracing

    if settings.otlp_headers_file is not None:
        try:
            read_headers(settings.otlp_headers_file)
        except InvalidHeaders as error:
            raise InvalidSettings(f"{variable_of('otlp_headers_file')}: {error}") from error
    sampling = Sampling(
        settings.trace_ratio,
        tenant_ratios(settings.trace_tenants),
        follow=settings.trace_parent == "follow",
        followed_per_s_max=settings.trace_followed_per_s_max,
    )
    collector = Collector(settings.otlp_endpoint, settings.otlp_headers_file)
    return open_tracing(collector, sampling, metrics, version=VERSION, bundle=backbone.digest)


def _event_log(settings: Settings, metrics: Metrics, tracing: "Tracing | None") -> EventLog:
    limits = LogLimits(
        waiting_max=settings.events_waiting_max,
        flush_s=settings.events_flush_s,
        segment_bytes=settings.events_segment_bytes,
        segment_s=settings.events_segment_s,
        kept_s=settings.events_kept_s,
        kept_bytes=settings.events_kept_bytes,
    )
    try:
        redact = load_redactor(settings.redactor)
        return EventLog.open(
            settings.state / EVENTS,
            limits,
            redact=redact,
            metrics=metrics,
            on_traced=None if tracing is None else tracing.log_written,
        )
    except UnknownRedactor as error:
        raise InvalidSettings(f"{variable_of('redactor')}: {error}") from error
    except LogUnwritable as error:
        raise StoreFull(str(error)) from error


def _metrics(settings: Settings) -> Metrics:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    collected = CollectorRegistry()
    ProcessCollector(registry=collected)
    PlatformCollector(registry=collected)
    GCCollector(registry=collected)
    objectives = Objectives(settings.latency_objective_s, settings.latency_objectives)
    metrics = Metrics(collected, settings.tenant_series_max, objectives)
    metrics.watch_state(settings.state)
    return metrics


def _registry_limits(settings: Settings) -> RegistryLimits:
    return RegistryLimits(
        tenants_max=settings.tenants_max,
        adapters_per_tenant_max=settings.adapters_per_tenant_max,
        adapters_max=settings.adapters_max,
        versions_per_adapter_max=settings.versions_per_adapter_max,
        shadows_max=settings.shadows_max,
    )


def _engine_limits(settings: Settings, backbone: Bundle) -> EngineLimits:
    return EngineLimits(
        slots=settings.bank_slots,
        threads=settings.threads,
        queue_texts_max=waiting_max(settings, backbone.manifest.image),
        queue_tokens_max=settings.queue_tokens_max,
        host_cache_bytes_max=settings.host_cache_bytes_max,
        tenant_queue_ratio=settings.tenant_queue_ratio,
    )


def _device_options(settings: Settings) -> DeviceOptions:
    return DeviceOptions(
        memory_bytes_max=settings.gpu_memory_bytes_max,
        cuda_graphs=settings.cuda_graphs,
        engines=settings.state / ENGINES,
    )
