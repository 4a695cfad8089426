"""From texts to token ids, as the checkpoint's own tokenizer does it."""

from collections.abc import Sequence
from dataclasses import dataclass

from tokenizers import Encoding, Tokenizer
from tokenizers.models import Unigram

from service.engine.bundle import TOKENIZER_FILE, Bundle

Input = str | tuple[str, str]

# A text is cut before it is tokenised: 8 MiB of it would hold the processor for a second. The
# first cut allows this many characters a token; where that may change what is kept, it doubles.
_CHARACTERS_PER_TOKEN = 16

# What is longer is tokenised without the interpreter's lock: 8 MiB that hold no token keep the
# tokenizer busy for seconds, in which no other thread would run.
_LOCKED_CHARACTERS = 1024

_UNIGRAM_UNKNOWN = "<unk>"  # SentencePiece's; the model itself does not tell


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
        if isinstance(model, Unigram):
            unknown = _UNIGRAM_UNKNOWN
        self._unknown_id = self._tokenizer.token_to_id(unknown) if unknown else None

    def encode(self, texts: Sequence[Input]) -> list[Tokens]:
        """Return the tokens of each text, in order."""
        return [self._encode_one(text) for text in texts]

    def _encode_one(self, text: Input) -> Tokens:
        first, second = (text, None) if isinstance(text, str) else text
        encoding = self._run(self._cut(first), None if second is None else self._cut(second))
        return self._tokens(encoding, pair=second is not None)

    def _run(self, first: str, second: str | None = None, *, special: bool = True) -> Encoding:
        if len(first) + len(second or "") <= _LOCKED_CHARACTERS:
            return self._tokenizer.encode(first, second, add_special_tokens=special)
        # `encode` holds the lock all the time, `encode_batch` lets go of it.
        inputs = [first if second is None else (first, second)]
        return self._tokenizer.encode_batch(inputs, add_special_tokens=special)[0]

    def _cut(self, text: str) -> str:
        """Return the text, or a beginning of it that is truncated to the same tokens.

        A beginning will do if it alone is too long, and its last kept token lies so far before
        the cut that no word reaches from one to the other.
        """
        limit = self.max_length * _CHARACTERS_PER_TOKEN
        while len(text) > limit:
            encoding = self._run(text[:limit], special=False)
            if encoding.overflowing and encoding.offsets[-1][1] <= limit // 2:
                return text[:limit]
            limit *= 2
        return text

    def _tokens(self, encoding: Encoding, pair: bool) -> Tokens:
        ids: list[int] = encoding.ids
        unknown = 0 if self._unknown_id is None else ids.count(self._unknown_id)
        types = encoding.type_ids if pair and self._takes_types else None
        return Tokens(ids, types, bool(encoding.overflowing), unknown)
