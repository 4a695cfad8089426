"""Buckets that the clock closes, because the log has nothing more to say."""

from pathlib import Path

from monitoring.state.limits import Limits
from tests.fakes.following import contents_of, follow
from tests.fakes.judging import FakeJudge
from tests.fakes.logs import DAY_S, embeddings_of, probabilities_of, written_log

LIMITS = Limits()
BUCKET_S = LIMITS.bucket_s


def say(events: Path, time_s: float, rows: int = 20) -> None:
    """Write rows of one bucket, with a reference before the first."""
    with written_log(events, seed=round(time_s)) as log:
        if time_s == DAY_S:
            log.reference(embeddings_of(60), probabilities_of(60), time_s=time_s)
        ids = log.predictions(embeddings_of(rows), probabilities_of(rows), time_s=time_s)
        log.label(ids[0], 1, time_s=time_s + 1)


def closed(judge: FakeJudge) -> list[float]:
    """Return the ends of the buckets that the judge was told of, seconds after `DAY_S`."""
    return [told[2] / 1e6 - DAY_S for told in judge.told if told[0] == "closed"]


def test_the_last_bucket_of_a_log_closes_when_its_time_is_over(tmp_path: Path) -> None:
    say(tmp_path / "events", DAY_S)
    judge = FakeJudge()
    follow(tmp_path / "events", tmp_path / "monitor", limits=LIMITS, judge=judge)
    assert closed(judge) == [BUCKET_S]


def test_a_bucket_closes_once(tmp_path: Path) -> None:
    say(tmp_path / "events", DAY_S)
    judge = FakeJudge()
    for _ in range(2):
        follow(tmp_path / "events", tmp_path / "monitor", limits=LIMITS, judge=judge)
    assert closed(judge) == [BUCKET_S]


def test_whoever_reads_all_at_once_judges_as_whoever_kept_up(tmp_path: Path) -> None:
    events = tmp_path / "events"
    for number in range(4):
        say(events, DAY_S + number * 2.5 * BUCKET_S)
        follow(events, tmp_path / "kept-up", limits=LIMITS)
    follow(events, tmp_path / "at-once", limits=LIMITS)
    assert contents_of(tmp_path / "kept-up") == contents_of(tmp_path / "at-once")
