"""What the exporter raises on purpose.

TenantryError
├── UnsupportedModel    the family, a setting of the model or a target that cannot be exported
├── UnreadableModel     the model directory is incomplete, not safetensors, or not to be had
├── ExportFailed        the graph could not be traced or written
├── ProofFailed         the graph does not answer as `transformers` and `peft` do
├── UnusableData        texts that cannot be trained or measured on
└── DistillationFailed  a student could not be trained or written
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


class UnusableData(TenantryError):
    """Texts that cannot be trained or measured on."""


class DistillationFailed(TenantryError):
    """A student could not be trained or written."""
