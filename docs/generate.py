"""The reference pages that are made from the code: `python -m docs.generate`, or `make docs`.

Each page is a function without arguments that gives Markdown, the same on every machine: it reads
declarations, never the environment. A contract test holds the committed pages against them.
"""

import dataclasses
import inspect
import tomllib
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

import typer
from annotated_types import Ge, Le
from prometheus_client import CollectorRegistry
from pydantic import BaseModel
from typer.models import ArgumentInfo, CommandInfo, ParameterInfo

from monitoring.settings import MonitorSettings
from monitoring.settings import variable_of as monitor_variable_of
from monitoring.web.metrics import metrics_reference as monitor_metrics_reference
from service.api.app import Parts, create_app
from service.api.lifecycle import Lifecycle
from service.api.problems import INTERNAL, KINDS, UNKNOWN_PATH, WRONG_METHOD, Kind
from service.engine import lora_config
from service.engine.bundle import Bundle, Manifest
from service.engine.lora_tensors import LABEL_CHARS_MAX, LABELS_MIN, MAGNITUDE_MAX
from service.engine.safetensors_file import HEADER_BYTES_MAX, TENSORS_MAX
from service.metrics import Metrics, metrics_reference
from service.settings import Settings, settings_reference, settings_table
from service.uploads.archive import HOLDOUT_FILE
from service.uploads.holdout import LINE_BYTES_MAX
from service.uploads.limits import UploadLimits
from service.uploads.metadata import Dataset, Metadata

ROOT = Path(__file__).resolve().parents[1]
REFERENCE = ROOT / "docs" / "reference"
NOTE = "<!-- Made from the code by `make docs`; changes here are lost. -->"

_MIB = 1 << 20


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return the lines of a table; bars inside of cells are escaped."""
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def errors_page() -> str:
    """Return the page of every status and code that an error becomes on the wire."""
    raised: dict[Kind, list[str]] = {}
    for error, kind in KINDS.items():
        raised.setdefault(kind, []).append(error.__name__)
    for kind in (UNKNOWN_PATH, WRONG_METHOD, INTERNAL):
        raised.setdefault(kind, [])
    meanings = {error.__name__: _first_line(error) for error in KINDS}
    rows = [
        (
            str(kind.status),
            f"`{kind.code}`",
            kind.title,
            " ".join(meanings[name] for name in names if kind is not INTERNAL) or kind.title + ".",
            ", ".join(f"`{name}: {value}`" for name, value in _headers(kind)),
        )
        for kind, names in sorted(raised.items(), key=lambda item: (item[0].status, item[0].code))
    ]
    classes = [
        (f"`{error.__name__}`", _home(error), str(kind.status), f"`{kind.code}`")
        for error, kind in sorted(KINDS.items(), key=lambda item: item[0].__name__)
    ]
    return _page(
        "Errors",
        "Native routes answer an error with `application/problem+json` (RFC 9457): `type`,",
        "`title`, `status`, `detail`, `code`, `request_id`, and for uploads `problems`, a list of",
        "`where` and `what`. `type` is `urn:tenantry:problem:` and the code. Programs should look",
        "at `code`; `detail` is for people and may change.",
        "",
        'The routes below `/v2` answer the same statuses with `{"error": "<detail> [<code>]"}`,',
        "because clients of the Open Inference Protocol can read nothing else.",
        "",
        "## By status",
        "",
        *table(("status", "code", "title", "when", "headers"), rows),
        "",
        "## By class",
        "",
        "The one map is in `service/api/problems.py`; no other module knows of statuses.",
        "",
        *table(("error", "raised by", "status", "code"), classes),
    )


def _headers(kind: Kind) -> Iterator[tuple[str, str]]:
    for name, value in kind.headers:
        yield name.decode("ascii").title().replace("Www", "WWW"), value.decode("ascii")


def _home(error: type[Exception]) -> str:
    return "the engine" if error.__module__.startswith("service.engine") else "the service"


def uploads_page() -> str:
    """Return the page of what an upload may hold: metadata, config keys, limits."""
    return _page(
        "Uploads",
        "What `POST .../versions` takes. How to make one is in",
        "[Training an adapter](../guides/training-an-adapter.md).",
        "",
        "## The metadata document",
        "",
        *table(("field", "type", "default", "meaning"), _fields(Metadata, "")),
        "",
        f"Labels: {LABELS_MIN} or more, at most the bundle's `max_labels`, all different, each of 1"
        f" to {LABEL_CHARS_MAX}",
        "characters without control characters. Another field than these is refused.",
        "",
        "## The keys of `adapter_config.json`",
        "",
        "Read by allow-list: a key that is in none of these lists is refused by its name, unless",
        "its value is null, false or empty. The keys are those of peft 0.21.",
        "",
        *table(("key", "what happens"), sorted(_config_keys())),
        "",
        "## The tensors",
        "",
        f"A header of at most {HEADER_BYTES_MAX:,} bytes naming at most {TENSORS_MAX:,} tensors of"
        " F32, F16, BF16 or F64; no",
        f"value that is not finite, none beyond {MAGNITUDE_MAX:,.0f} in size, B counted with its"
        " scaling.",
        "",
        "## The hold-out",
        "",
        f"`{HOLDOUT_FILE}`, one JSON object a line: `text` and `label`; or, where the backbone",
        "reads images, `image` and `label`. An image is a data URL, `data:image/png;base64,...`,",
        "of a JPEG, PNG, WebP, GIF or BMP file. A line holds at most"
        f" {LINE_BYTES_MAX['text'] >> 20} MiB of text, or {LINE_BYTES_MAX['image'] >> 20} MiB of",
        "an image.",
        "",
        "## Limits",
        "",
        *table(("limit", "value"), _limits()),
    )


def _fields(model: type[BaseModel], prefix: str) -> Iterator[tuple[str, str, str, str]]:
    for name, field in model.model_fields.items():
        default = "needed" if field.is_required() else f"`{_json(field.default)}`"
        kind = _type_name(field.annotation)
        bounds = {type(bound): bound for bound in field.metadata}
        if Ge in bounds and Le in bounds:
            kind += f", {bounds[Ge].ge:g} to {bounds[Le].le:g}"
        yield f"`{prefix}{name}`", kind, default, field.description or ""
        if kind == "object":
            yield from _fields(Dataset, f"{name}.")


def _json(value: object) -> str:
    named = {None: "null", True: "true", False: "false"}
    return named[value] if value is None or isinstance(value, bool) else f'"{value}"'


def _type_name(annotation: object) -> str:
    """Return what JSON calls a field's type."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return ", ".join(f'`"{value}"`' for value in arguments)
    if origin is typing.Annotated:
        return _type_name(arguments[0])
    if origin is tuple:
        return f"list of {_type_name(arguments[0])}s"
    if origin is not None:  # a union with None
        return _type_name(next(part for part in arguments if part is not type(None)))
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "object"
    return {str: "text", bool: "true or false", float: "number"}[typing.cast(type, annotation)]


def _config_keys() -> Iterator[tuple[str, str]]:
    for key in lora_config.USED:
        yield f"`{key}`", "used"
    for key in lora_config.HARMLESS:
        yield f"`{key}`", "taken at any value: it changes no answer"
    for key, reason in lora_config.REFUSED.items():
        off = 'null, false, empty or "none"' if key == "bias" else "null, false or empty"
        yield f"`{key}`", f"refused unless {off}: {reason}"


def _limits() -> Iterator[tuple[str, str]]:
    for field in dataclasses.fields(UploadLimits):
        value = field.default
        assert isinstance(value, int)
        shown = f"{value // _MIB} MiB" if value >= _MIB else f"{value:,}"
        yield f"`{field.name}`", shown


def routes_page() -> str:
    """Return the page of every route, by what it is for."""
    document = _openapi()
    lines: list[str] = []
    for tag in document["tags"]:
        rows = [
            (
                f"`{method.upper()} {path}`",
                operation["summary"],
                ", ".join(operation.get("requestBody", {}).get("content", {})),
                " ".join(operation["responses"]),
            )
            for path, methods in document["paths"].items()
            for method, operation in methods.items()
            if tag["name"] in operation["tags"]
        ]
        lines += [f"## {tag['name']}", "", tag["description"], ""]
        lines += [*table(("route", "what it does", "takes", "answers"), rows), ""]
    return _page(
        "Routes",
        "`/docs` of a running service shows each with its examples, schemas and the codes of its",
        "[errors](errors.md); `/openapi.json` is the same for programs. `GET /` is a page that",
        "shows what runs.",
        "",
        *lines[:-1],
    )


class _Nothing:
    """Stands for the parts of the service that nobody calls while its routes are listed."""

    def __getattr__(self, name: str) -> Callable[..., tuple[()]]:
        return lambda *_: ()


def _openapi() -> dict[str, Any]:
    """Return the OpenAPI document of a service with default settings."""
    nothing: Any = _Nothing()
    width: dict[str, Any] = {"hidden_size": 0, "max_length": 0}
    folders: dict[str, Any] = {"bundle": Path("bundle"), "state": Path("state")}
    parts = Parts(
        registry=nothing,
        batcher=nothing,
        tokeniser=nothing,
        bundle=Bundle(Path(), "", Manifest.model_construct(**width), {}),
        settings=Settings.model_construct(**folders),
        metrics=Metrics(CollectorRegistry()),
        signing=nothing,
        log=nothing,
        limits=nothing,
        usage=nothing,
        lifecycle=Lifecycle(),
    )
    app = create_app(parts)
    return app.openapi()


def cli_page() -> str:
    """Return the page of every subcommand and its options."""
    lines = ["`tenantry --help` lists the commands, `tenantry COMMAND --help` tells of one.", ""]
    for name, (function, extra) in sorted(_commands().items()):
        lines += [f"## tenantry {name}", "", inspect.getdoc(function) or "", ""]
        if extra:
            lines += [f"Needs the extra `{extra}`: `pip install 'tenantry[{extra}]'`.", ""]
        lines += [*table(("option", "default", "meaning"), _parameters(function)), ""]
    return _page("Command line", *lines[:-1])


def monitor_settings_page() -> str:
    """Return the page of the sidecar's settings."""
    return _page(
        "Settings of the sidecar",
        "Each is an environment variable; those that `tenantry monitor --help` lists are flags",
        "too, and a flag goes before a variable. An unknown `TENANTRY_MONITOR_*` variable is a",
        "start-up error.",
        "",
        *settings_table(MonitorSettings, monitor_variable_of),
    )


def options_of(words: Sequence[str]) -> set[str]:
    """Return the long options of the subcommand that a line calls, `--help` among them."""
    commands = _commands()
    paths = [" ".join(words[:length]) for length in (3, 2, 1)]
    function, _ = next(commands[path] for path in paths if path in commands)
    shown = (option.strip("`") for option, _, _ in _parameters(function))
    return {"--help", *(name for option in shown for name in option.split("/"))}


def _commands() -> Mapping[str, tuple[Callable[..., Any], str]]:
    """Return the subcommands that `pyproject.toml` declares, by name, with their extras."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    found: dict[str, tuple[Callable[..., Any], str]] = {}
    for name, entry in project["entry-points"]["tenantry.commands"].items():
        reference, _, extra = entry.partition(" ")
        module, _, attribute = reference.partition(":")
        command = getattr(import_module(module), attribute)
        if isinstance(command, typer.Typer):
            found |= {path: (leaf, extra.strip("[]")) for path, leaf in _leaves(name, command)}
        else:
            found[name] = (command, extra.strip("[]"))
    return found


def _leaves(name: str, application: typer.Typer) -> Iterator[tuple[str, Callable[..., Any]]]:
    """Yield the commands of an application and of those in it, each by its whole name."""
    own = application.registered_callback
    if own is not None and own.callback is not None:
        yield name, own.callback
    for info in application.registered_commands:
        assert info.callback is not None
        yield f"{name} {_name_of(info)}", info.callback
    for group in application.registered_groups:
        assert group.typer_instance is not None
        yield from _leaves(f"{name} {group.name}", group.typer_instance)


def _name_of(info: CommandInfo) -> str:
    assert info.callback is not None
    return info.name or info.callback.__name__.replace("_", "-")


def _parameters(function: Callable[..., Any]) -> Iterator[tuple[str, str, str]]:
    for name, parameter in inspect.signature(function, eval_str=True).parameters.items():
        if parameter.annotation is typer.Context:
            continue
        arguments = typing.get_args(parameter.annotation)
        told = next(part for part in arguments if isinstance(part, ParameterInfo))
        if isinstance(told, ArgumentInfo):
            shown = (told.metavar or name).upper()
        else:
            # In `Annotated` typer keeps the first name of an option where its default would be.
            first = [str(told.default)] if str(told.default).startswith("--") else []
            names = [*first, *(told.param_decls or ())] or [f"--{name.replace('_', '-')}"]
            shown = ", ".join(names)
        if parameter.default is inspect.Parameter.empty:
            default = "needed"
        elif parameter.default in (None, "", False):
            default = ""
        else:
            default = f"`{parameter.default}`"
        yield f"`{shown}`", default, told.help or ""


def _page(title: str, *lines: str) -> str:
    return "\n".join([f"# {title}", "", NOTE, "", *lines]) + "\n"


def _noted(page: str) -> str:
    """Return a page that another module made, with the note that it is made."""
    title, rest = page.split("\n", 1)
    return f"{title}\n\n{NOTE}\n{rest}"


def _first_line(thing: object) -> str:
    return (inspect.getdoc(thing) or "").partition("\n")[0]


PAGES: Mapping[str, Callable[[], str]] = {
    "cli.md": cli_page,
    "errors.md": errors_page,
    "metrics.md": lambda: _noted(metrics_reference()),
    "monitor-metrics.md": lambda: _noted(monitor_metrics_reference()),
    "monitor-settings.md": monitor_settings_page,
    "routes.md": routes_page,
    "settings.md": lambda: _noted(settings_reference()),
    "uploads.md": uploads_page,
}


def main() -> None:
    """Write every page."""
    for name, page in PAGES.items():
        path = REFERENCE / name
        path.write_text(page(), encoding="utf-8")
        typer.echo(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
