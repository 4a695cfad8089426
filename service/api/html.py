"""Pages without anything from elsewhere: one style, no script, every text escaped."""

import html
from collections.abc import Iterable, Sequence

from starlette.responses import Response

# No script, no image, no font and no frame: what is injected in spite of escaping does nothing.
_POLICY = (
    "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none';"
    " form-action 'none'"
)
_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; margin: 2rem auto; max-width: 62rem; padding: 0 1rem;
  color: #1c2430; background: #fff }
h1 { font-size: 1.5rem } h2 { font-size: 1.15rem; margin-top: 2.2rem } h3 { font-size: 1rem }
code, pre { font: 13px/1.5 ui-monospace, monospace; background: #f2f4f7; border-radius: 4px }
code { padding: .1em .3em; overflow-wrap: anywhere } pre { padding: .8rem; overflow-x: auto }
pre code { padding: 0; overflow-wrap: normal }
table { border-collapse: collapse; width: 100% }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0;
  border-bottom: 1px solid #dde2ea }
details { border: 1px solid #dde2ea; border-radius: 6px; margin: .5rem 0; padding: .5rem .8rem }
summary { cursor: pointer } .method { display: inline-block; min-width: 4.2rem; font-weight: 600 }
.quiet { color: #5b6675 }
@media (prefers-color-scheme: dark) { body { color: #dfe5ee; background: #14181f }
  code, pre { background: #222934 } th, td, details { border-color: #323b48 }
  .quiet { color: #9aa5b4 } a { color: #8ab4f8 } }
"""


def page(title: str, parts: Iterable[str]) -> Response:
    """Return a page of parts that are HTML already."""
    body = "\n".join(parts)
    text = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escaped(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n<h1>{escaped(title)}</h1>\n{body}\n</main>\n</body>\n</html>\n"
    )
    headers = {
        "content-security-policy": _POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    return Response(text, headers=headers, media_type="text/html")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Return a table; its cells are HTML already."""
    top = "".join(f"<th>{escaped(cell)}</th>" for cell in head)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def escaped(value: object) -> str:
    """Return any value as text in HTML."""
    return html.escape(str(value))


def code(value: object) -> str:
    """Return any value as code in HTML."""
    return f"<code>{escaped(value)}</code>"
