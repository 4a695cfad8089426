"""The first commands for a server that holds nothing yet: they work as they are written."""

import re

from starlette.types import Scope

_HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9.-]+)(:[0-9]{1,5})?")


def address_of(scope: Scope, port: int | None = None) -> str:
    """Return the address at which a request's sender reaches this server, as a URL.

    `port` takes the place of the one that was called. A `Host` that could mean something to a
    shell, or to a page, is not repeated: then it is this machine's name.
    """
    given = dict(scope["headers"]).get(b"host", b"").decode("latin-1")
    match = _HOST.fullmatch(given)
    host, own = match.groups() if match else ("localhost", f":{scope['server'][1]}")
    suffix = own or "" if port is None else f":{port}"
    return f"{scope['scheme']}://{host}{suffix}"


def first_steps(address: str, *, keyed: bool, images: bool) -> list[tuple[str, str]]:
    """Return what to do first, and the commands that do it, in the order in which they work."""
    admin = ' -H "Authorization: Bearer $TENANTRY_KEY"' if keyed else ""
    tenant = f"{address}/v1/tenants/acme"
    adapter = f"{tenant}/adapters/support"

    def curl(options: str, url: str, data: str) -> str:
        return f"curl {options}{url}{admin} \\\n  {data}"

    def sent(document: str) -> str:
        return f"-H 'content-type: application/json' -d '{document}'"

    form = """-F package=@adapter.zip -F 'metadata={"labels": ["refund", "delivery"]}'"""
    zipped = "(cd adapter && zip ../adapter.zip adapter_config.json adapter_model.safetensors)"
    asked = sent('{"inputs": ["Where is my parcel?"]}')
    if images:
        asked = "-H 'content-type: image/jpeg' --data-binary @photo.jpg"
    steps = [
        ("Make a tenant.", curl("-X PUT ", tenant, sent("{}"))),
        (
            "Make a key for its app and its ML team; it is shown this once.",
            curl("", f"{tenant}/keys", sent('{"scopes": ["predict", "publish"]}')),
        ),
        (
            "Upload what save_pretrained wrote, with the labels in the order of the classes.",
            f"{zipped}\n{curl('', f'{adapter}/versions', form)}",
        ),
        ("Let it answer.", curl("-X PUT ", f"{adapter}/rollout", sent('{"live": 1}'))),
        ("Ask it.", curl("", f"{adapter}/predict", asked)),
    ]
    if keyed:
        return [("Say who you are: an admin key.", "export TENANTRY_KEY=..."), *steps]
    return steps
