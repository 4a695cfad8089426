"""What a hold-out's rows and a probe are run as: tokens of texts, or pixels of images.

Texts are prepared once. Images are too large for that (a thousand are hundreds of megabytes): they
are decoded piece by piece, each time that a piece is run.
"""

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from PIL import Image

from service.engine.errors import UNDECODABLE, InvalidAdapter, Problem
from service.engine.images.decode import data_url
from service.engine.images.limits import Limits
from service.engine.images.preprocess import Encoded
from service.engine.pixels import Pixels, Whole
from service.engine.tokens import Input, Text, Tokens
from service.engine.windows import Windows
from service.uploads.archive import HOLDOUT_FILE
from service.uploads.holdout import HoldoutRow

PIECE_TEXTS_MAX = 64
PIECE_TOKENS_MAX = 4096

# What a probe runs: an empty text, a word, a sentence, other scripts, and one that is cut.
_PROBE_TEXTS = (
    "",
    "refund",
    "I would like to know where my order is, please.",
    "¿Dónde está mi pedido? 注文はどこですか。 Где мой заказ? 🙂",
    "again and " * 1000,
)
_PROBE_SIDE = 96


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows that are run in one job, small beside what the queue may hold."""

    rows: int
    prepare: Callable[[], Sequence[Whole]]  # from any thread


class HoldoutPreparer(Protocol):
    """Makes of rows what a pass takes: `HoldoutTexts` or `HoldoutImages`."""

    def probe(self, windows: Windows | None = None) -> list[Whole]:
        """Return what every upload is run on before it is taken."""
        ...

    def pieces(self, rows: Sequence[HoldoutRow], windows: Windows | None = None) -> list[Piece]:
        """Return the rows in pieces, in order; their `prepare` may raise `InvalidAdapter`."""
        ...


class HoldoutTokeniser(Protocol):
    """Turns texts into tokens; safe to call from several threads."""

    def encode(self, texts: Sequence[Input]) -> list[Tokens]:
        """Return the tokens of each text, in order."""
        ...

    def encode_windows(
        self, texts: Sequence[Input], wanted: Sequence[Windows | None]
    ) -> list[list[Text]]:
        """Return for each way of cutting long texts the tokens of each text, in order."""
        ...


class HoldoutPreprocessor(Protocol):
    """Turns pictures into what the graph takes; safe to call from several threads."""

    def encode(self, images: Sequence[Encoded]) -> list[Pixels]:
        """Return the pixels of each image, in order."""
        ...


class HoldoutTexts:
    """Rows of texts."""

    def __init__(self, tokeniser: HoldoutTokeniser) -> None:
        self._tokeniser = tokeniser

    def probe(self, windows: Windows | None = None) -> list[Whole]:
        """Return a few texts of all kinds."""
        return list(self._encode(_PROBE_TEXTS, windows))

    def pieces(self, rows: Sequence[HoldoutRow], windows: Windows | None = None) -> list[Piece]:
        """Return the rows in pieces, tokenised."""
        texts = self._encode([row.input for row in rows], windows)
        return [_whole(piece) for piece in pieces_of(texts)]

    def _encode(self, texts: Sequence[Input], windows: Windows | None) -> Sequence[Text]:
        if windows is None:
            return self._tokeniser.encode(texts)
        return self._tokeniser.encode_windows(texts, [windows])[0]


def _whole(texts: Sequence[Whole]) -> Piece:
    return Piece(len(texts), lambda: texts)


class HoldoutImages:
    """Rows of images, as data URLs."""

    def __init__(self, preprocessor: HoldoutPreprocessor, limits: Limits) -> None:
        self._preprocessor = preprocessor
        self._limits = limits

    def probe(self, windows: Windows | None = None) -> list[Whole]:
        """Return a few images of all kinds: black, white, a gradient, noise."""
        del windows  # an image has none
        return list(self._preprocessor.encode([(data, "image/png") for data in _probe_images()]))

    def pieces(self, rows: Sequence[HoldoutRow], windows: Windows | None = None) -> list[Piece]:
        """Return the rows in pieces that decode them."""
        del windows  # an image has none
        if not rows:
            return []
        cost = max(map(len, self._preprocessor.encode(_probe_images()[:1])))
        size = min(PIECE_TEXTS_MAX, max(1, PIECE_TOKENS_MAX // cost))
        return [self._piece(rows[start : start + size]) for start in range(0, len(rows), size)]

    def _piece(self, rows: Sequence[HoldoutRow]) -> Piece:
        return Piece(len(rows), lambda: [self._decoded(row) for row in rows])

    def _decoded(self, row: HoldoutRow) -> Pixels:
        try:
            [pixels] = self._preprocessor.encode([data_url(row.input, self._limits)])
        except UNDECODABLE as error:
            where = f"{HOLDOUT_FILE}/{row.line}"
            raise InvalidAdapter([Problem(where, f"image: {error}")]) from error
        return pixels


def pieces_of(texts: Sequence[Text]) -> list[list[Text]]:
    """Return the texts in pieces that are small beside what the queue may hold."""
    pieces: list[list[Text]] = []
    tokens = 0
    for text in texts:
        tokens += len(text)
        if not pieces or len(pieces[-1]) == PIECE_TEXTS_MAX or tokens > PIECE_TOKENS_MAX:
            pieces.append([])
            tokens = len(text)
        pieces[-1].append(text)
    return pieces


def _probe_images() -> list[bytes]:
    """Return small files: the same each time."""
    side = _PROBE_SIDE
    across = np.linspace(0, 255, side)
    gradient = np.stack(
        [np.tile(across, (side, 1)), np.tile(across[:, None], (1, side)), np.full((side, side), 9)],
        axis=2,
    )
    noise = np.random.default_rng(0).integers(0, 256, (side // 2, side, 3))
    blank = np.zeros((side, side, 3))
    return [_png(array) for array in (blank, blank + 255, gradient, noise)]


def _png(pixels: "np.typing.NDArray[np.generic]") -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8), "RGB").save(file, "PNG")
    return file.getvalue()
