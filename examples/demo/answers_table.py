"""Who was answered what: a few texts of the test splits, in the order in which they were sent."""

from collections.abc import Sequence

from examples.demo.adapters import Trained
from examples.demo.traffic import Reply

COLUMNS = ("tenant", "~text", "answer", ">score", "", "adapter")
_TEXT_MAX = 56
_DIGEST = slice(7, 15)


def answer_rows(
    adapters: Sequence[Trained], replies: Sequence[Reply], count: int
) -> list[tuple[str, ...]]:
    """Return the first `count` replies to texts that no training saw, as cells."""
    rows: list[tuple[str, ...]] = []
    for reply in replies:
        trained = adapters[reply.question.business]
        if reply.question.row >= len(trained.test):
            continue
        if len(rows) == count:
            break
        example = trained.test[reply.question.row]
        verdict = "right" if reply.label == example.label else f"is {example.label}"
        score = f"{reply.scores[reply.label]:.2f}"
        digest = f"{reply.digest[_DIGEST]} v{reply.version}"
        rows.append((reply.tenant, _cut(example.text), reply.label, score, verdict, digest))
    return rows


def _cut(text: str) -> str:
    return text if len(text) <= _TEXT_MAX else f"{text[: _TEXT_MAX - 1].rstrip()}…"
