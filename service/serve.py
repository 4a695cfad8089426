"""`tenantry serve`: builds every part, and runs them from the first request to the last."""

import asyncio
import gc
import logging
import os
import signal
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import typer
import uvloop
from prometheus_client import (
    CollectorRegistry,
    GCCollector,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)

from service.api.app import create_app
from service.api.lifecycle import Lifecycle
from service.api.logs import FIELDS, begin_logging
from service.api.server import Server, address_of, listen, port_of, server_config
from service.batching.assembly import EngineLimits, assemble
from service.batching.batcher import Batcher
from service.engine.bundle import Bundle, open_bundle
from service.engine.errors import TenantryError
from service.engine.tokens import Tokeniser
from service.errors import InvalidSettings
from service.events.ids import Signer
from service.events.keys import InvalidKeyFile, open_signer
from service.metrics import Metrics
from service.registry.records import RegistryLimits
from service.registry.registry import Registry
from service.settings import Settings, read_settings, variable_of

PROVIDER_MEMORY = "provider.json"

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
        str | None, typer.Option(help="auto, cpu, openvino or cuda (auto).", show_default=False)
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
        bank_slots=slots,
        threads=threads,
        log_level=log_level,
    )
    begin_logging(settings.log_level, settings.log_format)
    run(settings)


def run(settings: Settings) -> None:
    """Serve until a signal, and return when everything accepted was answered."""
    _warn(settings)
    # The engine's thread needs the interpreter back soon after a pass.
    sys.setswitchinterval(_SWITCH_INTERVAL_S)
    backbone = open_bundle(settings.bundle)
    registry = Registry.open(settings.state, backbone.digest, _registry_limits(settings))
    try:
        _run(settings, backbone, registry, _signer(settings.state))
    finally:
        registry.close()


def _run(settings: Settings, backbone: Bundle, registry: Registry, signer: Signer) -> None:
    metrics = _metrics(settings)
    # The audit line of a quarantine waits for the disk; the engine's thread must not.
    clerk = ThreadPoolExecutor(1, thread_name_prefix="tenantry-clerk")
    batcher, choice = assemble(
        backbone,
        settings.provider,
        _engine_limits(settings),
        lambda digest: registry.load_adapter(digest, backbone.manifest),
        metrics,
        memory=settings.state / PROVIDER_MEMORY,
        on_failure=lambda: os.kill(os.getpid(), signal.SIGTERM),  # drain, and end
        on_quarantine=lambda digest: clerk.submit(_note_quarantined, registry, digest),
        progress=lambda name: logger.info("measuring the provider %s", name),
    )
    logger.info("provider %s: %s", choice.provider, choice.reason)
    sockets = [
        listen(settings.host, settings.port, variable_of("port"), settings.connections_backlog)
    ]
    if settings.operator_port is not None:
        variable = variable_of("operator_port")
        sockets.append(
            listen(settings.host, settings.operator_port, variable, settings.connections_backlog)
        )
        logger.warning("metrics and pages, without a key, on %s", address_of(sockets[1]))
    lifecycle = Lifecycle()
    app = create_app(
        registry,
        batcher,
        Tokeniser(backbone),
        backbone,
        settings,
        metrics,
        signer,
        lifecycle=lifecycle,
        operator_port=port_of(sockets[1]) if len(sockets) > 1 else None,
    )
    config = server_config(app, settings)

    async def stop() -> None:
        if lifecycle.warm:
            await batcher.stop(0)

    server = Server(config, lifecycle, settings.drain_s, stop)

    async def main() -> None:
        warming = asyncio.create_task(_warm(batcher, lifecycle, metrics, backbone))
        warming.add_done_callback(lambda task: _give_up(task, server))
        logger.info("listening on %s", address_of(sockets[0]))
        await server.serve(sockets)
        if warming.done():
            warming.result()
        if batcher.failure is not None:
            raise batcher.failure

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def _note_quarantined(registry: Registry, digest: str) -> None:
    try:
        registry.note_quarantined(digest, "engine")
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


def _warn(settings: Settings) -> None:
    key = settings.admin_key
    if key is None:
        logger.warning(
            "OPEN: there is no admin key, so everyone on this machine may do everything here;"
            " %s sets one",
            variable_of("admin_key"),
        )
    elif len(key.get_secret_value()) < _SHORT_KEY:
        logger.warning("the admin key has fewer than %d characters", _SHORT_KEY)


def _signer(state: Path) -> Signer:
    try:
        return open_signer(state)
    except InvalidKeyFile as error:
        raise InvalidSettings(str(error)) from error


def _metrics(settings: Settings) -> Metrics:
    disable_created_metrics()  # type: ignore[no-untyped-call]
    collected = CollectorRegistry()
    ProcessCollector(registry=collected)
    PlatformCollector(registry=collected)
    GCCollector(registry=collected)
    return Metrics(collected, settings.tenant_series_max)


def _registry_limits(settings: Settings) -> RegistryLimits:
    return RegistryLimits(
        tenants_max=settings.tenants_max,
        adapters_per_tenant_max=settings.adapters_per_tenant_max,
        adapters_max=settings.adapters_max,
        versions_per_adapter_max=settings.versions_per_adapter_max,
    )


def _engine_limits(settings: Settings) -> EngineLimits:
    return EngineLimits(
        slots=settings.bank_slots,
        threads=settings.threads,
        queue_texts_max=settings.queue_texts_max,
        queue_tokens_max=settings.queue_tokens_max,
        host_cache_bytes_max=settings.host_cache_bytes_max,
    )
