"""A small file system in a folder's place, in a name space of its own, and how it is filled."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from examples.gameday.errors import GameDayFailed

_PIECES = (1 << 20, 4096, 1)


@dataclass(frozen=True, slots=True)
class SmallDisk:
    """One, as processes in the name space and we see it."""

    folder: Path
    seen: Path
    inside: list[str]  # runs a command in the name space

    def fill(self) -> None:
        """Take all the room that is left."""
        with (self.seen / "ballast").open("wb", buffering=0) as file:
            for size in _PIECES:
                with suppress(OSError):
                    while True:
                        file.write(bytes(size))


@contextmanager
def small_disk(folder: Path, megabytes: int) -> Iterator[SmallDisk]:
    """Give a disk in a folder's place, for the block.

    Raises `GameDayFailed` where this machine allows nobody a name space of his own.
    """
    folder.mkdir(parents=True)
    mount = f'mount -t tmpfs -o size={megabytes}m none "$0" && echo mounted && exec sleep 3600'
    said = b""
    for user, user_too in (
        (["--user", "--map-root-user"], ["--user", "--preserve-credentials"]),
        ([], []),  # which takes root
    ):
        space = ["unshare", *user, "--mount", "sh", "-c", mount, str(folder)]
        try:
            holder = subprocess.Popen(space, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except FileNotFoundError as error:
            raise GameDayFailed("the program unshare is not installed") from error
        with holder:
            try:
                assert holder.stdout is not None
                if holder.stdout.readline() == b"mounted\n":
                    seen = Path(f"/proc/{holder.pid}/root{folder}")
                    target = ["nsenter", "--target", str(holder.pid), *user_too, "--mount"]
                    yield SmallDisk(folder, seen, target)
                    return
                said = holder.communicate()[1]
            finally:
                holder.kill()
    raise GameDayFailed(f"no name space of one's own here: {said.decode(errors='replace').strip()}")
