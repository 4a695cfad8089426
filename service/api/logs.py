"""Log lines: JSON for machines, text for people, never a text to classify and never a key."""

import logging
import sys
from datetime import UTC, datetime
from typing import Literal

import orjson

FIELDS = "fields"  # `extra={FIELDS: {...}}` adds members to a line


class _JsonLines(logging.Formatter):
    """One JSON object a line."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        } | getattr(record, FIELDS, {})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return orjson.dumps(line, default=str).decode("utf-8")


class _TextLines(logging.Formatter):
    """One line for a person: time, level, message, then the members."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        members = getattr(record, FIELDS, {})
        return " ".join(
            [super().formatMessage(record), *(f"{name}={value}" for name, value in members.items())]
        )


def begin_logging(level: str, form: Literal["auto", "json", "text"]) -> None:
    """Send the process's log to standard error, and silence what would repeat it."""
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_TextLines() if text else _JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # Their own lines tell of single connections and uploads: anyone can make them write such.
    for name in ("uvicorn.error", "python_multipart"):
        logging.getLogger(name).setLevel(logging.ERROR)
