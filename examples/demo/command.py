"""`tenantry demo`: three tenants on one backbone, from training to answers."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer

_STOPPING = (signal.SIGINT, signal.SIGTERM)


def demo(
    check: Annotated[
        bool, typer.Option("--check", help="Verify everything, then exit with 0 or 1.")
    ] = False,
    images: Annotated[
        bool, typer.Option("--images", help="A tenant with images too, on a backbone of its own.")
    ] = False,
    folder: Annotated[
        Path, typer.Option("--dir", help="Where bundle, adapters and state go.")
    ] = Path("demo"),
    port: Annotated[
        int | None, typer.Option(min=1, max=65535, help="Port to serve on. Default: a free one.")
    ] = None,
) -> None:
    """Train three tenants' adapters, serve them from one backbone, show who was answered what."""
    # Everything that the demo loads is on this machine: nothing is looked up on a hub.
    os.environ["HF_HUB_OFFLINE"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    # Threads that spin while they wait make training several times slower beside other work.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    from examples.demo.screen import Screen
    from examples.demo.work_folder import claimed

    screen = Screen()
    with _stopped_by_signals(), claimed(folder) as claimed_folder:
        screen.line(f"Three tenants on one backbone, in {folder}; loading torch and peft first ...")
        from examples.demo.play import play

        passed = play(screen, claimed_folder, port, check=check, images=images)
    if not passed:
        raise typer.Exit(1)


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """Let SIGTERM do what Ctrl-C does, so that the service is stopped then too.

    SIGINT is asked for as well, because a shell that starts a job in the background ignores it.
    """

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = {number: signal.signal(number, interrupt) for number in _STOPPING}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
