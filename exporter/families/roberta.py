"""RoBERTa and its kin: positions begin behind padding's, and the head is a module of its own."""

from exporter.families.bert import BERT_LAYER, Bert
from exporter.layers import PreNormLayer


class Roberta(Bert):
    """RoBERTa (Liu et al. 2019, arXiv 1907.11692)."""

    model_types: tuple[str, ...] = ("roberta",)
    encoder = "roberta"
    architecture = "RobertaForSequenceClassification"
    behind_padding = True
    dense = "classifier.dense"
    last = "classifier.out_proj"


class XlmRoberta(Roberta):
    """XLM-R (Conneau et al. 2020, arXiv 1911.02116)."""

    model_types: tuple[str, ...] = ("xlm-roberta",)
    architecture = "XLMRobertaForSequenceClassification"


class Camembert(Roberta):
    """CamemBERT (Martin et al. 2020, arXiv 1911.03894)."""

    model_types: tuple[str, ...] = ("camembert",)
    architecture = "CamembertForSequenceClassification"


class Data2VecText(Roberta):
    """data2vec for texts (Baevski et al. 2022, arXiv 2202.03555)."""

    model_types: tuple[str, ...] = ("data2vec-text",)
    encoder = "data2vec_text"
    architecture = "Data2VecTextForSequenceClassification"


class RobertaPreLayerNorm(Roberta):
    """RoBERTa with the norms before (fairseq's `encoder-normalize-before`)."""

    model_types: tuple[str, ...] = ("roberta-prelayernorm",)
    encoder = "roberta_prelayernorm"
    architecture = "RobertaPreLayerNormForSequenceClassification"
    paths = BERT_LAYER.with_norms("attention.LayerNorm", "intermediate.LayerNorm")
    final_norm: tuple[str, ...] = ("LayerNorm",)
    layer = PreNormLayer


class XlmRobertaXl(Roberta):
    """XLM-R XL and XXL (Goyal et al. 2021, arXiv 2105.00572): pre-norm, embeddings as they are."""

    model_types: tuple[str, ...] = ("xlm-roberta-xl",)
    architecture = "XLMRobertaXLForSequenceClassification"
    paths = BERT_LAYER.with_norms("attention.self_attn_layer_norm", "LayerNorm")
    after_sum: tuple[str, ...] = ()
    final_norm: tuple[str, ...] = ("encoder.LayerNorm",)
    layer = PreNormLayer
