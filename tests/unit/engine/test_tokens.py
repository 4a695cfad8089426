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
from service.engine.tokens import Input, Tokeniser, Tokens
from tests.fakes.checkpoints import FAMILIES, _tokenizer
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


@pytest.fixture(params=FAMILIES)
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
    text = piece * (200_000 // len(piece))
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
