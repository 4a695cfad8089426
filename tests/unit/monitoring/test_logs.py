import json
import logging
import sys
from collections.abc import Iterator

import pytest

from monitoring.logs import begin_logging


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """Leave logging as it was."""
    changed = [logging.getLogger(name) for name in ("", "service", "monitoring")]
    before = [(one, one.handlers[:], one.level) for one in changed]
    yield
    for one, handlers, level in before:
        one.handlers[:] = handlers
        one.setLevel(level)


def test_a_line_is_one_json_object(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logging("info")
    logging.getLogger("monitoring.process").info("read %d MB", 3)
    logging.getLogger("service.events.segments").warning("damaged")
    logging.getLogger("monitoring.process").debug("quiet")
    first, second = map(json.loads, capsys.readouterr().err.splitlines())
    assert first.pop("time").endswith("+00:00")
    assert first == {"level": "info", "logger": "monitoring.process", "message": "read 3 MB"}
    assert second["level"] == "warning"


def test_an_error_is_told_without_words_that_may_quote(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begin_logging("debug")
    secret = "-".join(["a", "secret", "text"])  # which no line of this file shows
    for error in (ValueError(secret), OSError(28, "No space left")):
        try:
            raise error
        except (ValueError, OSError):
            logging.getLogger("monitoring.process").exception("failed")
    told = capsys.readouterr().err
    quoting, plain = (json.loads(line)["error"] for line in told.splitlines())
    assert secret not in told
    assert quoting.endswith("ValueError")
    assert "test_logs.py" in quoting
    assert plain.endswith("OSError: [Errno 28] No space left")


def test_libraries_are_heard_from_a_warning_on(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logging("debug")
    logging.getLogger("httpx").info("HTTP Request: POST http://receiver/?key=secret")
    logging.getLogger("monitoring.sidecar").debug("ours")
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "ours"


def test_people_get_text(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    begin_logging("info")
    logging.getLogger("monitoring.process").info("stopped")
    assert capsys.readouterr().err.endswith(" INFO stopped\n")
