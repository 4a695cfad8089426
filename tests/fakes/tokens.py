"""A tokeniser without a vocabulary: a word is the sum of its bytes."""

from collections.abc import Sequence

from service.engine.pixels import Whole
from service.engine.tokens import Input, Text, Tokens, Window, Windowed
from service.engine.windows import Windows, cut

MAX_LENGTH = 16


def ids_of(inputs: Sequence[Whole]) -> list[list[int]]:
    """Return the token ids of inputs that are texts, all of them."""
    texts = [each for each in inputs if isinstance(each, Tokens)]
    assert len(texts) == len(inputs), "an image has no tokens"
    return [text.ids for text in texts]


class FakeTokeniser:
    """One token a word, at most `MAX_LENGTH` of them."""

    def encode(self, texts: Sequence[Input]) -> list[Tokens]:
        return [_tokens(text) for text in texts]

    def encode_windows(
        self, texts: Sequence[Input], wanted: Sequence[Windows | None]
    ) -> list[list[Text]]:
        return [[_windowed(text, windows) for text in texts] for windows in wanted]


def _tokens(text: Input) -> Tokens:
    words = (text if isinstance(text, str) else " | ".join(text)).split()
    ids = [word_of(word) for word in words]
    return Tokens(ids[:MAX_LENGTH], None, len(ids) > MAX_LENGTH, 0)


def _windowed(text: Input, windows: Windows | None) -> Text:
    words = (text if isinstance(text, str) else " | ".join(text)).split()
    if windows is None or len(words) <= MAX_LENGTH:
        return _tokens(text)
    ids = [word_of(word) for word in words]
    made = cut(len(ids), MAX_LENGTH, windows)
    pieces = tuple(Window(ids[begin:end], None, False, 0) for begin, end in made.spans)
    return Windowed(pieces, made.left_out > 0, 0)


def word_of(word: str) -> int:
    """Return the token of a word."""
    return sum(word.encode()) % 30_000
