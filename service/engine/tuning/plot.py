"""A plot of trials as SVG, written by hand: a bar for each, longest first."""

from collections.abc import Sequence
from html import escape

from service.engine.tuning.setup import Setup
from service.engine.tuning.trial import Trial

_COLOURS = ("#0b7a99", "#c2571a", "#6b4fa0", "#3a7d34")
_REFUSED = "#b0b0b0"
_WIDTH, _LABELS, _ROW = 1040, 620, 20
_MOST = 40


def bars(trials: Sequence[Trial], chosen: Setup | None, title: str) -> str:
    """Return an SVG of the trials that ran: tokens a second, the chosen one in bold.

    Grey bars differ too much from fp32. At most `_MOST` are drawn, the fastest.
    """
    ran = sorted((t for t in trials if t.tokens_per_second), key=lambda t: -t.speed)[:_MOST]
    most = max((trial.speed for trial in ran), default=1.0)
    providers = sorted({trial.setup.provider for trial in ran})
    lines = [_text(8, 18, title, weight="bold")]
    for number, trial in enumerate(ran):
        top = 30 + number * _ROW
        colour = _COLOURS[providers.index(trial.setup.provider) % len(_COLOURS)]
        width = (_WIDTH - _LABELS - 110) * trial.speed / most
        weight = "bold" if trial.setup == chosen else "normal"
        bar = f'<rect x="{_LABELS}" y="{top + 3}" width="{width:.1f}" height="{_ROW - 6}"'
        lines += [
            _text(_LABELS - 8, top + 14, str(trial.setup), anchor="end", weight=weight),
            f'{bar} fill="{colour if trial.usable else _REFUSED}"/>',
            _text(_LABELS + width + 6, top + 14, f"{trial.speed:,.0f} tokens/s", weight=weight),
        ]
    height = 40 + len(ran) * _ROW
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}"'
        f' viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif" font-size="11">'
    )
    ground = f'<rect width="{_WIDTH}" height="{height}" fill="white"/>'
    return "\n".join([head, ground, *lines, "</svg>", ""])


def _text(x: float, y: float, words: str, *, anchor: str = "start", weight: str = "normal") -> str:
    return (
        f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">'
        f"{escape(words)}</text>"
    )
