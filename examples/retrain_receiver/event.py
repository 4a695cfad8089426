"""What the receiver reads of an event; whatever else is in it stays in the file for the job."""

from typing import Annotated, Literal

from pydantic import BaseModel, Field

TYPE = "io.tenantry.retrain.requested.v1"

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


class Data(BaseModel):
    """Who should be trained anew, and why."""

    tenant: Name
    adapter: Name
    version: int
    digest: Annotated[str, Field(pattern=r"^[A-Za-z0-9:_-]{1,128}$")]
    reason: Literal["drift", "calibration", "accuracy"]


class RetrainRequested(BaseModel):
    """A CloudEvent 1.0 in structured mode."""

    specversion: Literal["1.0"]
    id: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]{1,128}$")]  # also names files
    type: Literal["io.tenantry.retrain.requested.v1"]
    data: Data

    @property
    def subject(self) -> str:
        """Return the name of the adapter on every wire."""
        return f"{self.data.tenant}.{self.data.adapter}"
