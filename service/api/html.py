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
:root { color-scheme: light dark; --ink: #1b2330; --quiet: #566173; --ground: #fff;
  --raised: #f5f7fa; --line: #dbe1ea; --link: #0b57d0; --good: #137333; --good-ground: #e3f4e8;
  --warn: #8a4b00; --warn-ground: #fdf0d9; --bad: #b3261e; --bad-ground: #fdeae8;
  --fill: #3b73d9; --plain-ground: #e9edf3 }
@media (prefers-color-scheme: dark) { :root { --ink: #e2e7ef; --quiet: #9ba7b8; --ground: #12161d;
  --raised: #1a2029; --line: #303947; --link: #8ab4f8; --good: #81d497; --good-ground: #17301f;
  --warn: #f2bd6b; --warn-ground: #38290f; --bad: #f6a6a0; --bad-ground: #411b19;
  --fill: #6d9cf0; --plain-ground: #29313d } }
* { box-sizing: border-box }
body { font: 15px/1.5 system-ui, sans-serif; margin: 0 auto; max-width: 68rem;
  padding: 1.6rem 1rem 3rem; color: var(--ink); background: var(--ground) }
h1 { font-size: 1.5rem; margin: 0 } h2 { font-size: 1.1rem; margin: 2.2rem 0 .6rem }
h3 { font-size: 1rem } a { color: var(--link) }
code, pre { font: 13px/1.5 ui-monospace, monospace; background: var(--raised); border-radius: 4px }
code { padding: .1em .3em; overflow-wrap: anywhere }
pre { padding: .7rem .8rem; overflow-x: auto; border: 1px solid var(--line); margin: .4rem 0 1rem }
pre code { padding: 0; overflow-wrap: normal; background: none }
table { border-collapse: collapse; width: 100% }
caption { text-align: left; color: var(--quiet); padding-bottom: .4rem }
th, td { text-align: left; vertical-align: top; padding: .45rem .9rem .45rem 0;
  border-bottom: 1px solid var(--line) }
thead th { color: var(--quiet); font-weight: 600; font-size: .87rem }
details { border: 1px solid var(--line); border-radius: 6px; margin: .5rem 0; padding: .5rem .8rem }
summary { cursor: pointer } .method { display: inline-block; min-width: 4.2rem; font-weight: 600 }
.quiet { color: var(--quiet) } .number { text-align: right; font-variant-numeric: tabular-nums }
header { display: flex; flex-wrap: wrap; gap: .4rem 1rem; align-items: center }
nav { margin: .5rem 0 0 } nav a, nav span { margin-right: 1.1rem; white-space: nowrap }
.badge { display: inline-block; border-radius: 1em; padding: .05rem .6rem; margin: .1rem .15rem;
  font-size: .85rem; background: var(--plain-ground); white-space: nowrap }
.good { color: var(--good); background: var(--good-ground) }
.warn { color: var(--warn); background: var(--warn-ground) }
.bad { color: var(--bad); background: var(--bad-ground) }
.note { border-radius: 8px; padding: .7rem 1rem; margin: 1.2rem 0 0 }
.note p { margin: .2rem 0 } .note ul { margin: .2rem 0; padding-left: 1.2rem }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.4rem, 1fr)); gap: .7rem;
  margin: 0; padding: 0 }
.tiles > div { background: var(--raised); border: 1px solid var(--line); border-radius: 8px;
  padding: .6rem .9rem }
.tiles dt { color: var(--quiet); font-size: .87rem } .tiles dd { margin: 0 }
.tiles .figure { font-size: 1.45rem; font-weight: 600; font-variant-numeric: tabular-nums }
.tiles .quiet { font-size: .87rem }
.tiles > .warn { background: var(--warn-ground); border-color: var(--warn) }
.tiles > .bad { background: var(--bad-ground); border-color: var(--bad) }
.tiles > .warn dt, .tiles > .bad dt, .tiles > .warn .quiet, .tiles > .bad .quiet {
  color: inherit } td.bad, td.warn { font-weight: 600; background: none }
.bar { height: .5rem; border-radius: .25rem; background: var(--plain-ground); overflow: hidden;
  margin: .35rem 0 .25rem } .bar span { display: block; height: 100%; background: var(--fill) }
.adapter { margin-bottom: .25rem } .adapter .quiet { white-space: nowrap; font-size: .87rem }
.lead { margin: .7rem 0 0 }
.steps { padding-left: 1.3rem } .steps li::marker { color: var(--quiet) }
footer { margin-top: 2.5rem; color: var(--quiet); font-size: .87rem }
@media (max-width: 40rem) {
  .tiles { grid-template-columns: 1fr 1fr }
  .cards, .cards caption, .cards tbody, .cards tr, .cards td, .cards th {
    display: block; text-align: left }
  .cards thead { position: absolute; width: 1px; height: 1px; overflow: hidden;
    clip-path: inset(50%) }
  .cards tr { border-bottom: 1px solid var(--line); padding: .5rem 0 }
  .cards td, .cards th { border: 0; padding: .1rem 0 }
  .cards td[data-name]::before { content: attr(data-name) ": "; color: var(--quiet) } }
"""


def page(title: str, parts: Iterable[str], *, refresh_s: int | None = None) -> Response:
    """Return a page of parts that are HTML already; it begins with its heading, or gets one.

    It is loaded again every `refresh_s`, where that is given.
    """
    body = "\n".join(parts)
    if "<h1>" not in body:
        body = f"<h1>{escaped(title)}</h1>\n{body}"
    again = f'<meta http-equiv="refresh" content="{refresh_s}">\n' if refresh_s else ""
    text = (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"{again}<title>{escaped(title)}</title>\n<style>{_STYLE}</style>\n</head>\n"
        f"<body>\n<main>\n{body}\n</main>\n</body>\n</html>\n"
    )
    headers = {
        "content-security-policy": _POLICY,
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-store",
    }
    return Response(text, headers=headers, media_type="text/html")


def table(head: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> str:
    """Return a table; its cells are HTML already, head and caption are not."""
    top = "".join(f'<th scope="col">{escaped(cell)}</th>' for cell in head)
    told = f"<caption>{escaped(caption)}</caption>\n" if caption else ""
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    return f"<table>\n{told}<thead><tr>{top}</tr></thead>\n<tbody>\n{body}\n</tbody>\n</table>"


def escaped(value: object) -> str:
    """Return any value as text in HTML."""
    return html.escape(str(value))


def code(value: object) -> str:
    """Return any value as code in HTML."""
    return f"<code>{escaped(value)}</code>"


def link(address: str, text: str) -> str:
    """Return a link; whoever gives the address sees to it that it is one of a page."""
    return f'<a href="{escaped(address)}">{escaped(text)}</a>'


def badge(text: str, kind: str = "") -> str:
    """Return a few words that stand out: `good`, `warn`, `bad` or plain."""
    return f'<span class="{escaped(f"badge {kind}".strip())}">{escaped(text)}</span>'


def tile(
    name: str, figure: str, more: str = "", *, filled: float | None = None, kind: str = ""
) -> str:
    """Return one figure of a list of tiles, with a bar that is `filled` to a share, if any.

    `kind` is `warn`, `bad` or plain; what it is about stands in `more`, for those who see no red.
    """
    bar = ""
    if filled is not None:
        width = 100.0 * min(1.0, max(0.0, filled))
        bar = f'<div class="bar" aria-hidden="true"><span style="width:{width:.1f}%"></span></div>'
    told = f'<div class="quiet">{escaped(more)}</div>' if more else ""
    mark = f' class="{escaped(kind)}"' if kind else ""
    return (
        f"<div{mark}><dt>{escaped(name)}</dt><dd>"
        f'<div class="figure">{escaped(figure)}</div>'
        f"{bar}{told}</dd></div>"
    )


def tiles(each: Iterable[str]) -> str:
    """Return a list of tiles."""
    return '<dl class="tiles">\n' + "\n".join(each) + "\n</dl>"
