"""What the model card, the command and its JSON say of the precisions of a bundle."""

from collections.abc import Iterator

from service.engine.bundle import Manifest, Measured

_COLUMNS = (
    "precision",
    "on",
    "",
    "probability error, worst and mean",
    "labels that agree",
    "accuracy (fp32)",
    "ECE (fp32)",
    "embedding error",
    "alone and mixed",
    "tokens/s",
    "one input, ms",
)


def precision_section(manifest: Manifest) -> str:
    """Return the card's section on precisions; nothing where fp32 is the only one."""
    lines = list(_lines(manifest))
    if not lines:
        return ""
    reasons = [
        f"- `{name}` was not shipped: {'; '.join(each.reasons)}"
        for name, each in sorted(manifest.refused.items())
    ]
    head = [
        "## Precisions",
        "",
        f"Against fp32 on the CPU, adapters switched in and mixed, on {_data(manifest)}:",
        "",
        _row(_COLUMNS),
        _row(["---"] * len(_COLUMNS)),
    ]
    return "\n".join([*head, *lines, *([""] if reasons else []), *reasons]) + "\n"


def precision_lines(manifest: Manifest) -> list[str]:
    """Return a line for people on each precision that was made, shipped or not."""
    words = []
    for name, provider, found, verdict in _all(manifest):
        accuracy = "" if found.accuracy is None else f", accuracy {_pair(found, 'accuracy')}"
        words.append(
            f"{name} on {provider}, {verdict}: labels agree {found.label_agreement:.1%},"
            f" probabilities within {found.max_probability_error:.1e}{accuracy},"
            f" {found.tokens_per_second:,.0f} tokens/s"
        )
    for name, each in sorted(manifest.refused.items()):
        words.append(f"{name} is not in the bundle: {'; '.join(each.reasons)}")
    return words


def precision_document(manifest: Manifest) -> dict[str, object]:
    """Return every precision beside fp32 for the command's JSON."""
    shipped = {
        name: {
            "shipped": True,
            "reasons": [],
            "measured": {p: m.model_dump(mode="json") for p, m in variant.measured.items()},
        }
        for name, variant in manifest.variants.items()
        if name != "fp32"
    }
    refused = {
        name: {"shipped": False, **each.model_dump(mode="json")}
        for name, each in manifest.refused.items()
    }
    return {**shipped, **refused}


def _all(manifest: Manifest) -> Iterator[tuple[str, str, Measured, str]]:
    for name, variant in sorted(manifest.variants.items()):
        for provider, found in sorted(variant.measured.items()):
            yield name, provider, found, "shipped"
    for name, refused in sorted(manifest.refused.items()):
        for provider, found in sorted(refused.measured.items()):
            yield name, provider, found, "passed here" if found.passed else "REFUSED"


def _lines(manifest: Manifest) -> Iterator[str]:
    for name, provider, found, verdict in _all(manifest):
        yield _row(
            (
                name,
                provider,
                verdict,
                f"{found.max_probability_error:.1e}, {found.mean_probability_error:.1e}",
                f"{found.label_agreement:.2%}",
                _pair(found, "accuracy"),
                _pair(found, "calibration_error"),
                f"{found.max_embedding_error:.1e}",
                f"{found.max_neighbour_error:.1e}",
                f"{found.tokens_per_second:,.0f}",
                f"{found.milliseconds:.2f}",
            )
        )


def _data(manifest: Manifest) -> str:
    found = next(each for _, _, each, _ in _all(manifest))
    return f"{found.inputs:,} inputs of {found.data}, {found.adapters} adapters"


def _pair(found: Measured, figure: str) -> str:
    mine, theirs = getattr(found, figure), getattr(found, f"{figure}_fp32")
    if mine is None or theirs is None:
        return "not measured"
    return f"{mine:.4f} ({theirs:.4f})"


def _row(cells: tuple[str, ...] | list[str]) -> str:
    return "| " + " | ".join(cells) + " |"
