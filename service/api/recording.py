"""From answers to events: what the log is told of every prediction and of every rollout."""

import asyncio
import logging
import math
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from datetime import datetime
from random import random
from threading import Lock
from typing import Protocol

from service.api.ports import Signing
from service.api.prediction import Asked, Figures, Given, Lot, Predicted
from service.api.sent_images import SentImage
from service.batching.answers import Answer, BatcherStatus
from service.engine.adapter import FloatArray
from service.engine.pixels import ImageFigures as PixelFigures
from service.engine.pixels import Pixels
from service.engine.tokens import Input, Text
from service.errors import StoreFull
from service.events.image_figures import ImageFigures, image_fingerprint
from service.events.ports import LogUnwritable
from service.events.predictions import IntArray, PredictionBlock, select
from service.events.records import DurableEvent, Quarantine, Reference, RolloutEvent
from service.events.text_figures import TextFigures, figures_of
from service.gate.rows import ReferenceRows, TextFacts
from service.metrics import Metrics
from service.registry.records import Named, Rollout, Route, TenantSettings, Version

_PATIENCE_S = 30.0

logger = logging.getLogger(__name__)


class Log(Protocol):
    """Keeps events; `service.events.log` has the real one."""

    def predictions(self, block: PredictionBlock) -> None:
        """Take prediction events; never blocks nor raises."""
        ...

    def append(self, events: Sequence[DurableEvent]) -> "Future[None]":
        """Write events; the future is done when they are on disk."""
        ...


class LoggedPredictions:
    """Gives the log what each tenant's settings let it keep."""

    def __init__(
        self,
        log: Log,
        signing: Signing,
        *,
        enabled: bool,
        audit_ratio: float,
        base_ratio: float = 0.0,
        random: Callable[[], float] = random,
        on_undecodable: Callable[[Route], object] = lambda _: None,
        on_failed: Callable[[Route, str, int], object] = lambda *_: None,
    ) -> None:
        """`base_ratio` is the share of what is logged that the bare backbone embeds too."""
        self._on_undecodable = on_undecodable
        self._on_failed = on_failed
        self._log = log
        self._signing = signing
        self._enabled = enabled
        self._audit_ratio = audit_ratio
        self._base_ratio = base_ratio
        self._random = random

    def measure(self, route: Route, inputs: Sequence[Input] | Sequence[Pixels]) -> Figures | None:
        """Return what the log tells of texts whose words it may not keep, or of images."""
        if not self._logs(route):
            return None
        key = self._signing.signer.fingerprint_key
        images = [each for each in inputs if isinstance(each, Pixels)]
        if images:
            return image_figures([image.figures for image in images], route.tenant, key)
        texts = [each for each in inputs if not isinstance(each, Pixels)]
        return figures_of(texts, route.tenant, key)

    def undecodable(self, route: Route) -> None:
        """Count an image that could not be decoded."""
        self._on_undecodable(route)

    def failed(self, route: Route, code: str, inputs: int) -> None:
        """Count a request that failed by our fault."""
        self._on_failed(route, code, inputs)

    def draw(self, route: Route, inputs: int) -> Lot:
        """Draw what is logged, and what of that the bare backbone embeds too.

        One draw decides both, so that nothing is embedded for a row that is not logged.
        """
        logged = route.settings.log
        base = self._base_ratio * logged.sample if logged.embedding else 0.0
        if not self._logs(route) or (logged.sample >= 1.0 and base <= 0.0):
            return Lot()
        draws = [self._random() for _ in range(inputs)]
        return Lot(draws, [row for row, drawn in enumerate(draws) if drawn < base])

    def predicted(self, asked: Asked, predicted: Predicted, base: FloatArray | None) -> None:
        """Log what a caller was answered."""
        route, answer = predicted.route, predicted.answer
        self._take(asked, predicted, route, answer, predicted.time_s, base)

    def shadowed(self, asked: Asked, live: Predicted, route: Route, answer: Answer) -> None:
        """Log what another version said of the same inputs, under the ids that the caller got.

        So a label that comes back for an answer tells of both versions.
        """
        self._take(asked, live, route, answer, time.time(), None)

    def _logs(self, route: Route) -> bool:
        return self._enabled and route.settings.log.sample > 0.0

    def _take(
        self,
        asked: Asked,
        told: Predicted,
        route: Route,
        answer: Answer,
        time_s: float,
        base: FloatArray | None,
    ) -> None:
        if not self._logs(route):
            return
        logged = route.settings.log
        texts: list[Text | None] = [
            None if isinstance(each, Pixels) else each for each in asked.tokens
        ]
        may_keep = logged.text and None not in texts
        tops: IntArray = answer.probabilities.argmax(axis=1)
        block = PredictionBlock(
            tenant=route.tenant,
            adapter=route.adapter,
            version=route.version,
            digest=answer.digest,
            backbone=told.backbone.digest,
            precision=told.backbone.precision,
            provider=told.backbone.provider,
            role=route.role,
            alone=route.alone,
            keyed=told.route.keyed,  # of a twin too
            revision=route.revision,
            time_s=time_s,
            ids=told.ids,
            request_id=asked.call.request_id,
            trace_id=asked.call.trace_id,
            class_index=tops,
            probabilities=answer.probabilities,
            embeddings=answer.embeddings if logged.embedding else None,
            base_embeddings=base,
            base_rows=None if base is None else asked.lot.base,
            tokens=[None if text is None else len(text) for text in texts],
            unknown=[None if text is None else text.unknown for text in texts],
            truncated=[None if text is None else text.truncated for text in texts],
            queue_s=answer.queue_s,
            compute_s=answer.compute_s,
            group=asked.group,
            audit=told.audits,
            audit_probability=self._audit_ratio,
            # Images are never logged, whatever a tenant lets be logged of texts.
            texts=[_text(item) for item in asked.inputs] if may_keep else None,
            labels=route.labels,
            figures=asked.figures if isinstance(asked.figures, TextFigures) else None,
            images=asked.figures if isinstance(asked.figures, ImageFigures) else None,
            trace=asked.call.trace,
        )
        if logged.sample < 1.0:
            kept = select(
                block,
                sample=logged.sample,
                embedding=logged.embedding,
                text=logged.text,
                draw=asked.lot.draws,
            )
            if kept is None:
                return
            block = kept
        self._log.predictions(block)


def _text(item: Given) -> str:
    assert not isinstance(item, SentImage), "only texts are kept"
    return item if isinstance(item, str) else "\n".join(item)


def image_figures(found: Sequence[PixelFigures], tenant: str, key: bytes) -> ImageFigures:
    """Return what the log tells of images."""
    return ImageFigures(
        [one.width for one in found],
        [one.height for one in found],
        [one.bytes for one in found],
        [one.brightness for one in found],
        [None if math.isnan(one.sharpness) else one.sharpness for one in found],
        [image_fingerprint(one.fingerprint, tenant, key) for one in found],
    )


class LoggedReferences:
    """Gives the log what a new version answered to its hold-out, before the version is told of."""

    def __init__(
        self,
        log: Log,
        status: Callable[[], BatcherStatus],
        settings_of: Callable[[str], TenantSettings],
        signing: Signing,
    ) -> None:
        """`settings_of` finds a tenant's settings in memory."""
        self._log = log
        self._status = status
        self._settings_of = settings_of
        self._signing = signing

    def keep(self, version: Version, rows: ReferenceRows) -> None:
        """Return once the reference is on disk; raise `StoreFull` where it cannot be."""
        engine = self._status()
        texts = [one if isinstance(one, TextFacts) else None for one in rows.facts]
        images = [one for one in rows.facts if not isinstance(one, TextFacts)]
        key = self._signing.signer.fingerprint_key
        may_embed = self._settings_of(version.tenant).log.embedding
        event = Reference(
            tenant=version.tenant,
            adapter=version.adapter,
            version=version.version,
            digest=version.digest,
            backbone=version.backbone,
            precision=engine.precision,
            provider=engine.provider,
            time_s=time.time(),
            labels=version.labels,
            class_index=rows.predicted,
            label_index=rows.correct,
            probabilities=rows.probabilities,
            embeddings=rows.embeddings if may_embed else None,
            base_embeddings=rows.base_embeddings if may_embed else None,
            tokens=[None if text is None else text.tokens for text in texts],
            unknown=[None if text is None else text.unknown for text in texts],
            truncated=[None if text is None else text.truncated for text in texts],
            images=image_figures(images, version.tenant, key) if images else None,
        )
        written = self._log.append([event])
        try:
            written.result(_PATIENCE_S)
        except (LogUnwritable, TimeoutError) as error:
            written.cancel()
            raise StoreFull("the version's reference cannot be written to the log") from error


class LoggedChanges:
    """Gives the log what the registry has already decided: rollouts and quarantines.

    Each waits for the disk, so that what a caller was told of is in the log too. They hold even
    where the log cannot take them; then they are owed to it, and come, in their order, with the
    next change or the next `settle`. A process that dies before takes them along.
    """

    def __init__(self, log: Log, metrics: Metrics, *, owed_max: int = 10_000) -> None:
        self._log = log
        self._metrics = metrics
        self._owed_max = owed_max  # beyond it the oldest are dropped, and counted
        self._owed: deque[DurableEvent] = deque()
        self._lock = Lock()

    def rolled(self, before: Rollout, after: Rollout, actor: str, at: str) -> None:
        """Log a rollout."""
        event = RolloutEvent(
            tenant=after.tenant,
            adapter=after.adapter,
            revision=after.revision,
            before=before.document() if before.revision else None,
            after=after.document(),
            actor=actor,
            time_s=datetime.fromisoformat(at).timestamp(),
            reason=after.reason or after.forced,
        )
        self._append([event])

    def quarantined(self, versions: Sequence[Named], reason: str) -> None:
        """Log that versions are out of service."""
        now_s = time.time()
        self._append(
            [
                Quarantine(one.tenant, one.adapter, one.version, one.digest, reason, now_s)
                for one in versions
            ]
        )

    @property
    def owed(self) -> int:
        """Return how many events the log has yet to take."""
        return len(self._owed)

    def settle(self) -> None:
        """Write what is owed, if the log takes it now."""
        with self._lock:
            before = self.owed
            self._write()
            if before and not self.owed:
                logger.warning("the event log has taken the %d changes that it lacked", before)

    async def keep_settling(self, every_s: float) -> None:
        """Settle at intervals, until cancelled."""
        while True:
            await asyncio.sleep(every_s)
            if self._owed:
                await asyncio.to_thread(self.settle)

    def close(self) -> None:
        """Settle for the last time."""
        self.settle()
        if self._owed:
            logger.error("the event log lacks %d changes that the registry holds", self.owed)

    def _append(self, events: Sequence[DurableEvent]) -> None:
        with self._lock:
            self._owed.extend(events)
            self._write()
            if self._owed:
                logger.error("the event log lacks %d changes; they are written later", self.owed)
            while self.owed > self._owed_max:
                self._owed.popleft()
                self._metrics.events_dropped("disk", 1)

    def _write(self) -> None:
        events = list(self._owed)
        if not events:
            return
        written = self._log.append(events)
        try:
            written.result(_PATIENCE_S)
        except LogUnwritable:
            return
        except TimeoutError:
            if written.cancel():
                return
            # It is being written by now: a second time would be once too often.
            written.add_done_callback(lambda late: self._end_late(late, len(events)))
        except ValueError:  # a bug of ours, which must not keep others out for ever
            self._metrics.events_dropped("invalid", len(events))
            logger.exception("changes that cannot be written to the event log")
        self._owed.clear()

    def _end_late(self, written: "Future[None]", count: int) -> None:
        if written.exception() is not None:
            self._metrics.events_dropped("disk", count)
            logger.error("the event log lacks %d changes that the registry holds", count)
