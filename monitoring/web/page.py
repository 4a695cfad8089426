"""The page: HTML, style and script of `page/`, put together into one document.

Nothing in it comes from elsewhere, and its policy names the only style and the only script by
their digests: what is injected in spite of escaping does nothing. Reports are never in the page
that is served; a static one carries them as JSON, which no browser executes.
"""

import base64
import hashlib
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files

import msgspec

_STYLES = (
    "ground.css",
    "states.css",
    "fleet.css",
    "adapter.css",
    "drawings.css",
    "screens.css",
)
_SCRIPTS = (
    "format.js",
    "elements.js",
    "source.js",
    "scales.js",
    "figures.js",
    "timeline.js",
    "shares.js",
    "reliability.js",
    "projection.js",
    "fleet.js",
    "adapter.js",
    "sections.js",
    "main.js",
)
# JSON within HTML: nothing in it may end the element that holds it, nor a line of a script.
_ESCAPES = {
    "<": "\\u003c",
    ">": "\\u003e",
    "&": "\\u0026",
    "\u2028": "\\u2028",
    "\u2029": "\\u2029",
}


@dataclass(frozen=True, slots=True)
class Page:
    """A page and what a browser may do with it."""

    html: str
    policy: str  # Content-Security-Policy


@lru_cache(maxsize=1)
def live_page() -> Page:
    """Return the page that asks for its reports."""
    policy = _policy("connect-src 'self'", "frame-ancestors 'none'")
    return Page(_assembled(data="null", head=""), policy)


def static_page(data: object) -> str:
    """Return a page that has its reports in it and asks for nothing; a file of its own."""
    text = msgspec.json.encode(data).decode()
    for character, escape in _ESCAPES.items():
        text = text.replace(character, escape)
    head = f'<meta http-equiv="Content-Security-Policy" content="{_policy()}">\n'
    return _assembled(data=text, head=head)


def _assembled(data: str, head: str) -> str:
    frame, style, script = _parts()
    before, between, after, end = _split(frame)
    return "".join((before, head, between, style, after, data, end.replace("{{script}}", script)))


def _split(frame: str) -> list[str]:
    parts = [frame]
    for place in ("{{head}}", "{{style}}", "{{data}}"):
        before, found, after = parts.pop().partition(place)
        assert found, f"the page has a place for {place}"
        parts += [before, after]
    return parts


@lru_cache(maxsize=1)
def _parts() -> tuple[str, str, str]:
    folder = files("monitoring.web") / "page"

    def joined(names: tuple[str, ...]) -> str:
        return "\n".join((folder / name).read_text("utf-8") for name in names)

    script = f'"use strict";\n(() => {{\n{joined(_SCRIPTS)}\n}})();\n'
    assert "</script" not in script.lower(), "the script would end in the middle"
    return joined(("frame.html",)), joined(_STYLES), script


def _policy(*more: str) -> str:
    _, style, script = _parts()
    rules = (
        "default-src 'none'",
        f"script-src 'sha256-{_digest(script)}'",
        f"style-src 'sha256-{_digest(style)}'",
        "img-src data:",
        "base-uri 'none'",
        "form-action 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
        *more,
    )
    return "; ".join(rules)


def _digest(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode()).digest()).decode("ascii")
