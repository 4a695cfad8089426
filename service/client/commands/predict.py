"""Ask an adapter for labels."""

import json as json_module
import sys
from collections.abc import Iterable, Iterator
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import IO, Annotated

import typer

from service.client.calls import Input, Scores, split_model
from service.client.client import TIMEOUT_S
from service.client.commands.options import (
    URL,
    Json,
    Key,
    KeyFile,
    Model,
    Timeout,
    Url,
    connected,
)
from service.client.commands.screen import Screen
from service.client.documents import Predicted
from service.client.errors import InvalidCall
from service.client.images import Image

_BATCH = 100  # inputs a request
_LINE_SHOWN = 60
_LABELS_SHOWN = 3


def predict(
    model: Model,
    texts: Annotated[list[str] | None, typer.Argument(metavar="TEXT...", help="Texts.")] = None,
    file: Annotated[
        Path | None,
        typer.Option(help="One text a line, or with .jsonl an object with text and pair; - reads."),
    ] = None,
    image: Annotated[
        list[Path] | None,
        typer.Option(help="An image, where the backbone reads images; may be repeated."),
    ] = None,
    version: Annotated[
        int | None, typer.Option(min=1, help="Ask this version, whether it is live or not.")
    ] = None,
    top: Annotated[bool, typer.Option("--top", help="The best label's score alone.")] = False,
    embedding: Annotated[
        bool, typer.Option("--embedding", help="Embeddings too; with --json.")
    ] = False,
    routing_key: Annotated[
        str | None, typer.Option(help="Requests of one key see one version of a canary.")
    ] = None,
    group: Annotated[
        str | None, typer.Option(help="The subgroup that the texts count for.")
    ] = None,
    url: Url = URL,
    key: Key = None,
    key_file: KeyFile = None,
    timeout: Timeout = TIMEOUT_S,
    json: Json = False,
) -> None:
    """Classify texts: those given, those of a file, or those of standard input; or images.

    With --json one JSON object an input goes to standard output, in the order of the inputs.
    """
    with connected(url, key, key_file, timeout, json=json) as (client, screen):
        tenant, adapter = split_model(model)
        scores: Scores = "top" if top else "all"
        asked = False
        for inputs in _batches(_images(image, texts, file) or _inputs(texts, file)):
            asked = True
            predicted = client.predict(
                tenant,
                adapter,
                inputs,
                version,
                scores=scores,
                embedding=embedding,
                routing_key=routing_key,
                group=group,
            )
            _show(screen, inputs, predicted)
        if not asked:
            screen.note("no texts were given, so nothing was asked")


def _images(
    images: list[Path] | None, texts: list[str] | None, file: Path | None
) -> Iterator[Input] | None:
    """Return the images that are asked for, read one by one; None where there are none."""
    if not images:
        return None
    if texts or file is not None:
        raise typer.BadParameter("give texts or --image, not both")
    return (Image.read(path) for path in images)


def _inputs(texts: list[str] | None, file: Path | None) -> Iterator[Input]:
    if texts:
        if file is not None:
            raise typer.BadParameter("give texts or --file, not both")
        yield from texts
        return
    if file is None and sys.stdin.isatty():
        raise typer.BadParameter("give texts, or --file, or texts on standard input")
    name = "standard input" if file is None or str(file) == "-" else str(file)
    try:
        with nullcontext(sys.stdin) if name == "standard input" else _opened(file) as lines:
            for number, line in enumerate(lines, 1):
                text = line.rstrip("\r\n")
                if text.strip():
                    yield _read(text, f"{name}, line {number}") if name.endswith(".jsonl") else text
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidCall(f"{name} cannot be read: {error}") from error


def _opened(file: Path | None) -> IO[str]:
    assert file is not None
    return file.open(encoding="utf-8")


def _read(line: str, where: str) -> Input:
    try:
        row = json_module.loads(line)
    except ValueError as error:
        raise InvalidCall(f"{where}: not JSON: {error}") from error
    if isinstance(row, str):
        return row
    if isinstance(row, dict) and isinstance(row.get("text"), str):
        pair = row.get("pair")
        if pair is None:
            return str(row["text"])
        if isinstance(pair, str):
            return str(row["text"]), pair
    raise InvalidCall(f'{where}: neither a text nor an object {{"text", "pair"}}')


def _batches(inputs: Iterable[Input]) -> Iterator[list[Input]]:
    """Yield inputs as requests hold them: so many texts, or one image, which may be large."""
    remaining = iter(inputs)
    while batch := list(islice(remaining, 1)):
        if not isinstance(batch[0], Image):
            batch += islice(remaining, _BATCH - 1)
        yield batch


def _show(screen: Screen, inputs: list[Input], predicted: Predicted) -> None:
    if screen.json:
        for one in predicted.predictions:
            screen.document({**one.document, "model": predicted.document["model"]})
        return
    rows = []
    for given, one in zip(inputs, predicted.predictions, strict=True):
        text = _shown(given)
        best = sorted((one.scores or {}).items(), key=lambda pair: -pair[1])
        others = ", ".join(f"{name} {score:.3f}" for name, score in best[1 : 1 + _LABELS_SHOWN])
        flags = [word for word, holds in _flags(one.truncated, one.audit) if holds]
        shown = text if len(text) <= _LINE_SHOWN else text[: _LINE_SHOWN - 1] + "…"
        rows.append((shown, one.label, f"{one.score:.3f}", others, flags, one.id))
    screen.table(("input", "label", ">score", "others", "note", "id"), rows)
    model = predicted.model
    screen.note(
        f"{model.tenant}.{model.adapter} version {model.version}, {model.precision} on"
        f" {model.provider}"
    )


def _shown(given: Input) -> str:
    if isinstance(given, Image):
        return given.name
    return given if isinstance(given, str) else " | ".join(given)


def _flags(truncated: bool, audit: bool) -> tuple[tuple[str, bool], ...]:
    return ("cut", truncated), ("label asked for", audit)
