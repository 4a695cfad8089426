"""Parameters of paths: what they name, how routes take them, and how the document shows them."""

from typing import Annotated

from fastapi import Path

from service.errors import UnknownAdapter

PATH_PARAMETERS = {
    "tenant": ("A tenant's name: `[a-z0-9][a-z0-9-]{0,62}`.", "acme"),
    "adapter": ("An adapter's name: `[a-z0-9][a-z0-9-]{0,62}`.", "support"),
    "version": ("A version's number.", 3),
    "model": ("A model's name: `{tenant}.{adapter}`.", "acme.support"),
    "key": ("A key's id, as its making and the list tell it.", "5e0c1b7a94d2f386"),
}

TenantName = Annotated[
    str, Path(description=PATH_PARAMETERS["tenant"][0], examples=[PATH_PARAMETERS["tenant"][1]])
]
AdapterName = Annotated[
    str, Path(description=PATH_PARAMETERS["adapter"][0], examples=[PATH_PARAMETERS["adapter"][1]])
]
# A text, because what is no number names no version: 404, not 422.
VersionText = Annotated[
    str, Path(description=PATH_PARAMETERS["version"][0], examples=[PATH_PARAMETERS["version"][1]])
]
ModelName = Annotated[
    str, Path(description=PATH_PARAMETERS["model"][0], examples=[PATH_PARAMETERS["model"][1]])
]
KeyId = Annotated[
    str, Path(description=PATH_PARAMETERS["key"][0], examples=[PATH_PARAMETERS["key"][1]])
]


def model_parts(model: str) -> tuple[str, str]:
    """Return the tenant and the adapter of a model's name; raise `UnknownAdapter`."""
    tenant, dot, adapter = model.partition(".")
    if not (tenant and dot and adapter) or "." in adapter:
        raise UnknownAdapter(f"there is no model {model[:160]!r}; names are tenant.adapter")
    return tenant, adapter
