"""A setup: everything that is chosen for one machine, and can be written down and read again."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from service.engine.bundle import Bundle
from service.engine.execution.provider import DeviceOptions, Shaping
from service.engine.processor import processors
from service.engine.providers import PROVIDERS
from service.engine.runtime import OnnxRuntime


@dataclass(frozen=True, slots=True)
class Setup:
    """Which variant runs where, on how many threads, in which shapes."""

    variant: str
    provider: str
    threads: int
    shaping: Shaping

    def open(self, bundle: Bundle, slots: int, device: DeviceOptions) -> OnnxRuntime:
        """Open it; raise `ProviderUnavailable` or `InvalidBundle`."""
        return OnnxRuntime(
            bundle,
            self.provider,
            slots,
            self.threads,
            self.variant,
            shaping=self.shaping,
            device=device,
        )

    def document(self) -> dict[str, object]:
        """Return it as JSON has it."""
        layout = self.shaping.layout
        return {
            "variant": self.variant,
            "provider": self.provider,
            "threads": self.threads,
            "block_tokens": layout.block_tokens,
            "column_step": layout.column_step,
            "row_counts": list(self.shaping.row_counts),
            "token_budget": self.shaping.token_budget,
        }

    def __str__(self) -> str:
        layout, rows = self.shaping.layout, self.shaping.row_counts
        return (
            f"{self.variant} on {self.provider}, {self.threads} threads,"
            f" {self.shaping.token_budget} tokens a pass, rows"
            f" {', '.join(map(str, rows))}, blocks of {layout.block_tokens},"
            f" columns by {layout.column_step}"
        )


def default_setup(variant: str, provider: str, threads: int | None = None) -> Setup:
    """Return the provider's own shapes; `threads` of None means every processor."""
    return Setup(variant, provider, threads or processors(), PROVIDERS[provider].shaping)


def read_setup(document: Mapping[str, object]) -> Setup:
    """Return the setup that `document` describes.

    Raises `KeyError`, `TypeError` or `ValueError` where it is none.
    """
    provider = PROVIDERS[str(document["provider"])]
    rows = document["row_counts"]
    if not isinstance(rows, list):
        raise TypeError("row_counts is a list")
    layout = replace(
        provider.shaping.layout,
        block_tokens=_positive(document["block_tokens"]),
        column_step=_positive(document["column_step"]),
    )
    shaping = Shaping(
        layout, tuple(_positive(n) for n in rows), _positive(document["token_budget"])
    )
    threads = _positive(document["threads"])
    return Setup(str(document["variant"]), provider.name, threads, shaping)


def _positive(value: object) -> int:
    if not isinstance(value, int) or value < 1:
        raise ValueError(f"{value!r} is no positive whole number")
    return value
