"""A process that writes events until it is killed, and says what it was promised.

python -m tests.fakes.event_writer FOLDER FIRST [SEGMENT_BYTES]

Each line is `durable N` for the label of that number, once it is on the disk, or `flushed N` once
all predictions below N are.
"""

import sys
from dataclasses import replace
from itertools import count
from pathlib import Path

from tests.fakes.events import QUIET, block_of, label_of, open_log


def say(what: str, number: int) -> None:
    sys.stdout.write(f"{what} {number}\n")
    sys.stdout.flush()


def main(folder: Path, first: int, segment_bytes: int) -> None:
    limits = replace(QUIET, flush_s=0.01, segment_bytes=segment_bytes, janitor_s=0.02)
    with open_log(folder, limits) as log:
        for number in count(first):
            log.predictions(block_of("acme", 2, first=2 * number, texts=["x" * 50] * 2))
            if number % 5 == 0:
                log.append([label_of(number)]).result(20.0)
                say("durable", number)
            if number % 7 == 0 and log.flush(20.0):
                say("flushed", 2 * number + 2)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) if sys.argv[3:] else 20_000)
