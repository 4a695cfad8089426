"""The event log under `kill -9`, and on a disk that is really full."""

import random
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from service.events.cursor import load_cursor
from service.events.folder import is_alive, segments, writers
from service.events.reader import LogReader
from service.events.retention import recover
from tests.fakes.events import ids_of, read_all, rows_of

ROOT = Path(__file__).resolve().parents[2]
KILLS = 10
MANY = 1_000_000  # numbers that one writer may use


@contextmanager
def writer(folder: Path, first: int) -> Iterator["subprocess.Popen[str]"]:
    with subprocess.Popen(
        [sys.executable, "-m", "tests.fakes.event_writer", str(folder), str(first)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            yield process
        finally:
            process.kill()


def promised(lines: list[str], first: int) -> set[str]:
    """Return the ids that must be in the log, of what a writer printed before it was killed."""
    ids: set[str] = set()
    for line in lines:
        if not line.endswith("\n"):
            continue  # the kill came while it was printed
        what, number = line.split()
        if what == "durable":
            ids.add(f"label-{number}")
        else:
            ids |= {f"acme-{row}" for row in range(2 * first, int(number))}
    return ids


def test_whatever_was_promised_is_there_after_a_kill_at_any_moment(tmp_path: Path) -> None:
    draw = random.Random(20250331)
    expected: set[str] = set()
    seen: list[str] = []
    for kill in range(KILLS):
        with writer(tmp_path, kill * MANY) as process:
            assert process.stdout is not None
            lines = [process.stdout.readline()]
            time.sleep(draw.uniform(0.0, 0.3))
            # A reader with a durable cursor goes along, in bits of random size.
            with LogReader(tmp_path, "sidecar") as reader:
                for batch in reader.batches():
                    seen += ids_of([batch])
                    reader.commit()
                    if draw.random() < 0.02:
                        break
            process.kill()
            lines += process.stdout.read().splitlines(keepends=True)
        expected |= promised(lines, kill * MANY)
    assert not any(is_alive(tmp_path, name) for name in writers(tmp_path))
    batches = read_all(tmp_path)
    found = ids_of(batches)
    assert len(found) == len(set(found)), "nothing twice"
    assert expected <= set(found)
    for name in writers(tmp_path):
        own = [batch for batch in batches if batch.writer == name]
        numbers = [row["sequence"] for row in rows_of(own)]
        assert numbers == list(range(len(numbers))), "nothing torn, nothing missing"
    with LogReader(tmp_path, "sidecar") as reader:
        seen += ids_of(list(reader.batches()))
        assert (reader.damaged, reader.missing) == (0, 0)
    assert seen == found, "once each, in the log's order, whenever it was read"
    recover(tmp_path)
    assert all(file.sealed for name in writers(tmp_path) for file in segments(tmp_path, name))
    assert ids_of(read_all(tmp_path)) == found
    assert load_cursor(tmp_path, "nobody").places == {}


# It runs in a name space of its own, where it may mount a small file system.
_FULL = """
import os, sys
from dataclasses import replace
from pathlib import Path
from service.events.ports import LogUnwritable
from tests.fakes.events import QUIET, CountedLogMetrics
from tests.fakes.events import block_of, ids_of, label_of, open_log, read_all
folder = Path(sys.argv[1]); metrics = CountedLogMetrics(); kept = []
with open_log(folder / "events", replace(QUIET, segment_bytes=60_000), metrics=metrics) as log:
    def label(number):
        try:
            log.append([label_of(number)]).result(20.0)
        except LogUnwritable:
            return False
        kept.append(f"label-{number}")
        return True
    assert label(0)
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file:
        try:
            while True:
                file.write(bytes(4096))
        except OSError:
            pass
    number = 1
    while label(number):
        number += 1
    log.predictions(block_of(count=40, texts=[os.urandom(2000).hex()] * 40))
    assert not log.flush(20.0)
    assert metrics.dropped == {"disk": 40}, metrics.dropped
    assert metrics.states == [False, True], metrics.states
    assert not label(1000)
    ballast.unlink()
    for number in range(2000, 2100):
        assert label(number)
    assert not metrics.states[-1]
assert ids_of(read_all(folder / "events")) == kept
print("recovered", len(kept))
"""


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    script = 'mount -t tmpfs -o size=720k none "$1" && exec "$2" -c "$3" "$1"'
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", script, "sh"]
    if shutil.which("unshare") is None:
        pytest.skip("no unshare here")
    probe = subprocess.run([*command[:4], "true"], capture_output=True, check=False)
    if probe.returncode:
        pytest.skip("no name space of one's own here")
    done = subprocess.run(
        [*command, str(tmp_path), sys.executable, _FULL],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("recovered 1")
