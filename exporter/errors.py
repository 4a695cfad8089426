"""What the exporter raises on purpose.

TenantryError
├── UnsupportedModel    the family, a setting of the model or a target that cannot be exported
├── UnreadableModel     the model directory is incomplete, not safetensors, or not to be had
├── ExportFailed        the graph could not be traced or written
└── ProofFailed         the graph does not answer as `transformers` and `peft` do
"""

from service.engine.errors import TenantryError


class UnsupportedModel(TenantryError):
    """The family, a setting of the model or a target that cannot be exported."""


class UnreadableModel(TenantryError):
    """The model directory is incomplete, not safetensors, or not to be had."""


class ExportFailed(TenantryError):
    """The graph could not be traced or written."""


class ProofFailed(TenantryError):
    """The graph does not answer as `transformers` and `peft` do."""
