"""The docs: made from the code where they can be, and true of it where they cannot."""

import inspect
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry

import service.engine.errors
import service.errors
from docs import generate
from monitoring.settings import MonitorSettings
from monitoring.settings import variable_of as monitor_variable_of
from monitoring.web.declared import DECLARED
from service.engine.errors import TenantryError
from service.metrics import Metrics
from service.settings import Settings, variable_of

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
ROOMS = (
    "benchmarks",
    "deploy",
    "docs",
    "examples",
    "exporter",
    "grafana",
    "monitoring",
    "service",
    "tests",
)
PAGES = sorted(
    [*ROOT.glob("*.md"), *(page for room in ROOMS for page in (ROOT / room).rglob("*.md"))]
)
PRESENT = [page for page in PAGES if page.name != "CHANGELOG.md"]  # which may name what is gone
BY_HAND = {"licences.md"}  # pages of docs/reference that are not made from the code

VARIABLES = {variable_of(field) for field in Settings.model_fields} | {
    "TENANTRY_DATA",
    "TENANTRY_KEY",
    "TENANTRY_URL",
    *map(monitor_variable_of, MonitorSettings.model_fields),
}
EXTRAS: dict[str, list[str]] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]["optional-dependencies"]

FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#{1,6} +(.+)$", re.MULTILINE)
PACKAGES = [path.name for path in (ROOT / "service").iterdir() if (path / "__init__.py").is_file()]
PATH = re.compile(rf"`((?:{'|'.join([*ROOMS, *PACKAGES])})/[\w./-]*)`")


def name_of(page: Path) -> str:
    return str(page.relative_to(ROOT))


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def prose_of(page: Path) -> str:
    """Return a page without its examples, whose brackets and signs mean something else."""
    return FENCE.sub("", text_of(page))


def examples(*languages: str) -> list[object]:
    """Return the examples in some languages, each with the place to tell it by."""
    return [
        pytest.param(where, found[2], id=where)
        for page in PAGES
        for found in FENCE.finditer(text_of(page))
        if found[1] in languages
        for where in [f"{name_of(page)}:{text_of(page)[: found.start()].count(chr(10)) + 1}"]
    ]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub makes them."""
    found: dict[str, int] = {}
    for heading in HEADING.findall(prose_of(page)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading).replace("`", "").strip().lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found[slug] = found.get(slug, -1) + 1
    return {
        slug if n == 0 else f"{slug}-{n}" for slug, last in found.items() for n in range(last + 1)
    }


def broken_links(page: Path) -> Iterator[str]:
    for target in LINK.findall(re.sub(r"`[^`]*`", "", prose_of(page))):
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        linked = (page.parent / path).resolve() if path else page
        if not linked.exists() or ROOT not in [linked, *linked.parents]:
            yield f"{target}: there is no such file"
        elif anchor and anchor not in anchors(linked):
            yield f"{target}: there is no such heading"


def commands(block: str) -> Iterator[list[str]]:
    """Yield the words of each command of a shell example, comments left out."""
    for line in block.replace("\\\n", " ").splitlines():
        words = shlex.split(line, comments=True)
        if words:
            yield words


@pytest.mark.parametrize("name", sorted(generate.PAGES))
def test_a_reference_page_is_what_make_docs_writes(name: str) -> None:
    committed = (DOCS / "reference" / name).read_text(encoding="utf-8")
    assert committed == generate.PAGES[name](), "run `make docs`"


def test_the_reference_holds_no_page_that_nobody_makes() -> None:
    there = {page.name for page in (DOCS / "reference").iterdir()}
    assert there == generate.PAGES.keys() | BY_HAND


def test_every_setting_is_documented() -> None:
    lines = text_of(DOCS / "reference" / "settings.md").splitlines()
    for field in Settings.model_fields:
        [line] = [line for line in lines if line.startswith(f"| `{variable_of(field)}` |")]
        assert len(line.rstrip(" |").rsplit("|", 1)[1].strip()) > 10, line


def test_every_metric_is_documented() -> None:
    registry = CollectorRegistry()
    Metrics(registry)
    documented = re.findall(r"^\| `(\w+)` \|", text_of(DOCS / "reference/metrics.md"), re.MULTILINE)
    series = {re.sub("_(total|info)$", "", name) for name in documented}
    assert series == {re.sub("_info$", "", family.name) for family in registry.collect()}


def test_every_error_is_documented_with_its_status() -> None:
    page = text_of(DOCS / "reference" / "errors.md")
    for module in (service.engine.errors, service.errors):
        for name, error in inspect.getmembers(module, inspect.isclass):
            if issubclass(error, TenantryError) and error is not TenantryError:
                assert re.search(rf"^\| `{name}` \| [a-z ]+ \| \d{{3}} \|", page, re.MULTILINE), (
                    name
                )


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    assert list(broken_links(page)) == []


def test_a_broken_link_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(globals(), "ROOT", tmp_path)
    (tmp_path / "other.md").write_text("# A `heading`, here\n\n# Twice\n\n# Twice\n")
    page = tmp_path / "page.md"
    page.write_text("[a](other.md#a-heading-here) [b](other.md#twice-1) `[c](no)` [d](#no) [e](no)")
    assert [line.partition(":")[0] for line in broken_links(page)] == ["#no", "no"]
    page.write_text("[out](../)")
    assert len(list(broken_links(page))) == 1


def test_every_page_of_the_docs_can_be_reached_from_their_front_page() -> None:
    reached: set[Path] = set()
    waiting = [DOCS / "README.md"]
    while waiting:
        page = waiting.pop()
        if page in reached or page.suffix != ".md":
            continue
        reached.add(page)
        targets = [target.partition("#")[0] for target in LINK.findall(prose_of(page))]
        waiting += [(page.parent / path).resolve() for path in targets if path and ":" not in path]
    assert {page for page in PAGES if DOCS in page.parents} <= reached


@pytest.mark.parametrize("page", PRESENT, ids=name_of)
def test_settings_and_series_that_a_page_names_exist(page: Path) -> None:
    text = text_of(page)
    assert set(re.findall(r"\bTENANTRY_[A-Z_]*[A-Z]\b", text)) <= VARIABLES
    known = {
        re.sub("_(total|info)$", "", name) for name, *_ in Metrics(CollectorRegistry()).declared()
    }
    known |= {re.sub("_(total|info)$", "", declared.name) for declared in DECLARED}
    # What follows a colon is recorded by a rule, `level:metric:operations`, and no series of ours.
    for name in set(re.findall(r"(?<![:\w])tenantry_[a-z_]*[a-z]\b", text)):
        assert re.sub("_(total|info|bucket|sum|count)$", "", name) in known, name


@pytest.mark.parametrize("page", PRESENT, ids=name_of)
def test_files_that_a_page_names_exist(page: Path) -> None:
    for name in set(PATH.findall(prose_of(page))):
        assert any((folder / name).exists() for folder in (ROOT, ROOT / "service")), name


@pytest.mark.parametrize(("where", "block"), examples("python"))
def test_a_python_example_compiles(where: str, block: str) -> None:
    compile(block, where, "exec")


@pytest.mark.parametrize(("where", "block"), examples("json"))
def test_a_json_example_is_json(where: str, block: str) -> None:
    del where
    json.loads(block)


@pytest.mark.parametrize(("where", "block"), examples("sh", "bash", "shell"))
def test_a_shell_example_parses_and_its_options_exist(where: str, block: str) -> None:
    checked = subprocess.run(["sh", "-n"], input=block, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, f"{where}: {checked.stderr}"
    for words in commands(block):
        if words[0] == "tenantry" and not words[1].startswith("-"):
            options = generate.options_of(words[1:])
            assert {word.partition("=")[0] for word in words if word.startswith("--")} <= options
        for extras in re.findall(r"(?:tenantry|\.)\[([a-z,]+)\]", " ".join(words)):
            assert set(extras.split(",")) <= EXTRAS.keys(), extras


def test_decisions_are_numbered_and_of_one_form() -> None:
    pages = sorted((DOCS / "adr").glob("*.md"))
    for number, page in enumerate(pages, 1):
        assert page.name.startswith(f"{number:04}-")
        title, *headings = HEADING.findall(prose_of(page))
        assert title.startswith(f"{number}. ")
        assert headings == ["Context", "Decision", "Consequences", "What would change it"]
        assert f"{number}. [{title.partition('. ')[2]}](adr/{page.name})" in text_of(
            DOCS / "README.md"
        )


def test_every_package_that_is_asked_for_has_its_licence_named() -> None:
    page = text_of(DOCS / "reference" / "licences.md")
    rows: dict[str, set[str]] = {"": set()}
    extra = ""
    for first, second in re.findall(r"^\| (`[\w-]+`|) *\| ([^|]+?) *\|", page, re.MULTILINE):
        if re.match(rf"`(?:{'|'.join(EXTRAS)})`$", first):
            extra = first.strip("`")
        rows.setdefault(extra, set()).add((second if extra else first).strip("`"))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    for name, requirements in {"": project["dependencies"], **EXTRAS}.items():
        asked = {re.split(r"[\[<>=!~ ;]", requirement)[0] for requirement in requirements}
        assert asked - {"tenantry"} <= rows[name], name or "always"
