"""Tiny random checkpoints of every family, as `save_pretrained` would leave them."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors, trainers
from transformers import (
    AlbertConfig,
    AlbertModel,
    AlbertTokenizerFast,
    BertConfig,
    BertForSequenceClassification,
    BertModel,
    BertTokenizerFast,
    DebertaV2Config,
    DebertaV2Model,
    DebertaV2TokenizerFast,
    DistilBertConfig,
    DistilBertModel,
    DistilBertTokenizerFast,
    ElectraConfig,
    ElectraModel,
    ElectraTokenizerFast,
    ModernBertConfig,
    ModernBertForMaskedLM,
    MPNetConfig,
    MPNetModel,
    MPNetTokenizerFast,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    RobertaConfig,
    RobertaModel,
    RobertaTokenizerFast,
    XLMRobertaConfig,
    XLMRobertaModel,
    XLMRobertaTokenizerFast,
)

FAMILIES = (
    "bert",
    "roberta",
    "xlm-roberta",
    "distilbert",
    "modernbert",
    "electra",
    "albert",
    "mpnet",
    "deberta-v2",
)
# One family for each kind of tokenizer: word pieces, byte-level BPE, and Unigram of both styles.
TOKENIZERS = ("bert", "roberta", "xlm-roberta", "deberta-v2")
_CORPUS = [
    "please send the parcel back to the warehouse before friday",
    "my card was charged twice and nobody answers the telephone",
    "what a wonderful crew, thank you for the window seat",
    "the leaves turn yellow although i water them every week",
    "is there a discount for students who book early? number 42, order 1234567890",
    "Ärger über Überweisung: größer, schöner, weiter; naïve café",
]
_HIDDEN = 32


def _wordpiece() -> Tokenizer:
    tokenizer = Tokenizer(models.WordPiece(unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    special = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    trainer = trainers.WordPieceTrainer(vocab_size=300, special_tokens=special)
    tokenizer.train_from_iterator(_CORPUS * 4, trainer)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("[CLS]", "[SEP]")]
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", pair="[CLS] $A [SEP] $B:1 [SEP]:1", special_tokens=ends
    )
    return tokenizer


def _byte_level() -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(_CORPUS * 4, trainer)
    ends = [(name, tokenizer.token_to_id(name)) for name in ("<s>", "</s>")]
    tokenizer.post_processor = processors.RobertaProcessing(ends[1], ends[0])
    return tokenizer


def _sentence_pieces(special: list[str], first: str, last: str) -> Tokenizer:
    """Return SentencePiece's Unigram as XLM-R, ALBERT and DeBERTa have it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.normalizer = normalizers.NFKC()
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=400,
        special_tokens=special,
        unk_token=next(name for name in special if "unk" in name.lower()),
        initial_alphabet=[chr(code) for code in range(ord("!"), 0x180)],
        show_progress=False,
    )
    tokenizer.train_from_iterator(_CORPUS * 4, trainer)
    ends = [(name, tokenizer.token_to_id(name)) for name in (first, last)]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=f"{first} $A {last} $B:1 {last}:1", special_tokens=ends
    )
    return tokenizer


def _tokenizer(family: str) -> PreTrainedTokenizerFast:
    if family == "bert":
        return BertTokenizerFast(tokenizer_object=_wordpiece(), model_max_length=160)
    if family == "distilbert":
        return DistilBertTokenizerFast(tokenizer_object=_wordpiece(), model_max_length=160)
    if family == "electra":
        return ElectraTokenizerFast(tokenizer_object=_wordpiece(), model_max_length=160)
    if family == "roberta":
        return RobertaTokenizerFast(tokenizer_object=_byte_level(), model_max_length=160)
    if family == "xlm-roberta":
        pieces = _sentence_pieces(["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<s>", "</s>")
        return XLMRobertaTokenizerFast(tokenizer_object=pieces, model_max_length=160)
    if family == "albert":
        special = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
        pieces = _sentence_pieces(special, "[CLS]", "[SEP]")
        return AlbertTokenizerFast(tokenizer_object=pieces, model_max_length=160)
    if family == "deberta-v2":
        special = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", "[MASK]"]
        pieces = _sentence_pieces(special, "[CLS]", "[SEP]")
        return DebertaV2TokenizerFast(tokenizer_object=pieces, model_max_length=160)
    if family == "mpnet":
        special = ["<s>", "<pad>", "</s>", "<unk>", "<mask>"]
        pieces = _sentence_pieces(special, "<s>", "</s>")
        return MPNetTokenizerFast(tokenizer_object=pieces, model_max_length=160, unk_token="<unk>")
    names = {"bos_token": "<s>", "eos_token": "</s>", "cls_token": "<s>", "sep_token": "</s>"}
    names |= {"pad_token": "<pad>", "unk_token": "<unk>", "mask_token": "<mask>"}
    return PreTrainedTokenizerFast(tokenizer_object=_byte_level(), model_max_length=160, **names)


def _model(family: str, words: int, head: bool) -> PreTrainedModel:
    sizes = {"vocab_size": words, "hidden_size": _HIDDEN, "num_hidden_layers": 2}
    sizes |= {"num_attention_heads": 4, "intermediate_size": 48}
    if family == "bert":
        config = BertConfig(**sizes, max_position_embeddings=160)
        return BertForSequenceClassification(config) if head else BertModel(config)
    if family == "roberta":
        return RobertaModel(
            RobertaConfig(**sizes, max_position_embeddings=164, type_vocab_size=1, pad_token_id=1),
            add_pooling_layer=False,
        )
    if family == "xlm-roberta":
        return XLMRobertaModel(
            XLMRobertaConfig(
                **sizes, max_position_embeddings=162, type_vocab_size=1, pad_token_id=1
            ),
            add_pooling_layer=False,
        )
    if family == "distilbert":
        return DistilBertModel(
            DistilBertConfig(
                vocab_size=words,
                dim=_HIDDEN,
                n_layers=2,
                n_heads=4,
                hidden_dim=48,
                max_position_embeddings=160,
            )
        )
    if family == "electra":
        return ElectraModel(ElectraConfig(**sizes, embedding_size=24, max_position_embeddings=160))
    if family == "albert":
        sizes |= {"num_hidden_layers": 4, "num_hidden_groups": 2}
        return AlbertModel(AlbertConfig(**sizes, embedding_size=24, max_position_embeddings=160))
    if family == "mpnet":
        return MPNetModel(
            MPNetConfig(**sizes, max_position_embeddings=162), add_pooling_layer=False
        )
    if family == "deberta-v2":
        return DebertaV2Model(
            DebertaV2Config(
                **sizes,
                max_position_embeddings=160,
                type_vocab_size=0,
                relative_attention=True,
                position_buckets=16,
                pos_att_type=["p2c", "c2p"],
                share_att_key=True,
                norm_rel_ebd="layer_norm",
                position_biased_input=False,
                conv_kernel_size=3,
                conv_act="gelu",
            )
        )
    assert family == "modernbert", family
    sizes["num_hidden_layers"] = 4  # global, local, local, global
    return ModernBertForMaskedLM(
        ModernBertConfig(
            **sizes,
            max_position_embeddings=160,
            local_attention=16,
            pad_token_id=1,
            bos_token_id=0,
            cls_token_id=0,
            eos_token_id=2,
            sep_token_id=2,
            reference_compile=False,
            classifier_pooling="mean",
        )
    )


def make_checkpoint(family: str, folder: Path, seed: int = 0, head: bool = False) -> Path:
    """Write a tiny random checkpoint of the family and return its folder.

    `head` gives a BERT with a trained-looking classifier of two labels.
    """
    torch.manual_seed(seed)
    tokenizer = _tokenizer(family)
    model = _model(family, len(tokenizer), head)
    for name, parameter in model.named_parameters():
        if parameter.dim() == 2 and "embedding" not in name:
            parameter.data.normal_(0.0, 0.2)  # the default 0.02 hides errors of the wiring
    model.save_pretrained(folder, safe_serialization=True)
    tokenizer.save_pretrained(folder)
    return folder
