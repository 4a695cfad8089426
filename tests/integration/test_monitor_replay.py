"""The real judge, killed and read again: the same log gives the same figures, to the bit."""

import random
from contextlib import closing
from itertools import pairwise
from pathlib import Path

import msgspec
import pytest

from monitoring.settings import MonitorSettings
from monitoring.sidecar import Sidecar
from service.events.reader import LogReader
from tests.fakes.following import contents_of
from tests.fakes.world import STEP_S, write_world

NAMES = ("drifts", "turns", "heals", "borrows", "rolls")
HOURS = 29.0
LIVES = 5
COOLDOWN_S = 2 * 3600.0


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("log") / "events"
    write_world(folder, *NAMES, hours=HOURS)
    return folder


@pytest.fixture(scope="module")
def expected(events: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A state that read the log without a break."""
    state = state_of(events, tmp_path_factory.mktemp("expected"))
    with closing(Sidecar(settings_of(state))) as sidecar:
        sidecar.follower.catch_up()
    return state


def state_of(events: Path, folder: Path) -> Path:
    """Return a state directory with the log in it."""
    (folder / "events").symlink_to(events, target_is_directory=True)
    return folder


def settings_of(state: Path) -> MonitorSettings:
    return MonitorSettings(
        state=state,
        bucket_s=round(STEP_S),
        label_window_s=3 * 3600.0,
        webhook_cooldown_s=COOLDOWN_S,
        checkpoint_s=1e6,
    )


def reports_of(state: Path) -> list[bytes]:
    """Return all reports as JSON, without what tells of now."""
    with closing(Sidecar(settings_of(state), reading=True)) as sidecar:
        fleet = sidecar.reports.fleet()
        adapters = [sidecar.reports.adapter(one.tenant, one.adapter) for one in fleet.adapters]
        timeless = msgspec.structs.replace(
            fleet, made_s=0.0, log=msgspec.structs.replace(fleet.log, lag_s=0.0)
        )
        return [msgspec.json.encode(one) for one in (timeless, *adapters)]


def live(state: Path, kept: int, lost: int) -> None:
    """Fold some frames, write a checkpoint, fold some more, and die."""
    with closing(Sidecar(settings_of(state))) as sidecar:
        fold, cursor = sidecar.follower._fold, sidecar.state.cursor
        with LogReader(state / "events", "test", cursor=cursor) as reader:
            for number, batch in enumerate(reader.batches(), 1):
                fold.take(batch)
                if number == kept:
                    sidecar.state.checkpoint(reader.cursor())
                if number >= kept + lost:
                    return


def test_a_second_reading_gives_the_same_report(
    events: Path, expected: Path, tmp_path: Path
) -> None:
    again = state_of(events, tmp_path)
    with closing(Sidecar(settings_of(again))) as sidecar:
        sidecar.follower.catch_up()
    assert reports_of(again) == reports_of(expected)
    assert contents_of(again / "monitor") == contents_of(expected / "monitor")


def test_deaths_and_checkpoints_change_no_bit_of_it(
    events: Path, expected: Path, tmp_path: Path
) -> None:
    draw = random.Random(1)
    state = state_of(events, tmp_path)
    frames = 0
    for _ in range(LIVES):
        kept, lost = draw.randint(1, 60), draw.randint(0, 40)
        live(state, kept, lost)
        frames += kept
    with closing(Sidecar(settings_of(state))) as sidecar:
        before = sidecar.state.log.events
        sidecar.follower.catch_up()
        assert 0 < before < sidecar.state.log.events, "it died on its way"
    assert reports_of(state) == reports_of(expected)
    found, wanted = contents_of(state / "monitor"), contents_of(expected / "monitor")
    for table, rows in wanted.items():
        assert found[table] == rows, table


def test_triggers_are_raised_again_after_the_cooldown_alone(expected: Path) -> None:
    """They are rows of the tables that were compared above: each is there once."""
    raised: dict[tuple[str, str], list[int]] = {}
    for row in contents_of(expected / "monitor")["retrain_triggers"]:
        _, tenant, _, _, reason, raised_us, *_ = row
        raised.setdefault((tenant, reason), []).append(raised_us)
    assert {("drifts", "drift"), ("turns", "accuracy")} <= raised.keys()
    assert ("rolls", "accuracy") not in raised, "a shadow triggers nothing"
    apart = [
        (after - before) / 1e6
        for times in raised.values()
        for before, after in pairwise(sorted(times))
    ]
    assert apart
    assert min(apart) >= COOLDOWN_S
