"""A person's own texts as a workload: JSON Lines, each with a `text`."""

from itertools import islice
from pathlib import Path

import orjson

from service.engine.bundle import Bundle
from service.engine.errors import UnreadableTexts
from service.engine.tokens import Tokeniser
from service.engine.tuning.workload import Workload, workload_of


def own_workload(bundle: Bundle, file: Path, count: int) -> Workload:
    """Return the file's first `count` texts, in their order; raise `UnreadableTexts`."""
    if bundle.manifest.image is not None:
        raise UnreadableTexts(
            f"{file}: the bundle takes images, which are all of one size: measure it without --data"
        )
    try:
        with file.open("rb") as lines:
            texts = [_text(line, file, n) for n, line in enumerate(islice(lines, count), 1)]
    except OSError as error:
        raise UnreadableTexts(f"{file}: {error.strerror}") from error
    if not texts:
        raise UnreadableTexts(f"{file}: it holds no texts")
    tokens = Tokeniser(bundle).encode(texts)
    mean = sum(map(len, tokens)) / len(tokens)
    return workload_of(bundle, tokens, f"{len(tokens)} texts of {file.name}, {mean:.0f} on average")


def _text(line: bytes, file: Path, number: int) -> str:
    try:
        document = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise UnreadableTexts(f"{file}: line {number} is not JSON: {error}") from error
    text = document.get("text") if isinstance(document, dict) else None
    if not isinstance(text, str) or not text:
        raise UnreadableTexts(f'{file}: line {number} is not an object with a "text"')
    return text
