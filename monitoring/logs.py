"""Log lines: JSON where no person looks on, text on a terminal; never a text and never a key."""

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from types import TracebackType

_OWN = ("monitoring", "service")  # the loggers of our own code are below them
# Errors whose words are ours or the system's; of any other the type and the frames are logged.
_SAFE = (AssertionError, ImportError, MemoryError, OSError)

_Raised = tuple[type[BaseException], BaseException, TracebackType | None]


class _JsonLines(logging.Formatter):
    """One JSON object a line, with the members that the service's lines have."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line)

    def formatException(  # noqa: N802 - logging's name
        self, ei: "_Raised | tuple[None, None, None]"
    ) -> str:
        """Return the frames and the type of an error, and its words where they quote nothing."""
        kind, error, trace = ei
        if kind is None:
            return ""
        words = f": {error}" if isinstance(error, _SAFE) else ""
        return "".join(traceback.format_tb(trace)) + kind.__qualname__ + words


def begin_logging(level: str) -> None:
    """Send the log to standard error; of libraries only warnings and worse, whatever the level."""
    handler = logging.StreamHandler(sys.stderr)
    if sys.stderr.isatty():
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    else:
        handler.setFormatter(_JsonLines())
    own = logging.getLevelNamesMapping()[level.upper()]
    logging.basicConfig(level=max(own, logging.WARNING), handlers=[handler], force=True)
    for name in _OWN:
        logging.getLogger(name).setLevel(own)
