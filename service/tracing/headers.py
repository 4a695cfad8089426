"""The file of headers that a collector wants, its key for one; what it holds is never repeated."""

import re
from pathlib import Path

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]{1,128}")
_VALUE = re.compile(r"[!-~](?:[ -~]*[!-~])?")
_BYTES_MAX = 65_536


class InvalidHeaders(ValueError):
    """The file cannot be read as headers; the text says where, and not what stands there."""


def read_headers(path: Path) -> dict[str, str]:
    """Return the headers of a file, `name: value` a line; empty lines and `#` lines are left out.

    Raises `InvalidHeaders`.
    """
    try:
        with path.open("rb") as file:
            raw = file.read(_BYTES_MAX + 1)
        text = raw.decode("ascii")
    except OSError as error:
        raise InvalidHeaders(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InvalidHeaders(f"{path} must be ASCII") from None
    if len(raw) > _BYTES_MAX:
        raise InvalidHeaders(f"{path} is larger than {_BYTES_MAX} bytes")
    headers: dict[str, str] = {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        name, colon, value = line.partition(":")
        name, value = name.strip().lower(), value.strip()
        if not colon or not _NAME.fullmatch(name) or not _VALUE.fullmatch(value):
            raise InvalidHeaders(f"{path}, line {number}: it must be `name: value`")
        headers[name] = value
    return headers
