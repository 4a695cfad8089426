"""A tokeniser without a vocabulary: a word is the sum of its bytes."""

from collections.abc import Sequence

from service.engine.pixels import Prepared
from service.engine.tokens import Input, Tokens

MAX_LENGTH = 16


def ids_of(inputs: Sequence[Prepared]) -> list[list[int]]:
    """Return the token ids of inputs that are texts, all of them."""
    texts = [each for each in inputs if isinstance(each, Tokens)]
    assert len(texts) == len(inputs), "an image has no tokens"
    return [text.ids for text in texts]


class FakeTokeniser:
    """One token a word, at most `MAX_LENGTH` of them."""

    def encode(self, texts: Sequence[Input]) -> list[Tokens]:
        return [_tokens(text) for text in texts]


def _tokens(text: Input) -> Tokens:
    words = (text if isinstance(text, str) else " | ".join(text)).split()
    ids = [word_of(word) for word in words]
    return Tokens(ids[:MAX_LENGTH], None, len(ids) > MAX_LENGTH, 0)


def word_of(word: str) -> int:
    """Return the token of a word."""
    return sum(word.encode()) % 30_000
