"""The demo from beginning to end."""

import json
import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import transformers

from examples.demo.checks import check_watch
from examples.demo.errors import DemoFailed
from examples.demo.operator_client import Operator
from examples.demo.preparation import Prepared, prepare
from examples.demo.screen import Screen
from examples.demo.service_process import ServiceProcess, serving
from examples.demo.session import ask, publish, publish_worse, show, wait
from examples.demo.verification import verdict, verify_restart, verify_running, verify_stop
from examples.demo.watching import watched
from examples.demo.work_folder import emptied

_EXAMPLE = "My suitcase was not on the belt in Lisbon and nobody can find it."


def play(
    screen: Screen, folder: Path, port: int | None, *, check: bool, images: bool = False
) -> bool:
    """Run the demo in the folder.

    With `check`, return whether everything held; without, serve until Ctrl-C and return True.
    With `images` there is one more service, whose backbone reads images.
    """
    # A checkpoint that holds no classifier is what the demo starts from: nothing to warn of.
    transformers.logging.set_verbosity(logging.ERROR)
    prepared = prepare(screen, folder)
    state = emptied(folder / "state")
    screen.heading("Serve: one process, one backbone, without torch")
    with (
        serving(prepared.bundle.path, state, port, folder / "service.log") as service,
        Operator(service.url) as operator,
    ):
        wait(screen, service)
        published = publish(screen, operator, prepared)
        worse = publish_worse(screen, operator, prepared)
        asked = ask(screen, service, operator, prepared)
        show(screen, prepared, asked)
        with watched(screen, folder, service, operator, prepared) as (sidecar, told):
            if not check:
                with ExitStack() as more:
                    if images:
                        more.enter_context(_pictures(screen, folder))
                    _serve_on(screen, service, sidecar, prepared)
                return True
            found = verify_running(operator, prepared, published, worse, asked)
            found += check_watch(prepared.adapters, told)
            found += verify_stop(sidecar)
        found += verify_stop(service)
    found += verify_restart(screen, folder, prepared, published)
    if images:
        from examples.demo.picture_shop import check_pictures, watched_pictures

        with watched_pictures(screen, folder / "images") as (pictures, seen):
            found += check_pictures(seen)
            found += verify_stop(pictures)
    return verdict(screen, found)


@contextmanager
def _pictures(screen: Screen, folder: Path) -> Iterator[None]:
    """Run the service with images around the block, and show how it is asked."""
    from examples.demo.picture_shop import ADAPTER, TENANT, watched_pictures

    with watched_pictures(screen, folder / "images") as (service, seen):
        example = folder / "images" / "block.png"
        example.write_bytes(seen.shop.holdout[0].file)
        screen.line("  try, while the demo runs:")
        screen.line(
            f"curl -s {service.url}/v1/tenants/{TENANT}/adapters/{ADAPTER}/predict"
            f" -H 'content-type: image/png' --data-binary @{example}"
        )
        yield


def _serve_on(
    screen: Screen, service: ServiceProcess, sidecar: ServiceProcess, prepared: Prepared
) -> None:
    business = prepared.adapters[0].business
    screen.heading(f"Serving on {service.url} until Ctrl-C, after {screen.took():.0f} s; try")
    screen.line(
        f"curl -s {service.url}/v1/tenants/{business.tenant}/adapters/{business.adapter}/predict"
        f" -H 'content-type: application/json' -d '{json.dumps({'inputs': [_EXAMPLE]})}'"
    )
    screen.line(f"open {service.url}/docs in a browser, and {sidecar.url} to see what moved")
    try:
        status = service.process.wait()
    except KeyboardInterrupt:
        with screen.stage("stopping: accepted requests are answered first") as advance:
            status = service.stop()
            advance(1, 1, f"status {status}")
        if status != 0:
            raise DemoFailed(f"the service stopped with status {status}: {service.log}") from None
    else:
        raise DemoFailed(f"the service ended with status {status}:\n{service.last_lines()}")
