import re
from typing import Any

import pytest
from markdown_it import MarkdownIt

from service.gate.card import card_of
from service.gate.figures import HoldoutFile, measure
from service.gate.report import report_of
from service.gate.verdict import Thresholds, judge, outcome_of
from service.registry.records import Version
from tests.fakes.gating import run_of
from tests.fakes.manifests import manifest_of
from tests.fakes.packages import package_of

MANIFEST = manifest_of("bert", endings=("layer.0.attention.self.query",))
HOSTILE = (
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[here](javascript:alert(1))",
    "![x](http://evil.example/pixel)",
    "<http://evil.example>",
    "a | b | c",
    "`code` **bold** _it_ ~~no~~",
    "one\n\n# heading\n\n```\nfence\n",
    "# heading",
    "- item",
    "1. item",
    "> quote",
    "&lt;b&gt;",
    "\\<b>",
    "\u202eright to left\u0000",
)


def version_of(
    labels: tuple[str, ...] = ("refund", "delivery", "other"),
    report: dict[str, Any] | None = None,
    **metadata: Any,
) -> Version:
    package = package_of(MANIFEST, **metadata)
    return Version(
        tenant="acme",
        adapter="support",
        version=3,
        digest=package.digest,
        backbone="sha256:backbone",
        state="validated",
        labels=labels,
        metadata=package.metadata.model_dump(mode="json"),
        report=report or report_of(package, 5, None, (), verdict="validated").document(),
        extras={},
        bytes=1024,
        created_at="2025-03-31T09:30:00Z",
    )


def measured_report(**how: Any) -> dict[str, Any]:
    measured = measure(run_of(300, 0.9, live=0.8), HoldoutFile("sha256:file", 400), **how)
    checks = judge(measured, Thresholds(calibration_error_max=0.1))
    package = package_of(MANIFEST)
    return report_of(package, 5, measured, checks, verdict=outcome_of(checks)).document()


def html_of(card: str) -> str:
    """Return the card as a careless renderer shows it: raw HTML and tables are on."""
    html: str = MarkdownIt("commonmark", {"html": True}).enable("table").render(card)
    return html


def test_a_card_tells_what_the_metadata_says() -> None:
    card = card_of(
        version_of(
            license="CC-BY-4.0",
            owner="ml@acme.example",
            dataset={"id": "tickets-2025", "collected_until": "2025-03-31"},
        ),
        None,
    )
    html = html_of(card)
    assert "<h1>acme.support, version 3</h1>" in html
    for told in ("CC-BY-4.0", "ml@acme.example", "tickets-2025", "2025-03-31", "refund"):
        assert f"{told}<" in html
    assert "nothing was measured" in html
    assert "Measured" not in html
    assert "From its owner" not in html


def test_what_nobody_said_is_said_to_be_so() -> None:
    assert card_of(version_of(), None).count("not said") >= 4


def test_a_card_tells_every_figure_with_its_interval() -> None:
    report = measured_report()
    html = html_of(card_of(version_of(report=report), None))
    accuracy = report["measured"]["accuracy"]
    shown = " ".join(
        (f"{accuracy['value']:.4g}", f"({accuracy['lower']:.4g} to {accuracy['upper']:.4g})")
    )
    assert f"<td>{shown}</td>" in html
    for name in (
        "macro F1",
        "calibration error",
        "calibration error with the cross-fitted temperature",
        "accuracy of live version (1)",
        "accuracy less that of nearest centroids on the bare backbone",
        "compute seconds a text, median",
    ):
        assert f"<td>{name}</td>" in html
    assert "On 300 of the 400 rows" in html
    assert html.count("<td>yes</td>") == 3


def test_a_fitted_version_s_card_tells_before_and_after() -> None:
    html = html_of(card_of(version_of(report=measured_report(fits=True)), None))
    assert "<td>calibration error before the temperature</td>" in html
    assert "<td>calibration error</td>" in html


def test_a_report_without_figures_has_a_card_too() -> None:
    measured = measure(run_of(1, 0.9), HoldoutFile("sha256:file", 1))
    checks = judge(measured, Thresholds())
    report = report_of(package_of(MANIFEST), 5, measured, checks, verdict="validated").document()
    html = html_of(card_of(version_of(report=report), None))
    assert "not defined" in html
    assert "not judged" in html
    assert "no version is live" in html


def test_a_report_of_an_earlier_release_has_a_card_too() -> None:
    card = card_of(version_of(report={"rank": 8, "holdout_rows": 0}), "# Mine")
    assert "acme.support" in card
    assert "# Mine" in card


@pytest.mark.parametrize("text", HOSTILE)
def test_what_strangers_write_is_text_and_nothing_else(text: str) -> None:
    plain = version_of(labels=("label", "other"), owner="owner", license="licence")
    hostile = version_of(labels=(text, "other"), owner=text, license=text, dataset={"id": text})
    tags = re.compile(r"</?([a-z0-9]+)[^>]*>")

    def count(version: Version) -> dict[str, int]:
        found = tags.findall(html_of(card_of(version, None)))
        return {name: found.count(name) for name in found}

    assert count(hostile) == count(plain)
    html = html_of(card_of(hostile, None))
    assert "<script" not in html
    assert "href" not in html


@pytest.mark.parametrize(
    "text", [*HOSTILE, "```\nout?\n```", "````````\n<script>alert(1)</script>", "a\r\n```\r<b>"]
)
def test_the_owner_s_card_stands_in_a_fence_that_it_cannot_close(text: str) -> None:
    html = html_of(card_of(version_of(), text))
    assert html.count("<pre>") == html.count("</pre>") == 1
    behind = html.partition("</pre>")[2]
    assert behind.strip() == ""
    inside = html.partition("<pre>")[2].partition("</pre>")[0]
    assert re.findall(r"<(\w+)", inside) == ["code"]


def test_the_owner_s_card_is_there_as_it_came() -> None:
    own = "# Tickets\n\n* *first*\n* <b>second</b>\n\tthird"
    card = card_of(version_of(), own)
    assert card.endswith("```markdown\n# Tickets\n\n* *first*\n* <b>second</b>\n    third\n```\n")


def test_many_labels_are_cut() -> None:
    card = card_of(version_of(labels=tuple(f"label {n}" for n in range(70))), None)
    assert "and 20 more." in card
    assert "label 50" not in card
