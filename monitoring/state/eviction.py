"""Who goes where there are more than the bound: of the tenant that has most, the longest silent."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Protocol, TypeVar


class _Owned(Protocol):
    """Something of a tenant."""

    @property
    def id(self) -> int: ...
    @property
    def tenant(self) -> str: ...


O = TypeVar("O", bound=_Owned)  # noqa: E741 an owner


def leaving(owners: Iterable[O], last_us: Callable[[O], int], count: int) -> list[O]:
    """Return so many that go first; `last_us` is when one was used last.

    Each tenant's are numbered from the one that was used last. The highest numbers go first, of
    equal ones the longest silent: so nobody who has few loses any to one who has many.
    """
    by_tenant: dict[str, list[tuple[int, int, O]]] = defaultdict(list)
    for owner in owners:
        by_tenant[owner.tenant].append((-last_us(owner), owner.id, owner))
    ranked = [
        (-place, -since, number, owner)
        for theirs in by_tenant.values()
        for place, (since, number, owner) in enumerate(sorted(theirs, key=lambda one: one[:2]))
    ]
    ranked.sort(key=lambda one: one[:3])
    return [owner for *_, owner in ranked[:count]]
