"""What figures are about: one version of an adapter, in one role."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["live", "canary", "shadow", "pinned"]
ROLES: tuple[Role, ...] = ("live", "canary", "shadow", "pinned")


@dataclass(frozen=True, slots=True, order=True)
class Watched:
    """A version in a role. Windows never mix two of them."""

    tenant: str
    adapter: str
    version: int
    role: Role

    @property
    def model(self) -> str:
        """Return the adapter's name on every wire."""
        return f"{self.tenant}.{self.adapter}"
