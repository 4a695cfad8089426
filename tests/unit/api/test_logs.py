import json
import logging
import sys
from collections.abc import Iterator

import pytest
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser

from service.api.logs import FIELDS, begin_logging


@pytest.fixture(autouse=True)
def root() -> Iterator[None]:
    """Leave logging as it was."""
    logger, quiet = logging.getLogger(), logging.getLogger("uvicorn.error")
    before = logger.handlers[:], logger.level, quiet.level
    yield
    logger.handlers[:], level, quiet_level = before
    logger.setLevel(level)
    quiet.setLevel(quiet_level)


def test_a_line_is_one_json_object_with_its_members(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logging("info", "json")
    logging.getLogger("a.b").info("ready in %d", 3, extra={FIELDS: {"provider": "cpu"}})
    line = json.loads(capsys.readouterr().err)
    assert line.pop("time").endswith("+00:00")
    assert line == {"level": "info", "logger": "a.b", "message": "ready in 3", "provider": "cpu"}


def test_an_error_is_in_its_line(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logging("info", "json")
    try:
        int("x")
    except ValueError:
        logging.getLogger("a").exception("failed")
    [line] = capsys.readouterr().err.splitlines()
    assert "ValueError: invalid literal" in json.loads(line)["error"]


def test_people_get_text(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logging("info", "text")
    logging.getLogger("a").warning("draining", extra={FIELDS: {"requests": 2}})
    assert capsys.readouterr().err.rstrip().endswith("WARNING draining requests=2")


def test_a_terminal_gets_text_and_a_pipe_json(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    begin_logging("info", "auto")
    logging.getLogger("a").info("one")
    assert capsys.readouterr().err.startswith("{")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    begin_logging("info", "auto")
    logging.getLogger("a").info("two")
    assert capsys.readouterr().err.rstrip().endswith("INFO    two")


def test_what_is_below_the_level_is_not_logged(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logging("warning", "json")
    logging.getLogger("a").info("quiet")
    assert capsys.readouterr().err == ""


def test_a_broken_form_writes_no_lines(capsys: pytest.CaptureFixture[str]) -> None:
    begin_logging("info", "json")
    with pytest.raises(FormParserError):
        MultipartParser(b"x").write(b"no boundary")
    assert capsys.readouterr().err == ""
