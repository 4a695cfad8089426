"""References of versions, complete or on their way, and the pooled ones of backbones."""

from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from monitoring.references.rows import ReferenceRows
from monitoring.state.directory import Directory, Moved
from monitoring.state.eviction import leaving
from monitoring.state.kinds import Kind
from monitoring.state.limits import Limits
from monitoring.state.objects import Objects
from monitoring.state.owners import PoolOwner, ReferenceOwner
from monitoring.state.ports import Maker, Measure, Origin
from monitoring.state.reference_rows import Partial, Pool, ReferencePart, empty_pool
from monitoring.state.tables import POOLS, REFERENCES
from monitoring.watched import Watched

_ROWS_MAX = 1_000_000  # of a reference; one that says more is not believed
_OPEN_BYTES = 256 << 20  # of references in use


@dataclass(frozen=True, slots=True)
class Made:
    """What detectors made of a reference's rows."""

    judge: str  # under which settings
    data: bytes
    failure: str | None  # why there is nothing


@dataclass(frozen=True, slots=True)
class Found:
    """The reference that a version is compared with."""

    id: int
    source: Literal["holdout", "pooled"]
    rows: int
    made_us: int
    backbone: str
    failure: str | None  # why it cannot be used


class References:
    """All references; not for several threads at once."""

    def __init__(
        self, objects: Objects, maker: Maker, limits: Limits, next_id: Callable[[], int]
    ) -> None:
        self.owners = Directory(REFERENCES, ReferenceOwner, lambda entry: entry.key)
        self.pools = Directory(POOLS, PoolOwner, lambda entry: entry.key)
        self._objects = objects
        self._maker = maker
        self._limits = limits
        self._next_id = next_id
        self._open: OrderedDict[int, tuple[Measure | None, Made]] = OrderedDict()
        self._open_bytes = 0
        self._remade: dict[int, Made] = {}  # by id, under other settings than before

    # --- rows come -----------------------------------------------------------------------

    def take(self, part: ReferencePart) -> bool:
        """Take in rows; return whether they fit what came before.

        Row 0 begins a reference, in place of an earlier one of the same version and digest.
        """
        owner = self.owners.get(part.key)
        if part.row == 0:
            if owner is not None:
                self._drop([owner])
            owner = ReferenceOwner(
                self._next_id(), *part.key, part.backbone, part.time_us, part.rows
            )
            self.owners.add(owner)
            self._objects.add(owner.id, Kind.PARTIAL, Partial())
        elif owner is None:
            return False
        if part.row != owner.came or part.rows != owner.rows or part.rows > _ROWS_MAX:
            return self._refuse(owner)
        partial: Partial = self._objects.edit(owner.id, Kind.PARTIAL)
        if not partial.add(part, self._limits.reference_rows_max):
            return self._refuse(owner)
        owner.came += len(part)
        self.owners.touch(owner.key)
        if owner.is_complete:
            self._complete(owner, partial.whole())
        return True

    def _refuse(self, owner: ReferenceOwner) -> bool:
        if not owner.is_complete:
            self._drop([owner])
        return False

    def _complete(self, owner: ReferenceOwner, rows: ReferenceRows) -> None:
        self._objects.drop(owner.id, Kind.PARTIAL)
        self._objects.add(owner.id, Kind.REFERENCE_ROWS, rows)
        self._objects.add(owner.id, Kind.REFERENCE, self._made(rows, _origin(owner)))
        self._pool(owner, rows)

    def _made(self, rows: ReferenceRows, origin: Origin) -> Made:
        try:
            return Made(self._maker.key, self._maker.reference(rows, origin), None)
        except ValueError as error:
            return Made(self._maker.key, b"", str(error))

    def _pool(self, owner: ReferenceOwner, rows: ReferenceRows) -> None:
        if rows.embeddings is None:
            return
        pool = self.pools.get(owner.backbone)
        if pool is None:
            pool = PoolOwner(self._next_id(), owner.backbone)
            self.pools.add(pool)
            self._objects.add(pool.id, Kind.POOL, empty_pool(rows.embeddings.shape[1]))
        pool.references += 1
        self.pools.touch(pool.key)
        kept: Pool = self._objects.get(pool.id, Kind.POOL)
        more = kept.with_rows(_name(owner), owner.tenant, rows, self._limits.pool_rows)
        self._objects.put(pool.id, Kind.POOL, more)

    # --- versions are compared -----------------------------------------------------------

    def find(self, watched: Watched, digest: str, backbone: str) -> Found | None:
        """Return the reference of a version, or its backbone's pooled one; None: there is none."""
        own = self.owners.get((watched.tenant, watched.adapter, watched.version, digest))
        if own is not None and own.is_complete:
            failure = self._failure(own.id)
            return Found(own.id, "holdout", own.rows, own.made_us, own.backbone, failure)
        pool = self.pools.get(backbone)
        if pool is None or not pool.made_id:
            return None
        failure = self._failure(pool.made_id)
        return Found(pool.made_id, "pooled", pool.made_rows, pool.made_us, backbone, failure)

    def prepare(self, watched: Watched, digest: str, backbone: str, now_us: int) -> None:
        """See to it that a version without a reference finds a pooled one, if there can be one.

        It is made anew when the references that it is made of have doubled.
        """
        own = self.owners.get((watched.tenant, watched.adapter, watched.version, digest))
        pool = self.pools.get(backbone)
        if pool is None or (own is not None and own.is_complete):
            return
        if pool.made_of and pool.references < 2 * pool.made_of:
            return
        rows: Pool = self._objects.get(pool.id, Kind.POOL)
        if len(rows) < self._limits.pool_rows_min:
            return
        if pool.made_id:
            self._close(pool.made_id)
            self._objects.drop_owners([pool.made_id])
        pool.made_id, pool.made_of = self._next_id(), pool.references
        pool.made_us, pool.made_rows = now_us, len(rows)
        self.pools.touch(pool.key)
        reference = rows.reference()
        self._objects.add(pool.made_id, Kind.REFERENCE_ROWS, reference)
        self._objects.add(pool.made_id, Kind.REFERENCE, self._made(reference, _pooled(pool)))

    def measure(self, number: int) -> Measure | None:
        """Return a reference in use, by its id; None where nothing could be made of it."""
        return self._opened(number)[0]

    @property
    def key(self) -> str:
        """Return a digest of the settings that references depend on."""
        return self._maker.key

    def rows(self, number: int) -> ReferenceRows:
        """Return the rows of a reference, by its id."""
        rows: ReferenceRows = self._objects.get(number, Kind.REFERENCE_ROWS)
        return rows

    def _failure(self, number: int) -> str | None:
        opened = self._open.get(number)
        made: Made = opened[1] if opened else self._objects.get(number, Kind.REFERENCE)
        return made.failure

    def _opened(self, number: int) -> tuple[Measure | None, Made]:
        opened = self._open.get(number)
        if opened is not None:
            self._open.move_to_end(number)
            return opened
        made: Made = self._objects.get(number, Kind.REFERENCE)
        if made.judge != self._maker.key:
            made = self._made(self.rows(number), self._origin_of(number))
            self._remade[number] = made
        measure = None if made.failure is not None else self._maker.measure(made.data)
        self._open[number] = opened = measure, made
        self._open_bytes += len(made.data)
        while self._open_bytes > _OPEN_BYTES and len(self._open) > 1:
            self._open_bytes -= len(self._open.popitem(last=False)[1][1].data)
        return opened

    def _origin_of(self, number: int) -> Origin:
        for owner in self.owners:
            if owner.id == number:
                return _origin(owner)
        return next(_pooled(pool) for pool in self.pools if pool.made_id == number)

    # --- references go -------------------------------------------------------------------

    def forget(self, tenant: str) -> None:
        """Delete a tenant's references, and its rows in pooled ones."""
        theirs = [owner for owner in self.owners if owner.tenant == tenant]
        backbones = {owner.backbone for owner in theirs}
        self._drop(theirs)
        for pool in self.pools:
            rows: Pool = self._objects.get(pool.id, Kind.POOL)
            if pool.backbone in backbones or tenant in rows.tenants:
                self._refill(pool, rows.without(tenant))

    def _refill(self, pool: PoolOwner, rows: Pool) -> None:
        """Fill a pool up with rows of the references that are left; what was made of it goes."""
        left = [o for o in self.owners if o.backbone == pool.backbone and o.is_complete]
        rows = rows.taken(rows.hashes.argsort()[:0])
        for owner in left:
            rows = rows.with_rows(
                _name(owner), owner.tenant, self.rows(owner.id), self._limits.pool_rows
            )
        if pool.made_id:
            self._close(pool.made_id)
            self._objects.drop_owners([pool.made_id])
        pool.references, pool.made_of, pool.made_id, pool.made_rows = len(left), 0, 0, 0
        self.pools.touch(pool.key)
        self._objects.put(pool.id, Kind.POOL, rows)

    def evict(self, last_us: Callable[[ReferenceOwner], int]) -> None:
        """Delete references beyond the bound, of the tenants first that have most."""
        excess = len(self.owners) - self._limits.versions_max
        if excess > 0:
            count = excess + self._limits.versions_max // 64
            self._drop(leaving(self.owners, last_us, count))

    def settle(self) -> None:
        """Keep what was made anew because the settings changed; a reader may have asked for it."""
        for number, made in self._remade.items():
            self._objects.put(number, Kind.REFERENCE, made)
        self._remade.clear()

    def changes(self) -> Sequence[Moved]:
        """Return what a checkpoint writes of the directories."""
        return [self.owners.changes(), self.pools.changes()]

    def written(self) -> None:
        """Take note that the last `changes` are in the database."""
        self.owners.written()
        self.pools.written()

    def _drop(self, owners: Sequence[ReferenceOwner]) -> None:
        self._objects.drop_owners(owner.id for owner in owners)
        for owner in owners:
            self._close(owner.id)
            self.owners.drop(owner.key)

    def _close(self, number: int) -> None:
        self._remade.pop(number, None)
        opened = self._open.pop(number, None)
        if opened is not None:
            self._open_bytes -= len(opened[1].data)


def _name(owner: ReferenceOwner) -> str:
    return f"{owner.tenant}.{owner.adapter}.{owner.version} {owner.digest}"


def _origin(owner: ReferenceOwner) -> Origin:
    return Origin("holdout", *owner.key, owner.backbone, owner.made_us)


def _pooled(pool: PoolOwner) -> Origin:
    return Origin("pooled", "", "", 0, "", pool.backbone, pool.made_us)
