"""A backbone for a game day: a tiny random BERT, exported in seconds."""

import contextlib
import io
import logging
import shutil
from collections.abc import Iterator
from pathlib import Path

from examples.gameday.texts import EVERY_WORD
from service.engine.bundle import Bundle, open_bundle
from service.engine.errors import InvalidBundle

_HIDDEN = 32
_LENGTH_MAX = 64
_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")


def bundle_in(folder: Path, seed: int) -> Bundle:
    """Return the bundle of a backbone in the folder, exported where it is not there yet.

    Another seed has another digest.
    """
    with contextlib.suppress(InvalidBundle):
        return open_bundle(folder)
    shutil.rmtree(folder, ignore_errors=True)
    checkpoint = folder.with_name(f"{folder.name}-checkpoint")
    from exporter.export import ALL_LINEAR, Request, export_bundle

    with _quiet():
        _write_checkpoint(checkpoint, seed)
        request = Request(
            str(checkpoint),
            folder,
            targets=(ALL_LINEAR,),
            licence="Apache-2.0",
            precisions=("fp32",),
        )
        return export_bundle(request, lambda *_: None)


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep torch's own words off the screen."""
    tracing = logging.getLogger("torch.__trace")
    before, tracing.propagate = tracing.propagate, False
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tracing.propagate = before


def _write_checkpoint(folder: Path, seed: int) -> None:
    import torch
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, BertTokenizerFast

    torch.manual_seed(seed)
    letters = sorted({letter for word in EVERY_WORD for letter in word})
    pieces = [*letters, *(f"##{letter}" for letter in letters)]
    words = dict.fromkeys([*_SPECIAL, *pieces, *EVERY_WORD])
    vocabulary = {word: place for place, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))  # noqa: S106
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B:1 [SEP]:1",
        special_tokens=[(name, vocabulary[name]) for name in ("[CLS]", "[SEP]")],
    )
    config = BertConfig(
        vocab_size=len(vocabulary),
        hidden_size=_HIDDEN,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=48,
        max_position_embeddings=_LENGTH_MAX,
    )
    model = BertModel(config)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            parameter.data.normal_(0.0, 0.2)  # so that words make a difference
    model.save_pretrained(folder, safe_serialization=True)
    BertTokenizerFast(tokenizer_object=tokenizer, model_max_length=_LENGTH_MAX).save_pretrained(
        folder
    )
