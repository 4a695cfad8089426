"""The operator's keys: one of the settings, and those of a file, which may change while it serves.

The file has one key a line; empty lines and lines that begin with `#` say nothing. All keys are
valid at once, so that one can be replaced without a moment in which neither opens: add the new
one, give it to everybody, take the old one out.
"""

import hashlib
import hmac
import logging
import time
from collections.abc import Callable
from pathlib import Path

CHECK_S = 1.0
_FILE_BYTES_MAX = 1 << 16
_READABLE_BY_OTHERS = 0o007

logger = logging.getLogger(__name__)


class UnusableAdminKeys(ValueError):
    """The file holds no keys that could be used; the text says why, and never what it holds."""


class AdminKeys:
    """Knows the operator's keys by their digests, and reads the file again, once a second at most.

    A file that cannot be read, or that holds no key, changes nothing while the process runs: the
    keys before it stay valid, and an error is logged. At the start it is an error: raises
    `UnusableAdminKeys`.
    """

    def __init__(
        self, key: str | None, path: Path | None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._own = () if key is None else (_digest(key.encode("ascii")),)
        self._path = path
        self._clock = clock
        self._digests: tuple[bytes, ...] = self._own
        self._content = b""  # of the file, as a digest
        self._failure = ""  # why the file could not be read the last time; it is told once
        self._check_at_s = clock() + CHECK_S
        if path is not None:
            try:
                self._read(path)
            except UnusableAdminKeys as error:
                raise UnusableAdminKeys(f"the file of admin keys {path} {error}") from None
            _warn_of_mode(path)

    def hold(self, key: bytes) -> bool:
        """Say whether a key is one of the operator's; how long that takes tells nothing of them.

        Digests of one length are compared, all of them whatever the first ones say.
        """
        self._refresh()
        given = _digest(key)
        found = False
        for digest in self._digests:
            found |= hmac.compare_digest(given, digest)
        return found

    def _refresh(self) -> None:
        now = self._clock()
        if self._path is None or now < self._check_at_s:
            return
        self._check_at_s = now + CHECK_S
        try:
            self._read(self._path)
        except UnusableAdminKeys as error:
            if str(error) != self._failure:
                logger.error(  # noqa: TRY400 - where it was raised says nothing to an operator
                    "the file of admin keys %s %s; the keys before it stay valid", self._path, error
                )
            self._failure = str(error)
        else:
            self._failure = ""

    def _read(self, path: Path) -> None:
        # Read whole every time: a few KiB, and no time stamp whose grain could hide a change.
        try:
            with path.open("rb") as file:
                data = file.read(_FILE_BYTES_MAX + 1)
        except OSError as error:
            raise UnusableAdminKeys(f"cannot be read: {error.strerror}") from None
        content = _digest(data)
        if content == self._content:
            return
        keys = _keys_of(data)
        self._digests = (*self._own, *map(_digest, keys))
        self._content = content
        logger.info("%d admin keys from %s", len(keys), path)


def _keys_of(data: bytes) -> list[bytes]:
    if len(data) > _FILE_BYTES_MAX:
        raise UnusableAdminKeys(f"is larger than {_FILE_BYTES_MAX:,} bytes")
    keys: list[bytes] = []
    for number, line in enumerate(data.splitlines(), start=1):
        text = line.strip()
        if not text or text.startswith(b"#"):
            continue
        if not all(33 <= byte <= 126 for byte in text):
            raise UnusableAdminKeys(
                f"has a line {number} that is no key: printable ASCII without spaces is"
            )
        keys.append(text)
    if not keys:
        raise UnusableAdminKeys("holds no key")
    return keys


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _warn_of_mode(path: Path) -> None:
    try:
        readable = path.stat().st_mode & _READABLE_BY_OTHERS
    except OSError:
        return  # it was just read; whoever took it away will be told by the next check
    if readable:
        logger.warning("%s can be read by everyone on this machine: chmod o-rwx %s", path, path)
