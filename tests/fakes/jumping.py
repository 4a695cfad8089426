"""`tenantry` with a wall clock that jumps: by as many seconds as a file says, at any moment.

    python -m tests.fakes.jumping FILE serve ...

The monotonic clock goes on as ever, as it does where a machine's time is set.
"""

import sys
import time
from datetime import datetime, tzinfo
from pathlib import Path

_file = Path(sys.argv.pop(1))
_now = time.time


def _jumped() -> float:
    return _now() + float(_file.read_text())


class _Jumping(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> "_Jumping":
        return cls.fromtimestamp(_jumped(), tz)


def main() -> None:
    time.time = _jumped  # before anything else takes it from its module
    from service import usage
    from service.api import usage as usage_route
    from service.command import main as command
    from service.registry import opened

    # In these modules alone: libraries look closely at what a datetime is.
    for module in (usage, usage_route, opened):
        assert module.datetime is datetime
        module.datetime = _Jumping  # type: ignore[attr-defined]
    command()


if __name__ == "__main__":
    main()
