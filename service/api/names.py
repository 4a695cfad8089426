"""Parameters of paths, as the operator's routes take them and the OpenAPI document shows them."""

from typing import Annotated

from fastapi import Path

from service.api.routes import PATH_PARAMETERS

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
