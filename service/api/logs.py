"""Log lines: JSON for machines, text for people, never a text to classify and never a key."""

import logging
import sys
import traceback
from collections.abc import Iterator
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal

import orjson

from service.engine.errors import TenantryError
from service.errors import AdapterUnreadable, EngineFailed, StoreFull

FIELDS = "fields"  # `extra={FIELDS: {...}}` adds members to a line

_OWN = "service"  # the loggers of our own code are below it
# Errors whose words are ours or the system's. Any other may quote what it could not deal with: a
# text, a header, a row of the registry; of those the type and the frames are logged.
_SAFE = (AssertionError, ImportError, MemoryError, OSError)
_SAFE_MODULES = ("onnxruntime.",)  # which speak of tensors and shapes
_SAFE_OF_OURS: tuple[type[TenantryError], ...] = (AdapterUnreadable, EngineFailed, StoreFull)

_Raised = tuple[type[BaseException], BaseException, TracebackType | None]


class _Lines(logging.Formatter):
    """What both forms have in common: how they tell of errors."""

    def formatException(  # noqa: N802 - logging's name
        self, ei: "_Raised | tuple[None, None, None]"
    ) -> str:
        """Return frames and types of an error and of those behind it, and safe words alone."""
        return "" if ei[1] is None else "\n".join(_told(ei[1]))

    def formatStack(self, stack_info: str) -> str:  # noqa: N802 - logging's name
        """Return the frames as they are."""
        return stack_info


class _JsonLines(_Lines):
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


class _TextLines(_Lines):
    """One line for a person: time, level, message, then the members."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - logging's name
        members = getattr(record, FIELDS, {})
        return " ".join(
            [super().formatMessage(record), *(f"{name}={value}" for name, value in members.items())]
        )


def begin_logging(level: str, form: Literal["auto", "json", "text"]) -> None:
    """Send the process's log to standard error, and silence what would repeat it or quote from it.

    The level is for our own lines. Of libraries, whose lines may hold headers, file contents and
    the like, only warnings and worse are logged, whatever the level.
    """
    text = form == "text" or (form == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_TextLines() if text else _JsonLines())
    own = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(own, logging.WARNING), handlers=[handler], force=True)
    logging.getLogger(_OWN).setLevel(own)
    # Its own lines tell of single connections and uploads: anyone can make it write such.
    logging.getLogger("python_multipart").setLevel(logging.ERROR)
    # It would tell a second time of a request that failed, after the line that we have for it.
    logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
    logging.getLogger("asyncio").addFilter(_first_line)


def _first_line(record: logging.LogRecord) -> bool:
    """Leave out what asyncio says of the objects that an error met: their values are in it."""
    record.msg, record.args = record.getMessage().partition("\n")[0], ()
    return True


def safe_words(error: BaseException) -> str | None:
    """Return what an error says, where its words are ours or the system's; else None."""
    # What one that does not fit is said to lack may quote its labels.
    quotes = isinstance(error.__cause__, TenantryError)
    safe = isinstance(error, _SAFE) or (isinstance(error, _SAFE_OF_OURS) and not quotes)
    return str(error) if safe or type(error).__module__.startswith(_SAFE_MODULES) else None


def _told(error: BaseException) -> Iterator[str]:
    behind = error.__cause__
    if behind is None and not error.__suppress_context__:
        behind = error.__context__
    if behind is not None:
        yield from _told(behind)
        yield "which led to:"
    yield "".join(traceback.format_tb(error.__traceback__)).rstrip("\n")
    kind = type(error)
    words = safe_words(error)
    yield (
        f"{kind.__module__}.{kind.__qualname__}"
        if words is None
        else (f"{kind.__qualname__}: {words}")
    )
