"""The sidecar under `kill -9`: killed at any moment and started again, its figures are the same."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from monitoring.ingest.follower import READER
from monitoring.state.limits import Limits
from monitoring.state.state import MonitorState
from service.events.cursor import load_cursor
from tests.fakes.busy_log import write_busy_log
from tests.fakes.following import contents_of, follow
from tests.fakes.judging import FakeJudge

ROOT = Path(__file__).resolve().parents[2]
KILLS = 16
ROUNDS = 60
WAIT_S = 60.0


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("busy")
    write_busy_log(folder / "events", rounds=ROUNDS)
    follow(folder / "events", folder / "expected")
    return folder


def start(busy: Path, folder: Path, frames: int) -> "subprocess.Popen[str]":
    module = ("-m", "tests.fakes.following", str(busy / "events"), str(folder), str(frames))
    return subprocess.Popen([sys.executable, *module], cwd=ROOT, stdout=subprocess.PIPE, text=True)


def events_read(folder: Path) -> int:
    state = MonitorState.look(folder, Limits(), FakeJudge())
    state.close()
    return state.log.events


@pytest.mark.parametrize("frames", [1, 7])
def test_after_kills_at_random_moments_the_figures_are_the_same(
    busy: Path, tmp_path: Path, frames: int
) -> None:
    draw = random.Random(20250331 + frames)
    folder = tmp_path / "state"
    read = []
    for _ in range(KILLS):
        with start(busy, folder, frames) as process:
            assert process.stdout is not None
            for _ in range(draw.randint(1, 18)):
                assert process.stdout.readline() == "frame\n"
            time.sleep(draw.uniform(0.0, 0.01))
            process.kill()
            assert process.wait(WAIT_S) == -signal.SIGKILL
        read.append(events_read(folder))
    assert read == sorted(read), "a place in the log never goes back"
    assert len(set(read)) > KILLS // 2, "it was killed on its way, not before or behind it"
    with start(busy, folder, frames) as process:
        assert process.stdout is not None
        assert process.stdout.readlines()[-1] == "done\n"
    found, expected = contents_of(folder), contents_of(busy / "expected")
    for table, rows in expected.items():
        assert found[table] == rows, table
    state = MonitorState.look(folder, Limits(), FakeJudge())
    assert load_cursor(busy / "events", READER) == state.cursor
    state.close()
