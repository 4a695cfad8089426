"""A trial: a version's hold-out, run on a bundle by itself, with the code that serves."""

import time
from collections.abc import Sequence

import numpy as np

from service.batching.jobs import pieces_of
from service.engine.adapter import Adapter, FloatArray
from service.engine.bundle import Bundle
from service.engine.errors import InvalidAdapter, Problem
from service.engine.feed import Lease
from service.engine.forward import Forward, Member
from service.engine.images.limits import Limits
from service.engine.images.preprocess import Preprocessor
from service.engine.pixels import Whole
from service.engine.runtime import OnnxRuntime
from service.engine.stream import answer_all
from service.engine.tokens import Tokeniser, Windowed
from service.engine.windows import Windows
from service.gate.inputs import HoldoutImages, HoldoutPreparer, HoldoutTexts
from service.gate.rows import Answers
from service.uploads.archive import HOLDOUT_FILE
from service.uploads.holdout import HoldoutRow


class Trial:
    """One bundle, opened to run hold-outs, one adapter after the other."""

    def __init__(self, bundle: Bundle, provider: str = "cpu", threads: int | None = None) -> None:
        """Open the bundle's graph; raise `ProviderUnavailable`."""
        self.bundle = bundle
        self._forward = Forward(bundle, OnnxRuntime(bundle, provider, slots=1, threads=threads))
        self._preparer: HoldoutPreparer
        if bundle.manifest.image is None:
            self._preparer = HoldoutTexts(Tokeniser(bundle))
        else:
            limits = Limits()  # what an upload of this size may hold was decided when it was taken
            self._preparer = HoldoutImages(Preprocessor(bundle, limits), limits)

    def run(
        self, rows: Sequence[HoldoutRow], adapter: Adapter | None, windows: Windows | None = None
    ) -> Answers:
        """Return what the adapter answers to the rows; None: the bare backbone, which only embeds.

        Raises `InvalidAdapter` where a number is not finite.
        """
        member = Member(None, Lease(0, 0))
        if adapter is not None:
            member = Member(adapter, self._forward.runtime.write(1, adapter))
        probabilities: list[FloatArray] = []
        embeddings: list[FloatArray] = []
        seconds: list[float] = []
        for piece in self._preparer.pieces(rows, windows):
            prepared = piece.prepare()
            begun = time.monotonic()
            for row, embedding in self._answers(prepared, member):
                probabilities.append(row)
                embeddings.append(embedding)
            seconds.append((time.monotonic() - begun) / len(prepared))
        return Answers(np.stack(probabilities), np.stack(embeddings), tuple(seconds))

    def _answers(
        self, texts: Sequence[Whole], member: Member
    ) -> list[tuple[FloatArray, FloatArray]]:
        """Return probabilities and embedding of each text, in order."""
        pieces = [piece for text in texts for piece in pieces_of(text)]
        answered = answer_all(self._forward, pieces, [0] * len(pieces), [member])
        rows = iter(answered.rows)
        found: list[tuple[FloatArray, FloatArray]] = []
        for text in texts:
            own = [next(rows) for _ in pieces_of(text)]
            if any(piece.probabilities is None for piece in own):
                raise _not_finite()
            row, embedding = own[0].probabilities, own[0].embedding
            if isinstance(text, Windowed):
                row, embedding = self._forward.conclude(
                    member,
                    np.stack([piece.pooled for piece in own]),
                    np.stack([piece.embedding for piece in own]),
                    list(map(len, text.windows)),
                )
            if row is None:
                raise _not_finite()
            found.append((row, embedding))
        return found


def _not_finite() -> InvalidAdapter:
    what = "has a text for which the adapter gives inf or NaN on this bundle"
    return InvalidAdapter([Problem(HOLDOUT_FILE, what)])
