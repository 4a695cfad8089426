"""Runbooks: one for each alert, all of one shape, and no command in them that cannot be typed."""

import contextlib
import functools
import re
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
import typer
import yaml
from prometheus_client import CollectorRegistry
from typer.testing import CliRunner

from docs import generate
from monitoring.web.app import Parts, create_app
from tests.contract.test_docs import broken_links
from tests.needs import needs_program
from tests.oncall.runbook import HEADINGS, Command, Page, Unset
from tests.oncall.selectors import name_of, selectors_of

ROOT = Path(__file__).resolve().parents[2]
RUNBOOKS = ROOT / "docs" / "runbooks"
GUIDE = ROOT / "docs" / "guides" / "on-call.md"
RULES = ROOT / "grafana" / "generated" / "rules"
FILES = sorted(path for path in RUNBOOKS.glob("*.md") if path.name != "README.md")
WITH_COMMANDS = [*FILES, GUIDE]

# Programs of the system, which every Linux machine on which somebody is on call has.
SYSTEM = frozenset(
    re.findall(
        r"\w+",
        "awk df docker du free grep head kill ls lsof nohup pgrep ps python3 sort tail top wc",
    )
)
# A nohup runs what stands behind it, a docker compose what stands behind the service's name.
CARRIERS: Mapping[str, int] = {"nohup": 1, "docker": 6}
CURL = {"-sS": 0, "-m": 1, "-w": 1, "-H": 1, "-X": 1, "-d": 1}
OWN_SERIES = {"ALERTS", "up"}  # Prometheus' own
TARGET = {"job", "instance"}
ADDRESSES = {
    "127.0.0.1:8000": "service",
    "127.0.0.1:8001": "sidecar",
    "127.0.0.1:9090": "prometheus",
    "127.0.0.1:9093": "alertmanager",
}
ALERTMANAGER = {("GET", "/-/ready")}
PROMETHEUS = {*ALERTMANAGER, ("GET", "/api/v1/targets")}


@cache
def rules() -> dict[str, list[dict[str, Any]]]:
    """Return the alert rules, by the name of the alert."""
    found: dict[str, list[dict[str, Any]]] = {}
    for group in yaml.safe_load((RULES / "alerts.yaml").read_text(encoding="utf-8"))["groups"]:
        for rule in group["rules"]:
            found.setdefault(rule["alert"], []).append(rule)
    return found


@cache
def recorded() -> set[str]:
    """Return the names of what rules record."""
    document = yaml.safe_load((RULES / "recording.yaml").read_text(encoding="utf-8"))
    return {rule["record"] for group in document["groups"] for rule in group["rules"]}


@cache
def exported() -> dict[str, set[str] | None]:
    """Return the labels of every series that the two programs export; None: they may be any."""
    row = re.compile(r"^\| `(\w+)` \| (\w+) \| ([^|]*) \|", re.MULTILINE)
    found: dict[str, set[str] | None] = {}
    for page in ("metrics.md", "monitor-metrics.md"):
        for name, kind, labels in row.findall(generate.PAGES[page]()):
            named = None if kind == "info" else set(re.findall(r"`(\w+)`", labels))
            for suffix in ("_bucket", "_count", "_sum") if kind == "histogram" else ("",):
                more = {"le"} if suffix == "_bucket" else set()
                found[f"{name}{suffix}"] = None if named is None else named | more
    return found


class _Nothing:
    """Stands for the parts of the sidecar that nobody calls while its routes are listed."""

    def __getattr__(self, name: str) -> Any:
        return lambda *_: None


@cache
def routes() -> dict[str, set[tuple[str, str]]]:
    """Return method and path of what each program answers."""
    nothing: Any = _Nothing()
    sidecar = create_app(Parts(nothing, CollectorRegistry(), nothing, nothing))
    own = {
        (method, path)
        for route in sidecar.routes
        for path in [getattr(route, "path", "")]
        for method in getattr(route, "methods", ())
    }
    service = {
        (method.upper(), path)
        for path, methods in generate._openapi()["paths"].items()
        for method in methods
    }
    return {
        "service": service,
        "sidecar": own,
        "prometheus": PROMETHEUS,
        "alertmanager": ALERTMANAGER,
    }


# --- what can be wrong with a page, each a line


def shape_defects(page: Page) -> Iterator[str]:
    """Yield what is wrong with a page's shape, and with what it says of its alert."""
    found = rules().get(page.name, [])
    if page.title != f"# {page.name}":
        yield f"its title is {page.title!r}"
    if not page.means.rstrip().endswith("."):
        yield "its first line is no sentence that begins with `Fired means: `"
    if page.headings != HEADINGS:
        yield f"its headings are {page.headings}"
    for heading, part in page.parts.items():
        if len(part) < 8:
            yield f"nothing stands below {heading!r}"
    if page.severities != sorted({rule["labels"]["severity"] for rule in found}):
        yield f"its severities are {page.severities}"
    if {page.owner} != {rule["labels"]["owner"] for rule in found}:
        yield f"its owner is {page.owner!r}"
    if "```sh\n" not in page.parts.get("How to confirm", ""):
        yield "nothing in it confirms the alert"
    told = str([rule["annotations"] for rule in found])
    for label in ("tenant", "adapter", "version"):
        asked = f"${{{label.upper()}:?set it from the alert}}" in page.text
        if asked and f"$labels.{label} " not in told:
            yield f"the alert has no {label}"
        if re.search(rf"\b{label.upper()}=", page.text):
            yield f"it overwrites the {label} that was read off the alert"


def command_defects(page: Page) -> Iterator[str]:
    """Yield what is wrong with the commands of a page."""
    for block in page.blocks:
        checked = subprocess.run(
            ["bash", "-n"], input=block, capture_output=True, text=True, check=False
        )
        if checked.returncode:
            yield f"{block}: {checked.stderr}"
    if page.text.count("```") != 2 * len(page.blocks):
        yield "a block is not closed, or no shell"
    try:
        commands = list(page.commands())
    except (Unset, ValueError) as error:
        yield str(error)
        return
    for command in commands:
        yield from (f"{command.where}: {defect}" for defect in _defects(command))


def _defects(command: Command) -> Iterator[str]:
    if command.program == "tenantry":
        yield from _tenantry_defects(command.words[1:], command.variables)
    elif command.program == "curl":
        yield from _curl_defects(command.words[1:])
    elif command.program == "promtool":
        yield from _promtool_defects(command.words[1:])
    elif command.program == "amtool":
        yield from _amtool_defects(command.words)
    elif command.program not in SYSTEM:
        yield f"{command.program} is no program that is known"
    elif command.program in CARRIERS:
        behind = command.words[CARRIERS[command.program] :]
        if not behind:
            yield "it runs nothing"
        else:
            yield from _defects(replace(command, words=behind))


def _tenantry_defects(words: tuple[str, ...], variables: Mapping[str, str]) -> Iterator[str]:
    known = generate._commands()
    paths = [" ".join(words[:length]) for length in (3, 2, 1)]
    path = next((path for path in paths if path in known), None)
    if path is None:
        yield f"`tenantry` has no subcommand {paths[1]!r}"
        return
    application = typer.Typer()
    application.command()(functools.wraps(known[path][0])(lambda *_, **__: None))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("adapter").mkdir()  # what a page uploads
        Path("labels.txt").touch()
        done = CliRunner().invoke(application, words[len(path.split()) :], env=variables)
    if done.exit_code:
        yield " ".join(done.output.split())


def _curl_defects(words: tuple[str, ...]) -> Iterator[str]:
    method, addresses = "GET", []
    left = iter(words)
    for word in left:
        if word.startswith("-HAuthorization: "):
            continue
        if word.startswith("-"):
            if word not in CURL:
                yield f"curl's {word} is not among those that are known"
                continue
            value = next(left, None) if CURL[word] else ""
            if value is None:
                yield f"curl's {word} has no value"
            method = value if word == "-X" and value else method
        else:
            addresses.append(word)
    if len(addresses) != 1:
        yield f"it asks {len(addresses)} addresses"
        return
    asked = urlsplit(addresses[0])
    program = ADDRESSES.get(asked.netloc, "")
    if not any(_fits(asked.path, path) for one, path in routes().get(program, ()) if one == method):
        yield f"{program or asked.netloc} does not answer {method} {asked.path}"


def _fits(path: str, route: str) -> bool:
    return re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", route), path) is not None


def _promtool_defects(words: tuple[str, ...]) -> Iterator[str]:
    if words[:2] == ("check", "config") and len(words) == 3:
        if not (ROOT / words[2]).is_file():
            yield f"there is no {words[2]}"
    elif words[:2] != ("query", "instant") or len(words) != 4:
        yield "promtool has `query instant ADDRESS EXPRESSION` and `check config FILE`"
    elif ADDRESSES.get(urlsplit(words[2]).netloc) != "prometheus":
        yield f"{words[2]} is no Prometheus"
    else:
        yield from _expression_defects(words[3])


def _expression_defects(expression: str) -> Iterator[str]:
    rule = {"record": "page", "expr": expression}
    with tempfile.NamedTemporaryFile("w", suffix=".yml", encoding="utf-8") as file:
        yaml.safe_dump({"groups": [{"name": "page", "rules": [rule]}]}, file)
        checked = subprocess.run(
            [needs_program("promtool"), "check", "rules", file.name],
            capture_output=True,
            text=True,
            check=False,
        )
    if checked.returncode:
        yield checked.stderr.strip()
        return
    for selector in selectors_of(expression):
        name = name_of(selector)
        if name not in exported() and name not in recorded() | OWN_SERIES:
            yield f"nobody exports or records {name!r}"
        labels = exported().get(name)
        named = set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector.partition("{")[2]))
        if labels is not None and not named <= labels | TARGET:
            yield f"{name} has no label {', '.join(sorted(named - labels - TARGET))}"


def _amtool_defects(words: tuple[str, ...]) -> Iterator[str]:
    """Yield amtool's own words, asked to call a port where nobody listens."""
    amtool = needs_program("amtool")
    asked = [re.sub(r"http://[\d.:]+", "http://127.0.0.1:1", word) for word in words[1:]]
    done = subprocess.run(
        [amtool, *asked], capture_output=True, text=True, cwd=ROOT, timeout=30, check=False
    )
    if done.returncode and "connection refused" not in done.stderr:
        yield (done.stderr or done.stdout).strip()
    given = next((word for word in words if word.startswith("--alertmanager.url=")), "")
    if "check-config" in words:
        return
    if ADDRESSES.get(urlsplit(given.partition("=")[2]).netloc) != "alertmanager":
        yield "it names no Alertmanager"
    alerts = [word.partition("=")[2] for word in words if word.startswith("alertname=")]
    yield from (f"there is no alert {alert}" for alert in alerts if alert not in rules())


# --- the pages


def test_every_alert_has_a_page_and_every_page_an_alert() -> None:
    assert {path.stem for path in FILES} == rules().keys()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_page_has_the_shape_and_says_what_the_rule_says(path: Path) -> None:
    assert list(shape_defects(Page.read(path))) == []


@pytest.mark.parametrize("path", WITH_COMMANDS, ids=lambda path: path.stem)
def test_every_command_of_a_page_can_be_typed(path: Path) -> None:
    assert list(command_defects(Page.read(path))) == []


@pytest.mark.parametrize("path", [*WITH_COMMANDS, RUNBOOKS / "README.md"], ids=lambda p: p.stem)
def test_links_of_a_page_lead_somewhere(path: Path) -> None:
    assert list(broken_links(path)) == []


def test_an_alert_links_to_its_page() -> None:
    for name, alerts in rules().items():
        for rule in alerts:
            url = rule["annotations"]["runbook_url"]
            assert urlsplit(url).path.endswith(f"/docs/runbooks/{name}.md"), url


def test_the_index_has_each_alert_once_with_its_severity_and_owner() -> None:
    row = re.compile(
        r"^\| \[(\w+)\]\((\w+)\.md\) \| ([a-z, ]+) \| (\w+) \| .{10,} \|$", re.MULTILINE
    )
    listed = row.findall((RUNBOOKS / "README.md").read_text(encoding="utf-8"))
    assert sorted(name for name, *_ in listed) == sorted(rules())
    for name, link, severities, owner in listed:
        page = Page.read(RUNBOOKS / f"{name}.md")
        assert (link, sorted(severities.split(", ")), owner) == (name, page.severities, page.owner)


def test_addresses_are_those_of_the_guide() -> None:
    setting = re.compile(r"^export (\w+)=(?:\"\$\{\1:-([^}]+)\}\"|(http\S+|state))$", re.MULTILINE)
    known = {name: plain for name, _, plain in setting.findall(GUIDE.read_text(encoding="utf-8"))}
    assert len(known) == 5
    for path in FILES:
        for name, default, plain in setting.findall(path.read_text(encoding="utf-8")):
            assert known[name] == (default or plain), path


# --- that these tests can fail


def changed(name: str, old: str, new: str) -> Page:
    """Return a page with something else in the place of what is there."""
    text = (RUNBOOKS / f"{name}.md").read_text(encoding="utf-8")
    assert old in text
    return Page(name, text.replace(old, new, 1))


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("# TenantryDrift", "# Drift", "title"),
        ("Fired means: ", "", "sentence"),
        ("## What to do next", "## Later", "headings"),
        ("`warning`", "`critical`", "severities"),
        ("Owner: `ml`", "Owner: `platform`", "owner"),
        ("## Whom to tell\n", "## Whom to tell\n\n## More\n", "headings"),
    ],
)
def test_a_page_of_another_shape_is_found(old: str, new: str, told: str) -> None:
    assert told in " ".join(shape_defects(changed("TenantryDrift", old, new)))


def test_labels_that_an_alert_does_not_have_are_found() -> None:
    old = '"${TENANT:?set it from the alert}"'
    page = changed("TenantryTenantLimited", old, f"{old} {old.replace('TENANT', 'ADAPTER')}")
    assert list(shape_defects(page)) == ["the alert has no adapter"]


def test_a_page_that_sets_what_the_alert_says_is_found() -> None:
    old = ': "${TENANT:?set it from the alert}"'
    page = changed("TenantryTenantLimited", old, "export TENANT=acme")
    assert list(shape_defects(page)) == ["it overwrites the tenant that was read off the alert"]


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("tenantry adapters rollbck acme.inbox", "no subcommand"),
        ("tenantry adapters rollback", "Missing argument"),
        ("tenantry adapters rollback acme.inbox --hard", "--hard"),
        ("tenantry state check --state", "requires an argument"),
        ("tenantry adapters show acme.inbox --version four", "four"),
        ('tenantry adapters show "$TENANT.inbox"', "$TENANT is used before"),
        (': "${TENNANT:?set it}"', "asks for nothing"),
        ('tenantry tenants list; : "$TENANT"', "asks for nothing"),
        ("tenantri adapters list acme", "no program"),
        ("nohup tenantry servr &", "no subcommand"),
        ("curl -sS http://127.0.0.1:8000/v1/tenant", "does not answer GET /v1/tenant"),
        ("curl -sS -X POST http://127.0.0.1:8001/v1/report", "does not answer POST"),
        ("curl -sS http://127.0.0.1:8002/readyz", "127.0.0.1:8002"),
        ("curl --sS http://127.0.0.1:8000/readyz", "--sS"),
        ("curl -sS -m", "no value"),
        ("promtool query instant http://127.0.0.1:9090 'sum(up'", "parse"),
        ("promtool query instant http://127.0.0.1:9090 tenantry_requests", "nobody exports"),
        ("promtool query instant http://127.0.0.1:9090 'tenantry_queue_texts{x=\"\"}'", "no label"),
        ("promtool query instant http://127.0.0.1:9093 up", "no Prometheus"),
        ("promtool query range http://127.0.0.1:9090 up", "promtool has"),
        ("promtool check config nothing.yml", "no nothing.yml"),
        ("amtool alert query --alertmanager.url=http://127.0.0.1:9090", "no Alertmanager"),
        ("amtool alerts query --alertmanager.url=http://127.0.0.1:9093", "alerts"),
        ("amtool silence add --alertmanager.url=http://127.0.0.1:9093 --for=1h a=b", "--for"),
        ("amtool alert query --alertmanager.url=http://127.0.0.1:9093 alertname=No", "alert No"),
        ("if true; then", "syntax error"),
        ("echo 'unclosed", "unexpected EOF"),
        ("true | tenantry tenants lst", "no subcommand"),
    ],
)
def test_a_command_that_cannot_be_typed_is_found(line: str, told: str) -> None:
    page = Page("page", f"# page\n\n1. In a list:\n\n   ```sh\n   {line}\n   ```\n")
    assert told in " ".join(command_defects(page))


def test_a_block_that_is_no_shell_is_found() -> None:
    assert list(command_defects(Page("page", "```bash\ntenantry tenants list\n```\n"))) == [
        "a block is not closed, or no shell"
    ]


def test_variables_have_the_values_that_the_page_gives_them() -> None:
    text = (
        '```sh\nexport A="${A:-x}" B=y # said\n'
        'curl ${A:+"-H one $B"} ${C:+-n} \'$A\' "$A/${B}" >> f 2>&1 &\n```\n'
    )
    [command] = Page("page", text).commands({})
    assert command.words == ("curl", "-H one y", "$A", "x/y")
