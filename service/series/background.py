"""Series of what goes on beside answers: shadows, labels, the registry's poll, usage."""

from typing import Literal, get_args

from service.series.families import Families

ShadowOutcome = Literal["answered", "dropped", "failed"]
LabelOutcome = Literal["accepted", "refused"]


class BackgroundSeries:
    """Texts that nobody waits for, labels that come back, and what other processes changed."""

    def __init__(self, families: Families) -> None:
        self._shadow_texts = families.counter(
            "shadow_texts",
            "Texts for shadow versions; `dropped`: for want of room, `failed`: by their adapter.",
            ("outcome",),
        )
        self._base_embeddings = families.counter(
            "base_embeddings",
            "Texts that the bare backbone was to answer beside an adapter, by what came of it.",
            ("outcome",),
        )
        for outcome in get_args(ShadowOutcome):
            self._shadow_texts.labels(outcome)
            self._base_embeddings.labels(outcome)
        self._labels = families.counter(
            "feedback_labels", "Labels that came back, accepted or refused.", ("outcome",)
        )
        for outcome in get_args(LabelOutcome):
            self._labels.labels(outcome)
        self._refreshes = families.counter(
            "registry_refreshes", "Changes of other processes that this one took over."
        )
        self._registry_failures = families.counter(
            "registry_poll_failures", "Times that the registry could not be asked for changes."
        )
        self._usage_failures = families.counter(
            "usage_flush_failures", "Times that usage could not be written down; it is kept."
        )

    def shadowed(self, texts: int, outcome: ShadowOutcome) -> None:
        """Count texts that a shadow version answered, or did not."""
        self._shadow_texts.labels(outcome).inc(texts)

    def base_embedded(self, texts: int, outcome: ShadowOutcome) -> None:
        """Count texts that the bare backbone answered for the log, or did not."""
        self._base_embeddings.labels(outcome).inc(texts)

    def labelled(self, accepted: int, refused: int) -> None:
        """Count labels that came back."""
        self._labels.labels("accepted").inc(accepted)
        self._labels.labels("refused").inc(refused)

    def refreshed(self) -> None:
        """Count a change of another process that was taken over."""
        self._refreshes.inc()

    def poll_failed(self) -> None:
        """Count a time that the registry could not be asked."""
        self._registry_failures.inc()

    def usage_failed(self) -> None:
        """Count a time that usage could not be written down."""
        self._usage_failures.inc()
