"""Tenants with traffic to order: classes that are clusters, confidences that mean what they say.

    tenant = Tenant("acme", seed=1)
    tenant.publish(log, time_s=DAY_S)
    sent = tenant.send(log, 60, time_s=DAY_S + 60, foreign=0.5)
    sent.label(log, time_s=DAY_S + 3600, share=0.5)

What may change on order: the content (`foreign`), the mix of classes, what labels say.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.fakes.logs import Version, WrittenLog

HIDDEN = 32
LABELS = ("refund", "delivery", "invoice", "other")
_SPREAD = 0.16  # of a coordinate

Array = npt.NDArray[Any]


@dataclass(frozen=True, slots=True)
class Drawn:
    """Rows of a tenant."""

    truth: Array  # [n]
    embeddings: Array  # [n, hidden] float32
    base: Array  # [n, hidden] float32
    probabilities: Array  # [n, classes] float32


@dataclass(frozen=True, slots=True)
class Sent:
    """Predictions that were logged, and what is true."""

    ids: list[str]
    truth: Array

    def label(
        self, log: WrittenLog, *, time_s: float, share: float = 1.0, right: float | None = None
    ) -> int:
        """Log labels of the first so many; with `right`, so many are, whatever is true.

        Returns how many labels that were.
        """
        count = round(share * len(self.ids))
        truths = self.truth[:count].tolist()
        if right is not None:
            tops = [log.by_id[name].class_index for name in self.ids[:count]]
            wrong = round((1 - right) * count)
            truths = [(top + (place < wrong)) % len(LABELS) for place, top in enumerate(tops)]
        if count:
            log.labels(list(zip(self.ids[:count], truths, strict=True)), time_s=time_s)
        return count


class Tenant:
    """A tenant's adapter in one version; versions of one tenant see the same inputs."""

    def __init__(self, name: str, *, seed: int, version: int = 1, hidden: int = HIDDEN) -> None:
        self.name = name
        self.version = Version(tenant=name, version=version, labels=LABELS)
        self._random = np.random.default_rng([seed, version])
        self._centres = _centres(seed, hidden)
        self._base_centres = _centres(seed + 1000, hidden)

    def draw(
        self,
        n: int,
        *,
        mix: Sequence[float] | None = None,
        foreign: float = 0.0,
        base_foreign: float | None = None,
    ) -> Drawn:
        """Return rows at a mix of classes, of which a share is of another world.

        `base_foreign` is the share in the bare backbone's embeddings: the same, unless given.
        """
        random = self._random
        classes = random.choice(len(LABELS), n, p=mix)
        strange = random.random(n)
        other = foreign if base_foreign is None else base_foreign
        confidence = random.uniform(0.7, 0.98, n)
        probabilities = np.repeat(((1 - confidence) / (len(LABELS) - 1))[:, None], 4, axis=1)
        probabilities[np.arange(n), classes] = confidence
        wrong = (classes + random.integers(1, len(LABELS), n)) % len(LABELS)
        return Drawn(
            truth=np.where(random.random(n) < confidence, classes, wrong),
            embeddings=self._placed(np.where(strange < foreign, -1, classes), self._centres),
            base=self._placed(np.where(strange < other, -1, classes), self._base_centres),
            probabilities=probabilities.astype(np.float32),
        )

    def _placed(self, places: Array, centres: Array) -> Array:
        raw = centres[places] + _SPREAD * self._random.standard_normal(
            (len(places), len(centres[0]))
        )
        unit: Array = (raw / np.linalg.norm(raw, axis=1, keepdims=True)).astype(np.float32)
        return unit

    def publish(
        self, log: WrittenLog, *, time_s: float, rows: int = 500, embedded: bool = True
    ) -> None:
        """Log a hold-out."""
        drawn = self.draw(rows)
        log.reference(
            drawn.embeddings if embedded else None,
            drawn.probabilities,
            time_s=time_s,
            truth=drawn.truth,
            version=self.version,
            base=drawn.base if embedded else None,
        )

    def send(
        self,
        log: WrittenLog,
        n: int,
        *,
        time_s: float,
        embedded: bool = True,
        based: bool = False,
        role: str = "live",
        ids: list[str] | None = None,
        group: str | None = None,
        mix: Sequence[float] | None = None,
        foreign: float = 0.0,
        base_foreign: float | None = None,
        **others: Any,
    ) -> Sent:
        """Log predictions; `others` are fields of a `PredictionBlock`."""
        drawn = self.draw(n, mix=mix, foreign=foreign, base_foreign=base_foreign)
        names = log.predictions(
            drawn.embeddings if embedded else None,
            drawn.probabilities,
            time_s=time_s,
            version=self.version,
            role=role,
            ids=ids,
            base=drawn.base if based else None,
            group=group,
            **others,
        )
        return Sent(names, drawn.truth)


def _centres(seed: int, hidden: int) -> Array:
    """Return where classes lie, [classes + 1, hidden]; the last is another world."""
    raw = np.random.default_rng([seed, 7]).standard_normal((len(LABELS) + 1, hidden))
    centres: Array = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    return centres
