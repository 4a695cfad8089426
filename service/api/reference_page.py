"""`/docs`: the OpenAPI document as a page, without a script from elsewhere."""

from collections.abc import Iterator, Mapping
from typing import Any

import orjson
from starlette.responses import Response

from service.api.html import code, escaped, page, table

_METHODS = ("get", "put", "post", "delete")


def reference_page(document: Mapping[str, Any]) -> Response:
    """Return the page of an OpenAPI document."""
    return page(f"{document['info']['title']} {document['info']['version']}", _parts(document))


def _parts(document: Mapping[str, Any]) -> Iterator[str]:
    for paragraph in document["info"]["description"].split("\n\n"):
        yield f"<p>{_text(paragraph)}</p>"
    yield (
        '<p>The same for programs: <a href="/openapi.json">/openapi.json</a>. What runs now:'
        ' <a href="/">/</a>.</p>'
    )
    for tag in document["tags"]:
        yield f"<h2>{escaped(tag['name'])}</h2>\n<p>{_text(tag['description'])}</p>"
        for path, methods in document["paths"].items():
            for method in _METHODS:
                operation = methods.get(method)
                if operation is not None and tag["name"] in operation["tags"]:
                    yield _operation(path, method, operation)
    yield '<h2 id="schemas">Schemas</h2>'
    for name, schema in sorted(document["components"]["schemas"].items()):
        yield _schema(name, schema)


def _operation(path: str, method: str, operation: Mapping[str, Any]) -> str:
    title = f'<span class="method">{method.upper()}</span> {code(path)}'
    parts = [
        f"<details><summary>{title} {escaped(operation['summary'])}</summary>",
        f"<p>{_text(operation.get('description', ''))}</p>",
    ]
    parameters = operation.get("parameters", ())
    if parameters:
        rows = [
            (code(item["name"]), escaped(item["in"]), _text(item.get("description", "")))
            for item in parameters
        ]
        parts.append(table(("parameter", "in", "meaning"), rows))
    for kind, content in operation.get("requestBody", {}).get("content", {}).items():
        parts.append(f"<h3>Request: {code(kind)} {_schema_link(content.get('schema', {}))}</h3>")
        parts.extend(_examples(content))
    for status, response in operation["responses"].items():
        parts.append(f"<h3>{escaped(status)} {_text(response.get('description', ''))}</h3>")
        for kind, content in response.get("content", {}).items():
            link = _schema_link(content.get("schema", {}))
            parts.append(f'<p class="quiet">{code(kind)} {link}</p>')
            parts.extend(_examples(content))
    return "\n".join([*parts, "</details>"])


def _examples(content: Mapping[str, Any]) -> Iterator[str]:
    examples = content.get("examples", {})
    if "example" in content:
        examples = {"": {"value": content["example"]}}
    for name, example in examples.items():
        if name:
            yield f"<p>{escaped(example.get('summary', name))}</p>"
        yield _json(example["value"])


def _json(value: object) -> str:
    text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_INDENT_2)
    shown = text if isinstance(text, str) else text.decode("utf-8")
    return f"<pre>{code(shown)}</pre>"


def _schema(name: str, schema: Mapping[str, Any]) -> str:
    rows = [
        (code(field), _kind(part), _text(part.get("description", "")))
        for field, part in schema.get("properties", {}).items()
    ]
    needed = ", ".join(schema.get("required", ()))
    return (
        f'<details id="{escaped(name)}"><summary>{code(name)}'
        f" {_text(schema.get('description', ''))}</summary>"
        f"{table(('field', 'type', 'meaning'), rows)}"
        f'<p class="quiet">needed: {escaped(needed or "none")}</p></details>'
    )


def _schema_link(schema: Mapping[str, Any]) -> str:
    reference = schema.get("$ref", "")
    if not reference:
        return ""
    name = escaped(reference.rpartition("/")[2])
    return f'<a href="#{name}">{name}</a>'


def _kind(schema: Mapping[str, Any]) -> str:
    """Return a schema's type in a few words, HTML."""
    if "$ref" in schema:
        return _schema_link(schema)
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_kind(part) for part in schema[key])
    if "enum" in schema:
        return " or ".join(code(value) for value in schema["enum"])
    if "const" in schema:
        return code(schema["const"])
    if schema.get("type") == "array":
        return f"list of {_kind(schema.get('items', {}))}"
    return escaped(schema.get("type", "any"))


def _text(text: str) -> str:
    """Return a description as HTML; what stands between backticks becomes code."""
    pieces = text.split("`")
    return "".join(
        code(piece) if index % 2 else escaped(piece) for index, piece in enumerate(pieces)
    )
