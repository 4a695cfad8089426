"""Every family that can be exported, by the `model_type` of its config."""

from exporter.errors import UnsupportedModel
from exporter.families.bert import Bert, Roberta
from exporter.families.distilbert import DistilBert
from exporter.families.family import Family
from exporter.families.modernbert import ModernBert

FAMILIES: tuple[Family, ...] = (Bert(), Roberta(), DistilBert(), ModernBert())


def family_of(model_type: str) -> Family:
    """Return the family of a `model_type`; raise `UnsupportedModel` naming those there are."""
    for family in FAMILIES:
        if model_type in family.model_types:
            return family
    have = ", ".join(sorted(name for family in FAMILIES for name in family.model_types))
    raise UnsupportedModel(f"the model type {model_type!r} is not supported; supported are {have}")
