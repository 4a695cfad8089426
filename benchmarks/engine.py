"""The engine driven directly: plan, feed, run, heads, on one thread, with nothing around it."""

from collections.abc import Sequence
from dataclasses import dataclass

from threadpoolctl import threadpool_limits

from service.engine.adapter import Adapter
from service.engine.bundle import Bundle
from service.engine.forward import Answered, Forward, Member
from service.engine.packing import Plan, Shape, plan
from service.engine.pixels import Prepared
from service.engine.providers import runnable
from service.engine.runtime import OnnxRuntime
from service.engine.tokens import Tokens
from service.engine.tuning.choice import AUTO, Chooser

_SLOTS = 32  # of the bank that the provider is chosen with


@dataclass(frozen=True, slots=True)
class Streamed:
    """What a stream of texts took."""

    texts: int
    tokens: int
    passes: int
    places: int  # for tokens, filled or not


def chosen_provider(bundle: Bundle, wanted: str) -> str:
    """Return the provider to measure: as asked for, or the fastest here."""
    return Chooser(bundle, None, _SLOTS).choose().provider if wanted == AUTO else wanted


def variant_on(bundle: Bundle, provider: str) -> str:
    """Return the variant to measure on a provider: its bf16 where the bundle has it, else fp32.

    The same for every bundle of one comparison, also where another variant would be faster.
    """
    return "bf16" if ("bf16", provider) in runnable(bundle) else "fp32"


class Engine:
    """One bundle on one provider, its adapters written into slots 1 to n."""

    def __init__(
        self, bundle: Bundle, adapters: Sequence[Adapter], provider: str, threads: int | None = None
    ) -> None:
        threadpool_limits(limits=1, user_api="blas")  # as `service.batching.assembly` does
        variant = variant_on(bundle, provider)
        runtime = OnnxRuntime(
            bundle, provider, slots=len(adapters), threads=threads, variant=variant
        )
        self.runtime = runtime
        self.forward = Forward(bundle, runtime)
        self.members = [
            Member(adapter, runtime.write(slot, adapter))
            for slot, adapter in enumerate(adapters, 1)
        ]
        runtime.warm(lambda *_: None)

    def plan(self, texts: Sequence[Prepared], numbers: Sequence[int]) -> Plan:
        """Return the next pass for waiting texts, oldest first."""
        lengths = [len(text) for text in texts]
        return plan(lengths, numbers, self.runtime.grid, len(self.members))

    def answer(self, texts: Sequence[Prepared], numbers: Sequence[int]) -> Answered:
        """Plan one pass and run it; `numbers[i]` is the adapter of `texts[i]`."""
        return self.forward.run(self.plan(texts, numbers), texts, numbers, self.members)

    def answer_all(self, texts: Sequence[Prepared], numbers: Sequence[int]) -> int:
        """Answer texts that fit one pass; return their tokens."""
        answered = self.answer(texts, numbers)
        assert len(answered.indices) == len(texts), "the texts did not fit one pass"
        return answered.tokens

    def stream(
        self, texts: Sequence[Tokens], numbers: Sequence[int], in_flight: int = 64
    ) -> Streamed:
        """Answer all texts in order of arrival, `in_flight` of them waiting at any time."""
        waiting = list(range(min(in_flight, len(texts))))
        following = len(waiting)
        passes = tokens = places = 0
        while waiting:
            here = [texts[i] for i in waiting]
            whose = [numbers[i] for i in waiting]
            planned = self.plan(here, whose)
            answered = self.forward.run(planned, here, whose, self.members)
            passes += 1
            tokens += answered.tokens
            places += planned.shape.capacity
            gone = set(answered.indices)
            waiting = [text for at, text in enumerate(waiting) if at not in gone]
            more = min(in_flight - len(waiting), len(texts) - following)
            waiting += range(following, following + more)
            following += more
        return Streamed(len(texts), tokens, passes, places)

    def stream_padded(
        self, texts: Sequence[Tokens], numbers: Sequence[int], batch: int, lengths: Sequence[int]
    ) -> Streamed:
        """Answer all texts as a padding batcher does: one text a row, `batch` rows a pass.

        A row is as long as the batch's longest text, rounded up to the next of `lengths`.
        """
        passes = tokens = places = 0
        for start in range(0, len(texts), batch):
            here = texts[start : start + batch]
            longest = max(map(len, here))
            row = min((n for n in lengths if n >= longest), default=longest)
            planned = Plan(Shape(len(here), row), tuple((i,) for i in range(len(here))))
            whose = numbers[start : start + batch]
            answered = self.forward.run(planned, here, whose, self.members)
            passes += 1
            tokens += answered.tokens
            places += planned.shape.capacity
        return Streamed(len(texts), tokens, passes, places)
