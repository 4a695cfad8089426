import json
import logging
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from monitoring.backends import licence
from monitoring.errors import InvalidMonitorSettings, MonitorError, StateInUse
from monitoring.settings import MonitorSettings
from monitoring.sidecar import Sidecar
from tests.fakes.patience import until

RECEIVER = {"webhook_url": "http://127.0.0.1:9/", "webhook_secret": "s" * 32}


def settings_of(state: Path, **given: Any) -> MonitorSettings:
    return MonitorSettings(state=state, **given)


def test_two_do_not_write_one_state_but_one_more_may_look(tmp_path: Path) -> None:
    settings = settings_of(tmp_path)
    with closing(Sidecar(settings)) as first:
        first.follower.catch_up()
        with pytest.raises(StateInUse):
            Sidecar(settings)
        with closing(Sidecar(settings, reading=True)) as second:
            assert second.reports.fleet().adapters == ()
    with closing(Sidecar(settings)):
        pass


def test_it_says_that_there_is_no_log_until_there_is_one(tmp_path: Path) -> None:
    with closing(Sidecar(settings_of(tmp_path))) as sidecar:
        assert sidecar.problems() == (
            f"there is no event log in {tmp_path / 'events'} yet; the service makes it",
        )
        (tmp_path / "events").mkdir()
        assert sidecar.problems() == ()


def test_a_log_that_nobody_follows_is_not_ready_and_an_error(tmp_path: Path) -> None:
    with closing(Sidecar(settings_of(tmp_path))) as sidecar:
        assert sidecar.unready() == "the log is not followed"
        with pytest.raises(MonitorError, match="no longer followed: there is no event log"):
            sidecar.check()
        sidecar.start()
        assert sidecar.unready() is None
        sidecar.check()


def test_it_is_known_when_the_log_was_last_looked_at(tmp_path: Path) -> None:
    with closing(Sidecar(settings_of(tmp_path, poll_s=0.01))) as sidecar:
        before = sidecar.measurements.measured().looked_s
        sidecar.start()
        until(lambda: sidecar.measurements.measured().looked_s > before)
        sidecar.follower.stop()
        last = sidecar.measurements.measured().looked_s
        assert sidecar.measurements.measured().looked_s == last, "nobody looks any more"


@pytest.mark.parametrize(
    ("given", "fate", "sends"),
    [
        ({}, "no-receiver", False),
        (RECEIVER, "waiting", True),
        (RECEIVER | {"webhook_dry_run": True}, "dry-run", False),
    ],
)
def test_what_becomes_of_triggers_follows_from_the_settings(
    tmp_path: Path, given: dict[str, Any], fate: str, *, sends: bool
) -> None:
    settings = settings_of(tmp_path, **given)
    with closing(Sidecar(settings)) as sidecar:
        assert sidecar.state._maker._fate == fate  # type: ignore[attr-defined]
        assert (sidecar._delivery is not None) == sends
        sidecar.start()


def test_who_only_looks_sends_nothing(tmp_path: Path) -> None:
    with closing(Sidecar(settings_of(tmp_path))) as sidecar:
        sidecar.follower.catch_up()
    with closing(Sidecar(settings_of(tmp_path, **RECEIVER), reading=True)) as looking:
        assert looking._delivery is None


@pytest.mark.parametrize(
    "given",
    [
        RECEIVER | {"webhook_url": "ftp://example.org"},
        RECEIVER | {"webhook_secret": "short"},
        {"backends": Path("nowhere.json")},
    ],
)
def test_settings_that_cannot_be_used_make_nothing(tmp_path: Path, given: dict[str, Any]) -> None:
    with pytest.raises(InvalidMonitorSettings):
        Sidecar(settings_of(tmp_path / "state", **given))
    assert not (tmp_path / "state").exists()


def test_the_terms_of_alibi_detect_are_told_where_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "backends.json"
    selected = [{"tenant": "acme", "adapter": "*", "detector": "KSDrift", "window": 40}]
    file.write_text(json.dumps(selected), encoding="utf-8")
    monkeypatch.setattr(licence, "version", lambda _: "0.13.0")
    with (
        caplog.at_level(logging.WARNING),
        closing(Sidecar(settings_of(tmp_path / "state", backends=file))) as sidecar,
    ):
        assert "Business Source License" in caplog.text
        assert sidecar.backends.rows_needed("acme", "support") == 40
    caplog.clear()
    file.write_text("[]", encoding="utf-8")
    with closing(Sidecar(settings_of(tmp_path / "state", backends=file))):
        assert caplog.text == "", "where it is not, nothing"
