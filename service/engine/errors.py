"""Errors of the engine door; the root of every error that Tenantry raises on purpose.

    TenantryError
    ├── InvalidBundle         a bundle directory is incomplete, altered, or of another format
    ├── InvalidAdapter        an adapter cannot be served; carries every problem found
    ├── ProviderUnavailable   the execution provider asked for does not run on this machine
    ├── NonFiniteOutput       a forward pass gave inf or NaN for one text alone
    ├── UnsupportedRecipe     a model asks for a preprocessing that is not done here
    ├── UnsupportedImage      bytes of a type that is not taken, or not the one declared
    ├── ImageTooLarge         an image beyond a limit, seen before it was decoded
    └── InvalidImage          an image that is damaged, truncated or malformed

`service/errors.py` adds what the service raises. Nothing here knows of HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass


class TenantryError(Exception):
    """Root of the tree; its text is written for the person who caused it."""


class InvalidBundle(TenantryError):
    """A bundle directory is incomplete, altered, or of another format."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong, and where: a key, a file, a tensor name, a JSON path."""

    where: str
    what: str

    def __str__(self) -> str:
        return f"{self.where}: {self.what}"


class InvalidAdapter(TenantryError):
    """An adapter cannot be served by this bundle; `problems` lists everything that is wrong."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        assert problems, "an invalid adapter has at least one problem"
        self.problems = tuple(problems)
        super().__init__("; ".join(map(str, self.problems)))


class ProviderUnavailable(TenantryError):
    """The execution provider asked for does not run on this machine; the text says why."""


class NonFiniteOutput(TenantryError):
    """A forward pass gave inf or NaN for one text alone; `digest` names the adapter."""

    def __init__(self, digest: str) -> None:
        self.digest = digest
        super().__init__(f"the adapter {digest} gave a non-finite output and was quarantined")


class UnsupportedRecipe(TenantryError):
    """A model asks for a preprocessing that is not done here; the text names key and value."""


class UnsupportedImage(TenantryError):
    """The bytes are of a type that is not taken, or of another one than was declared."""


class ImageTooLarge(TenantryError):
    """An image is beyond a limit; seen in its header, before it was decoded."""


class InvalidImage(TenantryError):
    """An image is damaged, truncated or malformed."""


# What the bytes of an image can end in.
UNDECODABLE: tuple[type[TenantryError], ...] = (InvalidImage, UnsupportedImage, ImageTooLarge)


class UnreadableTexts(TenantryError):
    """A file of texts for tuning is not JSON Lines with a `text` in each."""
