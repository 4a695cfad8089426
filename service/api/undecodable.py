"""Images that could not be decoded, for the log: counted here, and told now and then.

They are no predictions, and whoever sends rubbish sends much of it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import random

from service.api.tally import Log, Tally
from service.events.predictions import Role
from service.events.records import Undecodable
from service.metrics import Metrics
from service.registry.records import Route


@dataclass(frozen=True, slots=True)
class _Of:
    tenant: str
    adapter: str
    version: int
    digest: str
    role: Role


class UndecodableImages(Tally[_Of]):
    """Counts them by version and role; for one event loop."""

    def __init__(
        self,
        log: Log,
        metrics: Metrics,
        backbone: str,
        *,
        enabled: bool,
        random: Callable[[], float] = random,
    ) -> None:
        """`backbone` is the bundle's digest; where not `enabled`, the log is told nothing."""

        def event(of: _Of, count: int, now_s: float) -> Undecodable:
            return Undecodable(
                of.tenant, of.adapter, of.version, of.digest, backbone, of.role, count, now_s
            )

        super().__init__(log, metrics, event)
        self._enabled = enabled
        self._random = random

    def note(self, route: Route) -> None:
        """Count an image of a request that was routed there."""
        self._metrics.undecodable(route.tenant)
        # As many in a hundred as of predictions, so that shares of both together are right.
        if self._enabled and self._random() < route.settings.log.sample:
            self.count(_Of(route.tenant, route.adapter, route.version, route.digest, route.role))
