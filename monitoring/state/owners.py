"""The entries of the directories; fields are the columns of their tables."""

from dataclasses import dataclass

from monitoring.watched import Role, Watched


@dataclass(slots=True)
class WatchedOwner:
    """A version in a role."""

    id: int
    tenant: str
    adapter: str
    version: int
    role: Role
    last_us: int = 0  # of the newest event
    due_us: int = 0  # end of the next bucket to close; 0: none
    expires_us: int = 0  # when something of it is deleted for its age; 0: never

    @property
    def key(self) -> Watched:
        """Return what it is of."""
        return Watched(self.tenant, self.adapter, self.version, self.role)


@dataclass(slots=True)
class AdapterOwner:
    """An adapter."""

    id: int
    tenant: str
    adapter: str
    last_us: int = 0  # of the newest event
    labelled_us: int = 0  # of the newest prediction with a label

    @property
    def key(self) -> tuple[str, str]:
        """Return its name."""
        return self.tenant, self.adapter


@dataclass(slots=True)
class ReferenceOwner:
    """A reference of a version."""

    id: int
    tenant: str
    adapter: str
    version: int
    digest: str
    backbone: str
    made_us: int
    rows: int  # that it has
    came: int = 0  # of them, that were read

    @property
    def key(self) -> tuple[str, str, int, str]:
        """Return what it is of."""
        return self.tenant, self.adapter, self.version, self.digest

    @property
    def is_complete(self) -> bool:
        """Return whether all of it was read."""
        return self.came == self.rows


@dataclass(slots=True)
class PoolOwner:
    """The pooled reference of a backbone."""

    id: int
    backbone: str
    references: int = 0  # that rows were taken of
    made_of: int = 0  # how many they were when a reference was last made of it; 0: none was
    made_id: int = 0  # owner of that one
    made_us: int = 0
    made_rows: int = 0

    @property
    def key(self) -> str:
        """Return the backbone."""
        return self.backbone
