"""ELECTRA (Clark et al. 2020, arXiv 2003.10555): BERT's layers, smaller embeddings, own head."""

from exporter.families.bert import Bert


class Electra(Bert):
    """ELECTRA's discriminator; embeddings of another size than the layers' are projected."""

    model_types: tuple[str, ...] = ("electra",)
    encoder = "electra"
    architecture = "ElectraForSequenceClassification"
    after_sum: tuple[str, ...] = ("embeddings.LayerNorm", "embeddings_project")
    dense = "classifier.dense"
    head_activation = "gelu"
    last = "classifier.out_proj"
