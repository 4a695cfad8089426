import asyncio
import json
import logging
import sys
from collections.abc import Iterator
from typing import Literal

import pytest
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from service.api.logs import FIELDS, begin_logging


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    """Leave logging as it was."""
    changed = [logging.getLogger(name) for name in ("", "service", "uvicorn.error", "asyncio")]
    before = [(one, one.handlers[:], one.level, one.filters[:]) for one in changed]
    yield
    for one, handlers, level, filters in before:
        one.handlers[:] = handlers
        one.filters[:] = filters
        one.setLevel(level)


def test_a_line_is_one_json_object_with_its_members(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logging("info", "json")
    logging.getLogger("service.a").info("ready in %d", 3, extra={FIELDS: {"provider": "cpu"}})
    line = json.loads(capsys.readouterr().err)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "info",
        "logger": "service.a",
        "message": "ready in 3",
        "provider": "cpu",
    }


@pytest.mark.parametrize("form", ["json", "text"])
def test_an_error_is_told_by_its_frames_and_its_type_and_not_by_words_that_may_quote(
    capsys: pytest.CaptureFixture[str], form: Literal["json", "text"]
) -> None:
    begin_logging("debug", form)
    secret = "-".join(["a", "secret", "text"])  # which no line of this file shows
    try:
        try:
            int(secret)
        except ValueError as error:
            raise RuntimeError(secret) from error
    except RuntimeError:
        logging.getLogger("service.a").exception("failed")
    told = capsys.readouterr().err
    assert secret not in told
    assert "builtins.ValueError" in told
    assert "which led to:" in told
    assert "test_logs.py" in told


@pytest.mark.parametrize("error", [OSError(28, "No space left"), AssertionError("a bug of ours")])
def test_words_of_the_system_and_our_own_are_told(
    capsys: pytest.CaptureFixture[str], error: Exception
) -> None:
    begin_logging("info", "json")
    logging.getLogger("service.a").error("failed", exc_info=error)
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["error"].endswith(f"{type(error).__name__}: {error}")


def test_libraries_are_heard_from_a_warning_on_whatever_the_level(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begin_logging("debug", "json")
    logging.getLogger("PIL.TiffImagePlugin").debug("tag: GPSInfo - value: secret")
    logging.getLogger("httpx").info("HTTP Request: secret")
    logging.getLogger("service.a").debug("ours")
    logging.getLogger("grpc").warning("theirs")
    lines = [json.loads(line)["message"] for line in capsys.readouterr().err.splitlines()]
    assert lines == ["ours", "theirs"]


def test_asyncio_tells_what_happened_and_not_to_which_values(
    capsys: pytest.CaptureFixture[str],
) -> None:
    begin_logging("info", "json")
    loop = asyncio.new_event_loop()
    loop.call_exception_handler({"message": "it failed", "value": "a secret text"})
    loop.close()
    [line] = capsys.readouterr().err.splitlines()
    assert json.loads(line)["message"] == "it failed"


def test_people_get_text(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logging("info", "text")
    logging.getLogger("service.a").warning("draining", extra={FIELDS: {"requests": 2}})
    assert capsys.readouterr().err.rstrip().endswith("WARNING draining requests=2")


def test_a_terminal_gets_text_and_a_pipe_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_logging("info", "auto")
    logging.getLogger("service.a").info("one")
    assert capsys.readouterr().err.startswith("{")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    begin_logging("info", "auto")
    logging.getLogger("service.a").info("two")
    assert capsys.readouterr().err.rstrip().endswith("INFO    two")


def test_what_is_below_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logging("warning", "json")
    logging.getLogger("service.a").info("quiet")
    assert capsys.readouterr().err == ""


def test_a_broken_form_writes_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logging("info", "json")
    with pytest.raises(FormParserError):
        MultipartParser(b"x").write(b"no boundary")
    assert capsys.readouterr().err == ""
