"""Exports in processes that can be killed, without importing torch for each of them.

`python -m tests.fakes.exporting` reads lines `MODEL<tab>OUT`, and for each forks a process that
exports. It prints `pid N`, then a line `STAGE DONE OF` at each step, and at the end `done`,
`failed`, or nothing where the process was killed; then `over`.
"""

import os
import signal
import sys
from pathlib import Path

from exporter.export import ALL_LINEAR, Request, export_bundle


def say(*words: object) -> None:
    print(*words, flush=True)  # noqa: T201


def export(model: str, out: str) -> None:
    signal.signal(signal.SIGINT, signal.default_int_handler)
    say("pid", os.getpid())
    try:
        export_bundle(Request(model, Path(out), targets=(ALL_LINEAR,)), say)
    except BaseException as error:  # noqa: BLE001 - an interrupt, too, is told
        say("failed", type(error).__name__)
    else:
        say("done")


def main() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    say("ready")
    for line in sys.stdin:
        model, out = line.rstrip("\n").split("\t")
        child = os.fork()
        if not child:
            export(model, out)
            os._exit(0)
        os.waitpid(child, 0)
        say("over")


if __name__ == "__main__":
    main()
