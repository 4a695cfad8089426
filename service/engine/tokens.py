"""From texts to token ids, as the checkpoint's own tokenizer does it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Encoding, Tokenizer

from service.engine.bundle import TOKENIZER_FILE, Bundle

Input = str | tuple[str, str]

# A text is cut before it is tokenised: 8 MiB of it would hold the processor for a second. The
# first cut allows this many characters a token; where that gives too few tokens, it doubles.
_CHARACTERS_PER_TOKEN = 16


@dataclass(frozen=True, slots=True)
class Tokens:
    """One tokenised text, special tokens included."""

    ids: list[int]
    types: list[int] | None  # token types, where the graph takes them and the text is a pair
    truncated: bool
    unknown: int  # how many ids are the tokenizer's unknown token

    def __len__(self) -> int:
        return len(self.ids)


class Tokeniser:
    """Tokenises texts and pairs of texts, truncated to the bundle's length limit.

    Pairs are truncated longest first, as `transformers` does with `truncation=True`.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.max_length = bundle.manifest.max_length
        self._tokenizer = Tokenizer.from_file(str(bundle.path / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_length)
        self._takes_types = bundle.manifest.token_types
        model = self._tokenizer.model
        unknown = getattr(model, "unk_token", None)
        self._unknown_id = self._tokenizer.token_to_id(unknown) if unknown else None

    def encode(self, texts: Sequence[Input]) -> list[Tokens]:
        """Return the tokens of each text, in order."""
        return [self._encode_one(text) for text in texts]

    def _encode_one(self, text: Input) -> Tokens:
        limit = self.max_length * _CHARACTERS_PER_TOKEN
        first, second = (text, None) if isinstance(text, str) else text
        longest = len(first) if second is None else max(len(first), len(second))
        while longest > limit:
            encoding = self._tokenizer.encode(first[:limit], second and second[:limit])
            if encoding.overflowing:
                return self._tokens(encoding, pair=second is not None)
            limit *= 2
        return self._tokens(self._tokenizer.encode(first, second), pair=second is not None)

    def _tokens(self, encoding: Encoding, pair: bool) -> Tokens:
        ids: list[int] = encoding.ids
        unknown = 0 if self._unknown_id is None else ids.count(self._unknown_id)
        types = encoding.type_ids if pair and self._takes_types else None
        return Tokens(ids, types, bool(encoding.overflowing), unknown)
