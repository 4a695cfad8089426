"""Tokens, equal to what the checkpoint's own tokenizer gives in `transformers`."""

import sys
import threading
from dataclasses import dataclass
from pathlib import Path

import pytest
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

from exporter.errors import UnreadableModel
from exporter.source import serving_tokenizer
from service.engine.bundle import TOKENIZER_FILE, Bundle
from service.engine.tokens import Input, Text, Tokeniser, Tokens, Windowed
from service.engine.windows import Windows
from tests.fakes.checkpoints import TOKENIZERS, _tokenizer
from tests.fakes.manifests import BACKBONE, manifest_of

LONG = 48
TEXTS: list[Input] = [
    "",
    " ",
    "please send it",
    "Ärger über Überweisung: größer, naïve café \u200b \u3000 \U0001f600",
    "a <pad> and a [SEP] and </s> and [PAD] and <s> and <unk> are words of the text",
    "[CLS]<s>",
    "line\nbreaks\tand \r\n tabs",
    "nothing but 数学 and العربية",
    "word " * 200,
    "x" * 300,
    ("one", "two"),
    ("", ""),
    ("one", ""),
    ("", "two"),
    ("a short one", "with a much longer second half " * 20),
    ("with a much longer first half " * 20, "a short one"),
    ("both are long " * 20, "and both are cut " * 20),
    ("a [SEP] inside", "of a <pad> pair"),
]


@dataclass(frozen=True, slots=True)
class Both:
    """A tokenizer as we have it and as `transformers` has it."""

    ours: Tokeniser
    theirs: PreTrainedTokenizerFast
    takes_types: bool

    def expected(
        self, text: Input, max_length: int | None = LONG
    ) -> tuple[list[int], list[int] | None]:
        """Return ids and types. In lists, because alone an empty pair counts as none."""
        first, *pair = (text,) if isinstance(text, str) else text
        encoded = self.theirs(
            [first],
            *([half] for half in pair),
            truncation=max_length is not None,
            max_length=max_length,
            return_token_type_ids=True,
        )
        types = encoded["token_type_ids"][0] if pair and self.takes_types else None
        return encoded["input_ids"][0], types


def bundle_around(
    tokenizer: PreTrainedTokenizerFast, folder: Path, *, types: bool = False
) -> Bundle:
    serving_tokenizer(tokenizer).save(str(folder / TOKENIZER_FILE))
    changes = {"max_length": LONG, "token_types": types}
    return Bundle(folder, BACKBONE, manifest_of().model_copy(update=changes), {})


@pytest.fixture(params=TOKENIZERS)
def both(request: pytest.FixtureRequest, tmp_path: Path) -> Both:
    family = str(request.param)
    theirs = _tokenizer(family)
    theirs.model_max_length = 1 << 20  # or it warns of what we ask it
    types = family == "bert"
    return Both(Tokeniser(bundle_around(theirs, tmp_path, types=types)), theirs, types)


def test_a_text_has_the_tokens_that_transformers_gives_it(both: Both) -> None:
    for text in TEXTS:
        (found,) = both.ours.encode([text])
        ids, types = both.expected(text)
        assert found.ids == ids, text
        assert found.types == types, text


def test_texts_come_back_in_their_order(both: Both) -> None:
    assert both.ours.encode(TEXTS) == [both.ours.encode([text])[0] for text in TEXTS]


def test_truncation_is_reported_where_it_happened(both: Both) -> None:
    for text in TEXTS:
        (found,) = both.ours.encode([text])
        whole = len(both.expected(text, None)[0])
        assert found.truncated == (whole > LONG), text
        assert len(found) == min(whole, LONG)


@pytest.mark.parametrize(
    "piece", ["word ", "internationalisation-", "é", "x" * 7000 + " and ", "\n"]
)
def test_a_long_text_is_cut_to_what_it_would_be_truncated_to(both: Both, piece: str) -> None:
    text = piece * max(30, 40_000 // len(piece))
    for asked in (text, (text, "short"), ("short", text)):
        (found,) = both.ours.encode([asked])
        assert found.ids == both.expected(asked)[0]


def test_a_pair_of_a_text_of_few_tokens_and_one_of_many_is_cut_like_any_other(both: Both) -> None:
    blob = "x" * 2_000 + " and then at last some words " * 30  # one unknown word, then many
    asked = (blob, "this half has a few more tokens than would fit beside the other one " * 2)
    assert both.ours.encode([asked])[0].ids == both.expected(asked)[0]


def test_of_a_text_of_a_million_letters_only_the_beginning_is_looked_at(both: Both) -> None:
    long = "many words and more words " * 40_000
    beginning = both.ours._cut(long)
    assert len(beginning) <= 32 * LONG
    assert both.ours.encode([long]) == both.ours.encode([beginning])


def test_other_threads_run_while_a_long_text_without_tokens_is_looked_at(tmp_path: Path) -> None:
    tokeniser = Tokeniser(bundle_around(_tokenizer("bert"), tmp_path))
    asked, ran = threading.Event(), threading.Event()

    def other() -> None:
        asked.wait()
        ran.set()

    thread = threading.Thread(target=other)
    thread.start()
    usual = sys.getswitchinterval()
    sys.setswitchinterval(600)  # a thread gets its turn only where another one waits
    try:
        asked.set()
        tokeniser.encode([" " * (1 << 21)])
        in_between = ran.is_set()
    finally:
        sys.setswitchinterval(usual)
        thread.join()
    assert in_between


def test_unknown_tokens_are_counted(tmp_path: Path) -> None:
    tokeniser = Tokeniser(bundle_around(_tokenizer("bert"), tmp_path))
    known, unknown = tokeniser.encode(["please send", "please 数 send 学"])
    assert (known.unknown, unknown.unknown) == (0, 2)


def unigram() -> PreTrainedTokenizerFast:
    """Return a SentencePiece-like tokenizer, as XLM-R has one."""
    pieces = [("<unk>", 0.0), ("<s>", 0.0), ("</s>", 0.0), ("▁", -2.0), ("▁a", -1.0), ("b", -1.5)]
    tokenizer = Tokenizer(models.Unigram(pieces, unk_id=0, byte_fallback=False))
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    ends = [("<s>", 1), ("</s>", 2)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=ends
    )
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")


def test_unknown_pieces_of_a_unigram_model_are_counted_too(tmp_path: Path) -> None:
    (found,) = Tokeniser(bundle_around(unigram(), tmp_path)).encode(["ab ?b"])
    assert found == Tokens([1, 4, 5, 3, 0, 5, 2], None, False, 1)


@pytest.mark.parametrize("family", ["xlm-roberta", "deberta-v2"])  # <unk>, [UNK]
def test_what_a_unigram_model_does_not_know_is_counted_whatever_its_name(
    family: str, tmp_path: Path
) -> None:
    tokeniser = Tokeniser(bundle_around(_tokenizer(family), tmp_path))
    known, unknown = tokeniser.encode(["please send", "please 数 send 学"])
    assert (known.unknown, unknown.unknown) == (0, 2)


def test_padding_and_truncation_of_the_checkpoint_do_not_come_along(tmp_path: Path) -> None:
    theirs = _tokenizer("bert")
    plain = theirs("please send it back")["input_ids"]
    theirs.backend_tokenizer.enable_padding(length=128)
    theirs.backend_tokenizer.enable_truncation(3)
    (found,) = Tokeniser(bundle_around(theirs, tmp_path)).encode(["please send it back"])
    assert found.ids == plain


def test_a_tokenizer_that_gives_an_empty_text_no_token_is_refused(tmp_path: Path) -> None:
    theirs = _tokenizer("bert")
    theirs.backend_tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    with pytest.raises(UnreadableModel, match="special tokens"):
        bundle_around(theirs, tmp_path)


WAYS = (Windows(0, 64), Windows(7, 64), Windows(23, 64), Windows(7, 3), None)


def ids_of(text: Text) -> list[list[int]]:
    return [one.ids for one in text.windows] if isinstance(text, Windowed) else [text.ids]


def cut_by_transformers(
    both: Both, text: Input, overlap: int
) -> tuple[list[list[int]], list[list[int]]]:
    """Return ids and types of the windows that `transformers` makes of a text or a pair."""
    first, *pair = (text,) if isinstance(text, str) else text
    cuts: str | bool = True
    if pair:
        lengths = [len(both.theirs(half, add_special_tokens=False)["input_ids"]) for half in text]
        cuts = "only_second" if lengths[1] > lengths[0] else "only_first"
    encoded = both.theirs(
        [first],
        *([half] for half in pair),
        truncation=cuts,
        max_length=LONG,
        stride=overlap,
        return_overflowing_tokens=True,
        return_token_type_ids=True,
    )
    return encoded["input_ids"], encoded["token_type_ids"]


LONG_ONES: list[Input] = [
    "please send the parcel back to the warehouse before friday " * 9,
    "[SEP] <s> [CLS] and </s> are words of the text, [PAD] <pad> too, " * 9,
    "x" * 500,
    "\U0001f600 Ärger über Überweisung " * 40,
    ("a short one", "with a much longer second half " * 20),
    ("with a much longer first half " * 20, "a short one"),
    ("", "nothing before a text that is far too long " * 12),
]


def test_windows_are_those_of_transformers(both: Both) -> None:
    for text in LONG_ONES:
        for overlap in (0, 7, 23):
            ids, types = cut_by_transformers(both, text, overlap)
            ((found,),) = both.ours.encode_windows([text], [Windows(overlap, 64)])
            if len(ids) == 1 or (isinstance(text, tuple) and overlap == 23):
                continue
            assert isinstance(found, Windowed), text
            assert ids_of(found) == ids, text
            assert not found.truncated
            assert len(found) == sum(map(len, ids))
            if isinstance(text, tuple) and both.takes_types:
                assert [one.types for one in found.windows] == types


def test_at_most_so_many_windows_are_made_and_the_answer_is_told(both: Both) -> None:
    text = "please send the parcel back to the warehouse before friday " * 90
    ((few,), (many,)) = both.ours.encode_windows([text], [Windows(7, 3), Windows(7, 64)])
    assert len(ids_of(few)) == 3
    assert few.truncated
    assert ids_of(few) == ids_of(many)[:3]


def test_what_fits_is_the_same_tokens_with_windows_as_without(both: Both) -> None:
    for text in TEXTS:
        if len(both.expected(text, None)[0]) > LONG:
            continue
        plain = both.ours.encode([text])
        assert both.ours.encode_windows([text], WAYS) == [plain] * len(WAYS), text


def test_a_text_of_exactly_the_limit_is_no_window(both: Both) -> None:
    words = "a " * 100
    tokens = len(both.theirs(words, add_special_tokens=False)["input_ids"])
    while tokens > LONG - 2:
        words = words[:-2]
        tokens = len(both.theirs(words, add_special_tokens=False)["input_ids"])
    ((at,), _) = both.ours.encode_windows([words], [Windows(3, 8), None])
    ((beyond,), _) = both.ours.encode_windows([words + "a "], [Windows(3, 8), None])
    assert isinstance(at, Tokens)
    assert len(at) == LONG
    assert isinstance(beyond, Windowed)


def test_each_way_of_cutting_is_answered_for_itself(both: Both) -> None:
    found = both.ours.encode_windows(LONG_ONES, WAYS)
    for way, texts in zip(WAYS, found, strict=True):
        assert texts == both.ours.encode_windows(LONG_ONES, [way])[0]
    assert found[-1] == both.ours.encode(LONG_ONES)


def test_a_pair_without_room_for_windows_is_truncated_as_ever(both: Both) -> None:
    pairs: list[Input] = [
        ("both are long " * 20, "and both are cut " * 20),
        ("this half takes most of the room of any window, all but a few tokens of it ok",
         "and this one is longer still, " * 20),
    ]  # fmt: skip
    (found,) = both.ours.encode_windows(pairs, [Windows(20, 8)])
    assert found == both.ours.encode(pairs)
    assert all(text.truncated for text in found)


class Makers:
    """The library's two ways to make a tokenizer, counted."""

    def __init__(self) -> None:
        self.made = 0

    def from_file(self, path: str) -> Tokenizer:
        self.made += 1
        return Tokenizer.from_file(path)

    def from_str(self, text: str) -> Tokenizer:
        self.made += 1
        return Tokenizer.from_str(text)


def test_a_second_tokenizer_is_made_when_windows_are_asked_for_and_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    makers = Makers()
    monkeypatch.setattr("service.engine.tokens.Tokenizer", makers)
    ours = Tokeniser(bundle_around(_tokenizer("bert"), tmp_path))
    ours.encode(["word " * 200])
    ours.encode_windows(["word " * 200], [None])
    assert makers.made == 1
    (tmp_path / TOKENIZER_FILE).unlink()  # another bundle may lie there by now
    threads = [
        threading.Thread(target=ours.encode_windows, args=(["word " * 200], [Windows(4, 8)]))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert makers.made == 2
    assert isinstance(ours.encode_windows(["word " * 200], [Windows(4, 8)])[0][0], Windowed)


def test_of_a_text_of_a_million_letters_as_much_is_read_as_the_windows_need(both: Both) -> None:
    long = "many words and more words " * 40_000
    ((found,),) = both.ours.encode_windows([long], [Windows(7, 4)])
    ((again,),) = both.ours.encode_windows([long[:20_000]], [Windows(7, 4)])
    assert found == again
    assert found.truncated


def test_unknown_tokens_are_counted_in_every_window(tmp_path: Path) -> None:
    tokeniser = Tokeniser(bundle_around(_tokenizer("bert"), tmp_path))
    ((found,),) = tokeniser.encode_windows(["数 " * 60 + "parcel " * 60], [Windows(5, 8)])
    assert isinstance(found, Windowed)
    assert next(one.unknown for one in found.windows) == LONG - 2
    assert found.unknown == sum(one.unknown for one in found.windows)
    assert found.windows[-1].unknown == 0
