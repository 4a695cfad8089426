"""One forward pass from planned texts to probabilities, and what to do when a number breaks.

A pass shares rows between tenants. Masks select, so a neighbour's large numbers stay its own, but
inf and NaN can still cross a matrix product (0 * inf). So when any output of a pass is not finite,
every text of it is run again alone: the neighbours then get their right answers, and an adapter
that is not finite alone is named as the cause.

Of a window of a longer text a pass gives the pooled state and no probabilities. Its windows may
take different passes; `conclude` makes the text's answer of all of them.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle
from service.engine.feed import Feed, Lease, make_feed
from service.engine.heads import Heads
from service.engine.image_feed import ImageFeed, make_image_feed
from service.engine.packing import Plan, plan
from service.engine.pixels import Pixels, Prepared
from service.engine.runtime import Output, Runtime
from service.engine.tokens import Tokens, Window
from service.engine.windows import pooled_over

_NO_LABELS: FloatArray = np.empty(0, dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Member:
    """An adapter that takes part in a pass, and where it lies in the bank; None: the backbone."""

    adapter: Adapter | None
    lease: Lease

    @property
    def digest(self) -> str | None:
        """Return the adapter's digest, if it is one."""
        return None if self.adapter is None else self.adapter.digest


@dataclass(frozen=True, slots=True)
class Answered:
    """What a pass gives, in the plan's order of texts."""

    indices: tuple[int, ...]  # the planned text that each answer belongs to
    # [labels], none for the bare backbone and for windows; None: the text alone is not finite
    probabilities: list[FloatArray | None]
    embeddings: FloatArray  # [texts, hidden]
    pooled: FloatArray  # [texts, pooled], what the head takes
    tokens: int
    poisonous: frozenset[str]  # digests whose texts were not finite alone
    reruns: int  # texts that were run again alone


class Forward:
    """Runs planned passes on one runtime with one bundle's heads."""

    def __init__(self, bundle: Bundle, runtime: Runtime) -> None:
        self._heads = Heads(bundle)
        self._pooling = bundle.manifest.head.pooling
        self._offset = bundle.manifest.position_offset
        self.runtime = runtime

    def run(
        self,
        planned: Plan,
        texts: Sequence[Prepared],
        numbers: Sequence[int],
        members: Sequence[Member],
    ) -> Answered:
        """Run one pass; `texts` and `numbers` (into `members`) are indexed as in the plan."""
        indices = tuple(planned.placed)
        output, tokens = self._pass(planned, texts, numbers, members)
        placed = [texts[i] for i in indices]
        probabilities = self._answer(output, placed, [numbers[i] for i in indices], members)
        embeddings, pooled = output.embedding, output.pooled
        broken = not (output.finite and all(np.isfinite(p).all() for p in probabilities))
        if not broken:
            kept: list[FloatArray | None] = list(probabilities)
            return Answered(indices, kept, embeddings, pooled, tokens, frozenset(), 0)
        alone: list[FloatArray | None] = []
        poisonous = set()
        for at, index in enumerate(indices):
            row, single = self._alone(texts[index], members[numbers[index]])
            alone.append(row)
            embeddings[at], pooled[at] = single.embedding[0], single.pooled[0]
            digest = members[numbers[index]].digest
            if row is None and digest is not None:
                poisonous.add(digest)
        reruns = len(indices)
        return Answered(indices, alone, embeddings, pooled, tokens, frozenset(poisonous), reruns)

    def conclude(
        self, member: Member, pooled: FloatArray, embeddings: FloatArray, lengths: Sequence[int]
    ) -> tuple[FloatArray | None, FloatArray]:
        """Return a text's probabilities [labels] and embedding [hidden], from its windows.

        `pooled` [windows, pooled], `embeddings` [windows, hidden], `lengths` in tokens. The head
        sees one pooled state, the mean of the windows'. Probabilities are none for the bare
        backbone, and None where they are not finite.
        """
        embedding = pooled_over(embeddings, lengths, "mean")
        if member.adapter is None:
            return _NO_LABELS, embedding
        state = pooled_over(pooled, lengths, self._pooling)
        (row,) = self._heads.probabilities(state[np.newaxis], [(member.adapter, [0])])[0]
        return (row if np.isfinite(row).all() else None), embedding

    def _alone(self, text: Prepared, member: Member) -> tuple[FloatArray | None, Output]:
        single = plan([len(text)], [0], self.runtime.grid, 1)
        output, _ = self._pass(single, [text], [0], [member])
        row = self._answer(output, [text], [0], [member])[0]
        finite = output.finite and bool(np.isfinite(row).all())
        return (row if finite else None), output

    def _pass(
        self,
        planned: Plan,
        texts: Sequence[Prepared],
        numbers: Sequence[int],
        members: Sequence[Member],
    ) -> tuple[Output, int]:
        feed = self._feed(planned, texts, numbers, [member.lease for member in members])
        output = self.runtime.run(feed)
        count = sum(map(len, planned.rows))
        return Output(output.pooled[:count], output.embedding[:count]), feed.tokens

    def _feed(
        self,
        planned: Plan,
        inputs: Sequence[Prepared],
        numbers: Sequence[int],
        leases: Sequence[Lease],
    ) -> Feed | ImageFeed:
        layout = self.runtime.layout
        images = [each for each in inputs if isinstance(each, Pixels)]
        if not images:
            texts = [each for each in inputs if isinstance(each, Tokens)]
            return make_feed(planned, texts, numbers, leases, self._offset, layout)
        assert len(images) == len(inputs), "a backbone takes texts or images"
        return make_image_feed(planned, images, numbers, leases, layout)

    def _answer(
        self,
        output: Output,
        texts: Sequence[Prepared],
        numbers: Sequence[int],
        members: Sequence[Member],
    ) -> list[FloatArray]:
        """Return each text's probabilities [labels], in their order."""
        rows_of: dict[int, list[int]] = {}
        for row, number in enumerate(numbers):
            if type(texts[row]) is not Window:
                rows_of.setdefault(number, []).append(row)
        groups = [
            (adapter, rows)
            for number, rows in rows_of.items()
            if (adapter := members[number].adapter) is not None
        ]
        found: list[FloatArray] = [_NO_LABELS] * len(numbers)
        spread = self._heads.probabilities(output.pooled, groups) if groups else []
        for (_, rows), block in zip(groups, spread, strict=True):
            for row, answer in zip(rows, block, strict=True):
                found[row] = answer
        return found
