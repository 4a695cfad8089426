"""What a tenant's key is good for, and how that is written down."""

from collections.abc import Collection
from typing import Literal

import orjson

Scope = Literal["predict", "publish", "admin"]
SCOPES: tuple[Scope, ...] = ("predict", "publish", "admin")


def covers(held: Collection[Scope], asked: Scope) -> bool:
    """Say whether a key with these scopes may do what asks for that one; `admin` covers all."""
    return asked in held or "admin" in held


def listed(scopes: Collection[Scope]) -> list[Scope]:
    """Return scopes in their usual order."""
    return [scope for scope in SCOPES if scope in scopes]


def text_of(scopes: Collection[Scope]) -> str:
    """Return scopes as a row of keys has them: a JSON list."""
    return orjson.dumps(listed(scopes)).decode()


def scopes_of(text: str) -> frozenset[Scope]:
    """Return what `text_of` gave; scopes of a later version are left out.

    Raises `ValueError` for what is no JSON list.
    """
    try:
        found = orjson.loads(text)
    except orjson.JSONDecodeError:
        found = None
    if not isinstance(found, list):
        raise ValueError("scopes are written as a JSON list")  # noqa: TRY004 - no type is wrong
    return frozenset(scope for scope in SCOPES if scope in found)
