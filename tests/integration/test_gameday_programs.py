"""Programs that run beside each other: frozen, thawed, ended."""

import sys
from pathlib import Path

from examples.gameday.programs import Program, running, until
from examples.gameday.throttling import throttled

# Counts in a file, and ends at SIGTERM with 3.
_COUNTS = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: sys.exit(3))
count = 0
while True:
    count += 1
    pathlib.Path(sys.argv[1]).write_text(str(count))
    time.sleep(0.001)
"""


def counting(folder: Path) -> list[str]:
    return [sys.executable, "-c", _COUNTS, str(folder / "count")]


def state_of(program: Program) -> str:
    status = Path(f"/proc/{program.process.pid}/stat").read_text()
    return status.rpartition(") ")[2][0]


def test_a_frozen_program_still_ends_when_it_is_asked_to(tmp_path: Path) -> None:
    with running("a counter", "", counting(tmp_path), tmp_path / "log") as program:
        until((tmp_path / "count").is_file, "it counted", 30.0)
        program.freeze()
        until(lambda: state_of(program) == "T", "it stood still", 30.0)
        assert program.stop() == 3


def test_a_throttled_program_is_stopped_now_and_then_and_goes_on_after_it(tmp_path: Path) -> None:
    with running("a counter", "", counting(tmp_path), tmp_path / "log") as program:
        until((tmp_path / "count").is_file, "it counted", 30.0)
        with throttled(program, 0.2):
            until(lambda: state_of(program) == "T", "it was stopped", 30.0)
            until(lambda: state_of(program) != "T", "it went on", 30.0)
        until(lambda: state_of(program) != "T", "it goes on for good", 30.0)
        assert program.stop() == 3
