"""From texts to token ids, as the checkpoint's own tokenizer does it."""

import threading
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import orjson
from tokenizers import Encoding, Tokenizer
from tokenizers.models import Unigram

from service.engine.bundle import TOKENIZER_FILE, Bundle
from service.engine.windows import Windows, cut

Input = str | tuple[str, str]

# A text is cut before it is tokenised: 8 MiB of it would hold the processor for a second. The
# first cut allows this many characters a token; where that may change what is kept, it doubles.
_CHARACTERS_PER_TOKEN = 16

# What is longer is tokenised without the interpreter's lock: 8 MiB that hold no token keep the
# tokenizer busy for seconds, in which no other thread would run.
_LOCKED_CHARACTERS = 1024

_PAIR_ROOM = 4  # a window has this part of the limit for a pair's longer half, or there is none


@dataclass(frozen=True, slots=True)
class Tokens:
    """One tokenised text, special tokens included."""

    ids: list[int]
    types: list[int] | None  # token types, where the graph takes them and the text is a pair
    truncated: bool
    unknown: int  # how many ids are the tokenizer's unknown token

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Window(Tokens):
    """One window of a longer text; what a pass gives for it is a part of an answer."""


@dataclass(frozen=True, slots=True)
class Windowed:
    """A text beyond the length limit, in windows: as long as all of them together."""

    windows: tuple[Window, ...]  # in order; two at least
    truncated: bool  # whether tokens are left that no window holds
    unknown: int  # of all windows

    def __len__(self) -> int:
        return sum(map(len, self.windows))


Text = Tokens | Windowed


class Tokeniser:
    """Tokenises texts and pairs of texts, truncated to the bundle's length limit or in windows.

    Pairs are truncated longest first, as `transformers` does with `truncation=True`.
    """

    def __init__(self, bundle: Bundle) -> None:
        self.max_length = bundle.manifest.max_length
        self._tokenizer = Tokenizer.from_file(str(bundle.path / TOKENIZER_FILE))
        self._tokenizer.no_padding()
        self._tokenizer.enable_truncation(self.max_length)
        self._takes_types = bundle.manifest.token_types
        self._unknown_id = _unknown_id(self._tokenizer, bundle.path / TOKENIZER_FILE)
        self._making = threading.Lock()
        self._untruncated: Tokenizer | None = None

    def encode(self, texts: Sequence[Input]) -> list[Tokens]:
        """Return the tokens of each text, in order."""
        return [self._encode_one(text) for text in texts]

    def encode_windows(
        self, texts: Sequence[Input], wanted: Sequence[Windows | None]
    ) -> list[list[Text]]:
        """Return for each way of `wanted` the tokens of each text, in order; None truncates.

        What fits is the same tokens as `encode` gives, whatever is wanted. A text is tokenised
        once for all that want windows. Of a pair that is too long the longer part is cut, and each
        window holds the whole of the shorter one; a pair whose shorter part leaves a window too
        little room is truncated as without windows.
        """
        ways = list(dict.fromkeys(wanted))
        found: dict[Windows | None, list[Text]] = {way: [] for way in ways}
        for text in texts:
            for way, tokens in self._encode_ways(text, ways).items():
                found[way].append(tokens)
        return [found[way] for way in wanted]

    def _encode_one(self, text: Input) -> Tokens:
        first, second = (text, None) if isinstance(text, str) else text
        encoding = self._run(self._cut(first), None if second is None else self._cut(second))
        return self._tokens(encoding, pair=second is not None)

    def _encode_ways(
        self, text: Input, ways: Sequence[Windows | None]
    ) -> dict[Windows | None, Text]:
        windows = [way for way in ways if way is not None]
        if not windows:
            return {None: self._encode_one(text)}
        tokens = max(self.max_length * way.most for way in windows)
        halves = (text,) if isinstance(text, str) else text
        beginnings = [self._cut(half, tokens) for half in halves]
        encoding = self._run(*beginnings, tokenizer=self._whole)
        is_pair = len(halves) == 2
        if len(encoding) <= self.max_length:
            short = self._tokens(encoding, is_pair)
            return dict.fromkeys(ways, short)
        found: dict[Windows | None, Text] = {}
        for way in ways:
            windowed = None if way is None else self._windowed(encoding, way, is_pair)
            found[way] = windowed or self._encode_one(text)
        return found

    def _windowed(self, encoding: Encoding, windows: Windows, pair: bool) -> Windowed | None:
        """Return the windows of a text that is too long; None where they would have no room."""
        parts: list[int | None] = encoding.sequence_ids  # None: a special token
        counts = [parts.count(part) for part in (0, 1)]
        longer = int(counts[1] > counts[0])
        begin = parts.index(longer)
        end = begin + counts[longer]
        room = self.max_length - (len(parts) - counts[longer])
        if room < self._room_min(windows, pair=pair):
            return None
        ids, types = encoding.ids, encoding.type_ids if pair and self._takes_types else None
        made = cut(counts[longer], room, windows)

        def piece(whole: list[int], span: tuple[int, int]) -> list[int]:
            return whole[:begin] + whole[begin + span[0] : begin + span[1]] + whole[end:]

        pieces = []
        for span in made.spans:
            own = piece(ids, span)
            own_types = None if types is None else piece(types, span)
            pieces.append(Window(own, own_types, False, self._unknown(own)))
        unknown = sum(one.unknown for one in pieces)
        return Windowed(tuple(pieces), made.left_out > 0, unknown)

    def _room_min(self, windows: Windows, *, pair: bool) -> int:
        """Return the room below which windows would mostly repeat what others hold."""
        if not pair:
            return windows.overlap + 1
        return max(2 * windows.overlap, self.max_length // _PAIR_ROOM, 1)

    @property
    def _whole(self) -> Tokenizer:
        """Return a copy that cuts nothing, made when windows are first asked for.

        Large vocabularies take 220 MiB and a quarter of a second, which most services never need.
        It is made of what is in memory: the file may be another one by then.
        """
        with self._making:
            if self._untruncated is None:
                copy: Tokenizer = Tokenizer.from_str(self._tokenizer.to_str())
                copy.no_truncation()
                self._untruncated = copy
            return self._untruncated

    def _run(
        self,
        first: str,
        second: str | None = None,
        *,
        special: bool = True,
        tokenizer: Tokenizer | None = None,
    ) -> Encoding:
        runs = tokenizer or self._tokenizer
        if len(first) + len(second or "") <= _LOCKED_CHARACTERS:
            return runs.encode(first, second, add_special_tokens=special)
        # `encode` holds the lock all the time, `encode_batch` lets go of it.
        inputs = [first if second is None else (first, second)]
        return runs.encode_batch(inputs, add_special_tokens=special)[0]

    def _cut(self, text: str, tokens: int = 0) -> str:
        """Return the text, or a beginning of it that has the same first tokens.

        As many as are kept of it, which is the limit or, where that is more, `tokens`. A beginning
        will do if it alone is too long, and its last kept token lies so far before the cut that
        no word reaches from one to the other.
        """
        kept = max(self.max_length, tokens)
        limit = kept * _CHARACTERS_PER_TOKEN
        whole = self._whole if tokens else None
        while len(text) > limit:
            encoding = self._run(text[:limit], special=False, tokenizer=whole)
            if _ends_early(encoding, kept, limit // 2):
                return text[:limit]
            limit *= 2
        return text

    def _tokens(self, encoding: Encoding, pair: bool) -> Tokens:
        ids: list[int] = encoding.ids
        types = encoding.type_ids if pair and self._takes_types else None
        return Tokens(ids, types, bool(encoding.overflowing), self._unknown(ids))

    def _unknown(self, ids: list[int]) -> int:
        return 0 if self._unknown_id is None else ids.count(self._unknown_id)


def _ends_early(encoding: Encoding, kept: int, characters: int) -> bool:
    """Return whether there are more tokens than are kept, and these end within the characters."""
    if encoding.overflowing:  # it was truncated to what is kept
        return bool(encoding.offsets[-1][1] <= characters)
    return len(encoding) > kept and bool(encoding.offsets[kept - 1][1] <= characters)


def _unknown_id(tokenizer: Tokenizer, file: Path) -> int | None:
    """Return the id of what the tokenizer does not know, None where it knows everything.

    A Unigram model calls it by a number, `<unk>` for XLM-R and `[UNK]` for DeBERTa, and tells it
    in its file alone.
    """
    if isinstance(tokenizer.model, Unigram):
        number = orjson.loads(file.read_bytes())["model"].get("unk_id")
        return None if number is None else int(number)
    unknown = getattr(tokenizer.model, "unk_token", None)
    return tokenizer.token_to_id(unknown) if unknown else None
